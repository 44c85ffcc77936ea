#include "http/proxy.hpp"

#include <curl/curl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "http/certificate.hpp"
#include "http/curl_exchange.hpp"
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

constexpr const char* kVariables[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                      "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};

class ProxyTest : public testing::Test {
 protected:
  ProxyTest() {
    for (const char* name : kVariables) {
      const char* value = std::getenv(name);
      if (value != nullptr) before_.emplace_back(name, value);
    }
    environment({});
  }
  ~ProxyTest() override {
    environment({});
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), 1);
  }
  static void environment(std::initializer_list<std::pair<const char*, const char*>> values) {
    for (const char* name : kVariables) unsetenv(name);
    for (const auto& [name, value] : values) setenv(name, value, 1);
  }
  // "variable scheme://host:port", or "direct".
  static std::string chosen(std::string_view url, std::string_view given = "") {
    const auto proxy = proxy_for(url, given);
    return proxy ? proxy->source + " " + proxy->shown() : "direct";
  }

 private:
  std::vector<std::pair<std::string, std::string>> before_;
};

TEST_F(ProxyTest, is_none_when_nothing_says_so) {
  EXPECT_EQ(chosen("http://a.test"), "direct");
  EXPECT_EQ(chosen("https://a.test"), "direct");
  environment({{"http_proxy", ""}, {"https_proxy", ""}, {"all_proxy", ""}});
  EXPECT_EQ(chosen("http://a.test"), "direct");
  EXPECT_EQ(chosen("https://a.test"), "direct");
}

TEST_F(ProxyTest, comes_from_the_variable_of_the_scheme_and_then_from_that_of_all) {
  environment({{"http_proxy", "http://one:1"}, {"https_proxy", "http://two:2"}, {"ALL_PROXY", "socks5://three:3"}});
  EXPECT_EQ(chosen("http://a.test"), "http_proxy http://one:1");
  EXPECT_EQ(chosen("https://a.test"), "https_proxy http://two:2");
  environment({{"HTTPS_PROXY", "https://two"}, {"ALL_PROXY", "socks5://three:3"}, {"all_proxy", "socks5h://four"}});
  EXPECT_EQ(chosen("http://a.test"), "all_proxy socks5h://four:1080");
  EXPECT_EQ(chosen("https://a.test"), "HTTPS_PROXY https://two:443");
  // A web server that runs us for a request sets this one from the header "Proxy:".
  environment({{"HTTP_PROXY", "http://evil:1"}});
  EXPECT_EQ(chosen("http://a.test"), "direct");
}

TEST_F(ProxyTest, is_the_one_given_before_any_variable) {
  environment({{"http_proxy", "http://one:1"}, {"no_proxy", "b.test"}});
  EXPECT_EQ(chosen("http://a.test", "http://mine:9"), "proxy http://mine:9");
  EXPECT_EQ(chosen("http://a.test", "-"), "direct");
  EXPECT_EQ(chosen("http://b.test", "http://mine:9"), "direct");
  EXPECT_EQ(chosen("http://b.test:80/v1", ""), "direct");
}

TEST_F(ProxyTest, shows_no_credentials) {
  const auto proxy = proxy_for("https://a.test", "http://us%40er:hu%3ash@proxy.test:3128");
  ASSERT_TRUE(proxy);
  EXPECT_EQ(proxy->user, "us@er");
  EXPECT_EQ(proxy->password, "hu:sh");
  EXPECT_EQ(proxy->shown(), "http://proxy.test:3128");
  EXPECT_EQ(proxy->address, "http://us%40er:hu%3ash@proxy.test:3128");
  const auto broken = proxy_for("https://a.test", "http://user:hush@ :x");
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->host, "");
  EXPECT_THAT(broken->shown(), Not(HasSubstr("hush")));
}

TEST_F(ProxyTest, has_the_scheme_and_port_that_libcurl_gives_it) {
  EXPECT_EQ(chosen("http://a.test", "proxy.test"), "proxy http://proxy.test:1080");
  EXPECT_EQ(chosen("http://a.test", "[::1]:8080"), "proxy http://[::1]:8080");
  EXPECT_EQ(chosen("http://a.test", "socks://proxy.test"), "proxy socks4://proxy.test:1080");
  EXPECT_EQ(chosen("http://a.test", "SOCKS5H://proxy.test:99/"), "proxy socks5h://proxy.test:99");
}

