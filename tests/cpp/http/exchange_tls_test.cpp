#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "http/certificate.hpp"
#include "http/exchanges.hpp"
#include "http/raw_server.hpp"
#include "http/test_loop.hpp"
#include "runtime/exchange_contract.hpp"

namespace orchestra::http {
namespace {

using runtime::EndKind;
using runtime::Origin;
using runtime::RecordingSink;

class ExchangeTlsTest : public testing::TestWithParam<std::string_view> {
 protected:
  void serve(const Certificate& certificate) {
    context_.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_use_certificate(context_.get(), certificate.certificate());
    SSL_CTX_use_PrivateKey(context_.get(), certificate.key());
    server_.emplace([this](RawServer::Connection& connection) { answer(connection); });
  }
  void answer(RawServer::Connection& connection) {
    const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(context_.get()), SSL_free);
    SSL_set_fd(ssl.get(), connection.fd());
    if (SSL_accept(ssl.get()) != 1) return;
    std::string received;
    char buffer[4096];
    while (true) {
      const int got = SSL_read(ssl.get(), buffer, sizeof buffer);
      if (got <= 0) return;
      received.append(buffer, static_cast<std::size_t>(got));
      if (!received.ends_with("{}")) continue;
      received.clear();
      ++requests_;
      SSL_write(ssl.get(), answer_.data(), static_cast<int>(answer_.size()));
      if (cuts_) return;
    }
  }
  EndKind ask(Origin origin, RecordingSink& sink) {
    origin.proxy = "-";
    if (origin.url.empty()) origin.url = server_->url("https");
    const auto shared = std::make_shared<const Origin>(std::move(origin));
    exchange_->start(runtime::request_of({.origin = shared, .target = "/"}), sink);
    EXPECT_TRUE(loop_.run_until([&] { return sink.has_ended(); }));
    return sink.end->kind;
  }
  EndKind ask(Origin origin) {
    RecordingSink sink;
    return ask(std::move(origin), sink);
  }
  void TearDown() override {
    exchange_.reset();
    server_.reset();
    unlink(path_.c_str());
  }

  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_{nullptr, SSL_CTX_free};
  std::string answer_ = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  bool cuts_ = false;
  std::atomic<int> requests_ = 0;
  std::string path_ = testing::TempDir() + "orchestra_tls_" + std::to_string(getpid()) + ".pem";
  std::optional<RawServer> server_;
  TestLoop loop_;
  std::unique_ptr<runtime::Exchange> exchange_ = make_exchange(GetParam(), loop_.loop());
};

TEST_P(ExchangeTlsTest, trusts_no_unknown_certificate_unless_told_to) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  serve(certificate);
  RecordingSink sink;
  EXPECT_EQ(ask({}, sink), EndKind::TlsFailed);
  EXPECT_EQ(sink.log, "end ");
  EXPECT_THAT(sink.end->message, testing::HasSubstr("certificate"));
  EXPECT_EQ(requests_, 0);
  EXPECT_EQ(ask({.insecure = true}), EndKind::Complete);
  EXPECT_EQ(ask({.ca_file = certificate.write_to(path_)}), EndKind::Complete);
  // A connection that was made without verification serves nobody who asks for it.
  EXPECT_EQ(ask({}), EndKind::TlsFailed);
  EXPECT_EQ(requests_, 2);
}

TEST_P(ExchangeTlsTest, refuses_a_certificate_of_another_name) {
  const Certificate certificate("DNS:models.test", -kHour, kHour);
  serve(certificate);
  EXPECT_EQ(ask({.ca_file = certificate.write_to(path_)}), EndKind::TlsFailed);
  EXPECT_EQ(requests_, 0);
}

TEST_P(ExchangeTlsTest, refuses_a_certificate_that_has_expired) {
  const Certificate certificate("IP:127.0.0.1", -2 * kHour, -kHour);
  serve(certificate);
  EXPECT_EQ(ask({.ca_file = certificate.write_to(path_)}), EndKind::TlsFailed);
  EXPECT_EQ(requests_, 0);
}

TEST_P(ExchangeTlsTest, says_tls_failed_when_the_server_speaks_none) {
  RawServer plain([](RawServer::Connection& connection) {
    ASSERT_TRUE(connection.wait_for_bytes());
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  EXPECT_EQ(ask({.url = plain.url("https")}), EndKind::TlsFailed);
}

TEST_P(ExchangeTlsTest, says_cut_when_the_connection_dies_in_an_answer) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  answer_ = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
  cuts_ = true;
  serve(certificate);
  RecordingSink sink;
  EXPECT_EQ(ask({.insecure = true}, sink), EndKind::Cut);
  EXPECT_EQ(sink.body, "half");
}

TEST_P(ExchangeTlsTest, keeps_a_connection_for_the_next_request) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  serve(certificate);
  const auto origin =
      std::make_shared<const Origin>(Origin{.url = server_->url("https"), .proxy = "-", .insecure = true});
  for (int i = 0; i < 5; ++i) {
    RecordingSink sink;
    exchange_->start(runtime::request_of({.origin = origin, .target = "/"}), sink);
    ASSERT_TRUE(loop_.run_until([&] { return sink.has_ended(); }));
    EXPECT_EQ(sink.body, "ok");
  }
  EXPECT_EQ(server_->connections_seen(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Each, ExchangeTlsTest, testing::ValuesIn(kExchanges),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace orchestra::http
