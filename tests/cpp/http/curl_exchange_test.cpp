// What libcurl alone can do: proxies.
#include "http/curl_exchange.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#include "http/raw_server.hpp"
#include "http/test_loop.hpp"
#include "runtime/exchange_contract.hpp"

namespace orchestra::http {
namespace {

using runtime::EndKind;
using runtime::Origin;
using runtime::RecordingSink;
using testing::HasSubstr;
using testing::Not;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

class CurlExchangeTest : public testing::Test {
 protected:
  static std::shared_ptr<const Origin> origin_of(std::string url, std::string proxy = "-") {
    return std::make_shared<const Origin>(Origin{.url = std::move(url), .proxy = std::move(proxy)});
  }
  void start(RecordingSink& sink, const std::shared_ptr<const Origin>& origin, std::string body,
             runtime::HeaderList headers, std::string target) {
    exchange.start(runtime::request_of({.origin = origin, .target = std::move(target), .headers = std::move(headers)},
                                       std::move(body)),
                   sink);
  }
  bool run_to_end(RecordingSink& sink) {
    return loop.run_until([&] { return sink.has_ended(); });
  }

  TestLoop loop;
  CurlExchange exchange{loop.loop()};
};

TEST_F(CurlExchangeTest, goes_through_the_proxy_it_is_given) {
  std::string seen;
  std::mutex mutex;
  RawServer proxy([&](RawServer::Connection& connection) {
    const std::string request = connection.read_request();
    {
      const std::lock_guard lock(mutex);
      seen = request.substr(0, request.find('\r'));
    }
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
  const auto line = [&](const std::shared_ptr<const Origin>& origin) {
    RecordingSink sink;
    start(sink, origin, "{}", {}, "/v1?key=1");
    EXPECT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.end->kind, EndKind::Complete);
    const std::lock_guard lock(mutex);
    return std::exchange(seen, "");
  };
  const std::string through = "POST http://models.test/v1?key=1 HTTP/1.1";
  EXPECT_EQ(line(origin_of("http://models.test", proxy.url())), through);
  setenv("http_proxy", proxy.url().c_str(), 1);
  EXPECT_EQ(line(origin_of("http://models.test", "")), through);
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send(kOk);
  });
  EXPECT_EQ(line(origin_of(server.url(), "-")), "");
  unsetenv("http_proxy");
}

TEST_F(CurlExchangeTest, keeps_the_password_of_a_proxy_out_of_its_messages) {
  for (const std::string proxy :
       {"http://user:hush@127.0.0.1:1", "weird://user:hush@127.0.0.1:1", "http://user:hush@ :x"}) {
    RecordingSink sink;
    start(sink, origin_of("http://models.test", proxy), "{}", {{"Authorization", "hush"}}, "/?key=hush");
    ASSERT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.end->kind, EndKind::NotConnected);
    EXPECT_NE(sink.end->message, "");
    EXPECT_THAT(sink.end->message, Not(HasSubstr("hush")));
  }
}

}  // namespace
}  // namespace orchestra::http