TEST_F(ProxyTest, spares_ipv6_addresses_that_no_proxy_lists_without_brackets) {
  EXPECT_TRUE(is_without_proxy("[::1]", "::1"));
  EXPECT_TRUE(is_without_proxy("[fd00::5]", "a.test, FD00:0::5"));
  EXPECT_TRUE(is_without_proxy("[fd00::5]", "fd00::/8"));
  EXPECT_TRUE(is_without_proxy("[fd00::5]", "fd00::4/127"));
  EXPECT_FALSE(is_without_proxy("[fd00::6]", "fd00::4/127"));
  EXPECT_FALSE(is_without_proxy("[fd00::5]", "fe00::/8,fd00::5/129,::/0,::1,127.0.0.1"));
}

// What libcurl itself does, seen by the port to which it opens its first connection.
class AskedByCurl {
 public:
  static constexpr std::uint16_t kTargetPort = 9;

  // The port of the proxy, or kTargetPort.
  static int first_port(const std::string& url) {
    AskedByCurl asked;
    CURL* easy = curl_easy_init();
    curl_slist* names = curl_slist_append(nullptr, "*:9:127.0.0.1");
    names = curl_slist_append(names, "proxy.test:7:127.0.0.1");
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_RESOLVE, names);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &asked);
    curl_easy_perform(easy);
    curl_easy_cleanup(easy);
    curl_slist_free_all(names);
    return asked.port_;
  }

 private:
  static curl_socket_t on_open(void* self, curlsocktype, curl_sockaddr* address) {
    std::uint16_t port = 0;
    if (address->family == AF_INET) port = ntohs(reinterpret_cast<sockaddr_in*>(&address->addr)->sin_port);
    if (address->family == AF_INET6) port = ntohs(reinterpret_cast<sockaddr_in6*>(&address->addr)->sin6_port);
    static_cast<AskedByCurl*>(self)->port_ = port;
    return CURL_SOCKET_BAD;
  }
  int port_ = 0;
};

TEST_F(ProxyTest, agrees_with_libcurl) {
  const std::vector<std::string> hosts = {"a.test", "www.a.test", "nota.test", "A.Test", "a.test.",
                                          "test",   "127.0.0.1",  "10.1.2.3",  "127.1",  "xn--a.test",
                                          "[::1]",  "[fd00::5]",  "10.0.0.255"};
  const std::vector<std::string> lists = {"",
                                          "*",
                                          "*,b",
                                          "*.test",
                                          "a.test",
                                          ".a.test",
                                          "a.test.",
                                          ".a.test.",
                                          "test",
                                          ".",
                                          ",",
                                          "A.TEST",
                                          "www.a.test",
                                          "a.test:9",
                                          "b.test, a.test",
                                          ", ,,\ta.test ,",
                                          "b.test,,127.0.0.1",
                                          "127.0.0.0/8",
                                          "127.0.0.0/8,10.1.2.0/24",
                                          "10.0.0.0/8",
                                          "10.1.2.2/31",
                                          "10.1.2.2/32",
                                          "0.0.0.0/0",
                                          "10.1.2.3/0",
                                          "10.1.2.3/",
                                          "10.1.2.3/33",
                                          "10.1.2.3/-1",
                                          "10.1.2.0/x",
                                          "0.0.1",
                                          ".1",
                                          "127.1",
                                          "::1",
                                          "[::1]",
                                          "fd00::5"};
  int direct = 0;
  for (const std::string scheme : {"http", "https"}) {
    for (const std::string& list : lists) {
      environment({{"http_proxy", "http://proxy.test:7"}, {"HTTPS_PROXY", "proxy.test:7"}, {"no_proxy", list.c_str()}});
      for (const std::string& host : hosts) {
        const std::string url = scheme + "://" + host + ":9";
        const int expected = AskedByCurl::first_port(url);
        ASSERT_NE(expected, 0) << url;
        const auto proxy = proxy_for(url, "");
        EXPECT_EQ(proxy ? proxy->port : AskedByCurl::kTargetPort, expected) << url << " without " << list;
        direct += proxy ? 0 : 1;
      }
    }
  }
  EXPECT_GT(direct, 50);
}

TEST_F(ProxyTest, agrees_with_libcurl_on_the_variables) {
  const char* const address = "http://proxy.test:7";
  for (const char* set : kVariables) {
    for (const char* empty : kVariables) {
      environment({{set, address}});
      if (set != empty) setenv(empty, "", 1);
      for (const std::string url : {"http://127.0.0.1:9", "https://127.0.0.1:9"}) {
        const auto proxy = proxy_for(url, "");
        EXPECT_EQ(proxy ? proxy->port : AskedByCurl::kTargetPort, AskedByCurl::first_port(url)) << set << " " << url;
      }
    }
  }
}

// The server at the end of a tunnel.
class EndHost {
 public:
  explicit EndHost(const char* name) : certificate_(name, -kHour, kHour), context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_use_certificate(context_, certificate_.certificate());
    SSL_CTX_use_PrivateKey(context_, certificate_.key());
  }
  ~EndHost() {
    unlink(path_.c_str());
    SSL_CTX_free(context_);
  }
  EndHost(const EndHost&) = delete;
  EndHost& operator=(const EndHost&) = delete;

  // The certificate's file.
  [[nodiscard]] const std::string& path() const { return path_; }
  // Answers one request over TLS; false when the client refuses the handshake.
  bool answer(int fd) const {
    const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(context_), SSL_free);
    SSL_set_fd(ssl.get(), fd);
    if (SSL_accept(ssl.get()) != 1) return false;
    std::string received;
    char buffer[4096];
    while (!received.ends_with("{}")) {
      const int got = SSL_read(ssl.get(), buffer, sizeof buffer);
      if (got <= 0) return false;
      received.append(buffer, static_cast<std::size_t>(got));
    }
    const std::string reply = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    return SSL_write(ssl.get(), reply.data(), static_cast<int>(reply.size())) > 0;
  }

 private:
  Certificate certificate_;
  SSL_CTX* context_;
  std::string path_ =
      certificate_.write_to(testing::TempDir() + "orchestra_proxy_" + std::to_string(getpid()) + ".pem");
};

class ThroughProxy : public ProxyTest {
 protected:
  void ask(RecordingSink& sink, Origin origin) {
    exchange.start(
        runtime::request_of({.origin = std::make_shared<const Origin>(std::move(origin)), .target = "/v1?key=1"}),
        sink);
    ASSERT_TRUE(loop.run_until([&] { return sink.has_ended(); }));
  }
  TestLoop loop;
  CurlExchange exchange{loop.loop()};
};

TEST_F(ThroughProxy, a_plain_request_names_its_whole_address_and_carries_the_credentials) {
  std::mutex mutex;
  std::string seen;
  RawServer proxy([&](RawServer::Connection& connection) {
    while (true) {
      const std::string request = connection.read_request();
      if (request.empty()) return;
      {
        const std::lock_guard lock(mutex);
        seen = request;
      }
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
  });
  const std::string address = "http://us%40er:hush@127.0.0.1:" + std::to_string(proxy.port());
  for (const std::string& given : {address, std::string()}) {
    environment({{"http_proxy", given.empty() ? address.c_str() : ""}});
    RecordingSink sink;
    ask(sink, {.url = "http://models.test:81", .proxy = given});
    EXPECT_EQ(sink.end->kind, EndKind::Complete);
    const std::lock_guard lock(mutex);
    EXPECT_THAT(seen, testing::StartsWith("POST http://models.test:81/v1?key=1 HTTP/1.1\r\nHost: models.test:81\r\n"));
    EXPECT_THAT(seen, HasSubstr("\r\nProxy-Authorization: Basic dXNAZXI6aHVzaA==\r\n"));
  }
}

TEST_F(ThroughProxy, hosts_of_no_proxy_are_asked_directly) {
  RawServer proxy([](RawServer::Connection&) {});
  RawServer server([](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  environment({{"http_proxy", proxy.url().c_str()}, {"NO_PROXY", "127.0.0.0/8"}});
  for (const std::string& given : {std::string(), proxy.url()}) {
    RecordingSink sink;
    ask(sink, {.url = server.url(), .proxy = given});
    EXPECT_EQ(sink.end->kind, EndKind::Complete);
  }
  EXPECT_EQ(proxy.connections_seen(), 0u);
}

TEST_F(ThroughProxy, a_secure_request_verifies_the_end_host_through_a_tunnel) {
  const EndHost host("DNS:models.test");
  std::mutex mutex;
  std::string seen;
  std::atomic<int> answered = 0;
  RawServer proxy([&](RawServer::Connection& connection) {
    const std::string request = connection.read_request();
    {
      const std::lock_guard lock(mutex);
      seen = request;
    }
    connection.send("HTTP/1.1 200 Connection established\r\nX-Of: proxy\r\n\r\n");
    if (host.answer(connection.fd())) ++answered;
  });
  RecordingSink sink;
  ask(sink, {.url = "https://models.test", .proxy = proxy.url(), .ca_file = host.path()});
  EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
  EXPECT_EQ(sink.log, "connected head bytes end ");
  EXPECT_EQ(sink.body, "secret");
  EXPECT_THAT(sink.headers, Not(testing::Contains(testing::Pair("X-Of", "proxy"))));
  {
    const std::lock_guard lock(mutex);
    EXPECT_THAT(seen, testing::StartsWith("CONNECT models.test:443 HTTP/1.1\r\n"));
    EXPECT_THAT(seen, Not(HasSubstr("key=1")));
  }
  for (const Origin& origin :
       {Origin{.url = "https://other.test", .proxy = proxy.url(), .ca_file = host.path()},  // of another name
        Origin{.url = "https://models.test", .proxy = proxy.url()}}) {                      // signed by nobody
    RecordingSink refused;
    ask(refused, origin);
    EXPECT_EQ(refused.end->kind, EndKind::TlsFailed);
    EXPECT_EQ(refused.log, "end ");
  }
  EXPECT_EQ(answered, 1);
}

TEST_F(ThroughProxy, refusals_say_what_the_proxy_wants_and_no_password) {
  std::atomic<const char*> status = "407 Proxy Authentication Required";
  RawServer proxy([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 " + std::string(status) +
                    "\r\nProxy-Authenticate: Basic realm=\"x\"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  });
  const std::string place = "127.0.0.1:" + std::to_string(proxy.port());
  RecordingSink without;
  ask(without, {.url = "https://models.test", .proxy = "http://" + place});
  EXPECT_EQ(without.end->kind, EndKind::NotConnected);
  EXPECT_THAT(without.end->message, HasSubstr("asks for a user and a password"));
  EXPECT_THAT(without.end->message, HasSubstr("(through http://" + place + ", from proxy)"));
  environment({{"HTTPS_PROXY", ("http://user:hush@" + place).c_str()}});
  RecordingSink with;
  ask(with, {.url = "https://models.test"});
  EXPECT_EQ(with.end->kind, EndKind::NotConnected);
  EXPECT_THAT(with.end->message, HasSubstr("refuses the user or the password"));
  EXPECT_THAT(with.end->message, HasSubstr("from HTTPS_PROXY"));
  EXPECT_THAT(with.end->message, Not(HasSubstr("hush")));
  status = "403 Forbidden";
  RecordingSink forbidden;
  ask(forbidden, {.url = "https://models.test"});
  EXPECT_THAT(forbidden.end->message, HasSubstr("with status 403"));
  // Of a plain request the proxy's answer is the answer.
  RecordingSink plain;
  ask(plain, {.url = "http://models.test", .proxy = "http://" + place});
  EXPECT_EQ(plain.status, 403);
}

TEST_F(ThroughProxy, a_proxy_that_is_not_there_is_named) {
  std::uint16_t port = 0;
  {
    const RawServer gone([](RawServer::Connection&) {});
    port = gone.port();
  }
  const std::string place = "127.0.0.1:" + std::to_string(port);
  for (const std::string scheme : {"http", "https"}) {
    RecordingSink sink;
    ask(sink, {.url = scheme + "://models.test", .proxy = "http://user:hush@" + place});
    EXPECT_EQ(sink.end->kind, EndKind::NotConnected);
    EXPECT_THAT(sink.end->message, HasSubstr("refused"));
    EXPECT_THAT(sink.end->message, HasSubstr(place));
    EXPECT_THAT(sink.end->message, Not(HasSubstr("hush")));
  }
}

}  // namespace
}  // namespace orchestra::http
