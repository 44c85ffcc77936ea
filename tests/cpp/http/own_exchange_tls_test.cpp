// OwnExchange over TLS: which certificates it refuses and what it says, resumed sessions, ends without a goodbye.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "http/certificate.hpp"
#include "http/own_exchange.hpp"
#include "http/raw_server.hpp"
#include "http/test_loop.hpp"
#include "runtime/exchange_contract.hpp"

namespace orchestra::http {
namespace {

using runtime::EndKind;
using runtime::ExchangeId;
using runtime::Origin;
using runtime::RecordingSink;
using testing::HasSubstr;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

std::string pattern(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('!' + i * 31 % 90);
  return text;
}

class OwnExchangeTlsTest : public testing::Test {
 protected:
  // The server's side of one connection.
  class Peer {
   public:
    Peer(SSL* ssl, OwnExchangeTlsTest& test) : ssl_(ssl), test_(test) {}

    // A request with its body; "" when the client closes.
    std::string read_request() {
      char buffer[16384];
      while (true) {
        const std::size_t head = received_.find("\r\n\r\n");
        if (head != std::string::npos) {
          const std::size_t body =
              std::strtoul(received_.c_str() + received_.find("Content-Length: ") + 16, nullptr, 10);
          if (received_.size() >= head + 4 + body) {
            ++test_.requests;
            return std::exchange(received_, "");
          }
        }
        const int got = SSL_read(ssl_, buffer, sizeof buffer);
        if (got <= 0) return "";
        received_.append(buffer, static_cast<std::size_t>(got));
      }
    }
    void send(std::string_view bytes) const {
      while (!bytes.empty()) {
        const int sent = SSL_write(ssl_, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)));
        if (sent <= 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      }
    }
    void say_goodbye() const { SSL_shutdown(ssl_); }
    // Asks for new keys of the client, too.
    void change_keys() const {
      SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED);
      SSL_do_handshake(ssl_);
    }
    void send_ticket() const {
      SSL_new_session_ticket(ssl_);
      SSL_do_handshake(ssl_);
    }

   private:
    SSL* ssl_;
    OwnExchangeTlsTest& test_;
    std::string received_;
  };

  void serve(const Certificate& certificate, std::function<void(Peer& peer)> handler, int highest = 0) {
    context_.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_use_certificate(context_.get(), certificate.certificate());
    SSL_CTX_use_PrivateKey(context_.get(), certificate.key());
    SSL_CTX_set_session_id_context(context_.get(), reinterpret_cast<const unsigned char*>("test"), 4);
    if (highest != 0) SSL_CTX_set_max_proto_version(context_.get(), highest);
    SSL_CTX_set_alpn_select_cb(
        context_.get(),
        [](SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* list, unsigned list_size,
           void* test) {
          static_cast<OwnExchangeTlsTest*>(test)->hello.add(
              std::string(reinterpret_cast<const char*>(list), list_size));
          *chosen = list + 1;
          *size = list[0];
          return SSL_TLSEXT_ERR_OK;
        },
        this);
    server_.emplace([this, handler = std::move(handler)](RawServer::Connection& connection) {
      const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(context_.get()), SSL_free);
      SSL_set_fd(ssl.get(), connection.fd());
      if (SSL_accept(ssl.get()) != 1) return;
      if (SSL_session_reused(ssl.get()) == 1) ++resumed;
      if (const char* name = SSL_get_servername(ssl.get(), TLSEXT_NAMETYPE_host_name)) hello.add(name);
      Peer peer(ssl.get(), *this);
      handler(peer);
    });
  }
  void serve_answers(const Certificate& certificate, const std::string& answer = kOk) {
    serve(certificate, [answer](Peer& peer) {
      while (!peer.read_request().empty()) peer.send(answer);
    });
  }
  [[nodiscard]] std::string named_url() const { return "https://models.test:" + std::to_string(server_->port()); }
  std::shared_ptr<const Origin> origin(Origin settings) {
    settings.proxy = "-";
    if (settings.url.empty()) settings.url = server_->url("https");
    return std::make_shared<const Origin>(std::move(settings));
  }
  ExchangeId start(RecordingSink& sink, const std::shared_ptr<const Origin>& to, std::string body = "{}") {
    return exchange->start(runtime::request_of({.origin = to, .target = "/"}, std::move(body)), sink);
  }
  bool run_to_end(RecordingSink& sink) {
    return loop.run_until([&] { return sink.has_ended(); });
  }
  // What is said of a connection that must be refused.
  std::string refusal(Origin settings) {
    RecordingSink sink;
    start(sink, origin(std::move(settings)));
    EXPECT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.log, "end ");
    EXPECT_EQ(sink.end->kind, EndKind::TlsFailed);
    EXPECT_EQ(requests, 0);
    return sink.end->message;
  }
  std::string file(const Certificate& certificate) { return certificate.write_to(path_); }
  void TearDown() override {
    exchange.reset();
    server_.reset();
    unlink(path_.c_str());
  }

  std::atomic<int> requests = 0;
  std::atomic<int> resumed = 0;
  // What the client says of itself.
  class Hello {
   public:
    void add(const std::string& text) {
      const std::lock_guard lock(mutex_);
      text_ += text + " ";
    }
    std::string text() {
      const std::lock_guard lock(mutex_);
      return text_;
    }

   private:
    std::mutex mutex_;
    std::string text_;
  } hello;
  TestLoop loop;
  std::optional<OwnExchange> exchange{std::in_place, loop.loop(), HeadLimits{},
                                      OwnOptions{.resolve = [](const std::string&) {
                                        return Resolution{{*NetworkAddress::parse("127.0.0.1")}, ""};
                                      }}};

 private:
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_{nullptr, SSL_CTX_free};
  std::string path_ = testing::TempDir() + "orchestra_own_tls_" + std::to_string(getpid()) + ".pem";
  std::optional<RawServer> server_;
};

TEST_F(OwnExchangeTlsTest, trusts_an_authority_and_whom_it_has_signed) {
  const Certificate authority = Certificate::authority("root");
  const Certificate certificate("DNS:models.test", -kHour, kHour, &authority);
  serve_answers(certificate);
  RecordingSink sink;
  start(sink, origin({.url = named_url(), .ca_file = file(authority)}));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
  EXPECT_EQ(sink.log, "connected head bytes end ");
  EXPECT_EQ(hello.text(), "\x08http/1.1 models.test ");
}

TEST_F(OwnExchangeTlsTest, names_a_certificate_that_signs_itself) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  const Certificate other = Certificate::authority("root");
  serve_answers(certificate);
  const std::string trusted = file(other);
  const std::string message = refusal({.ca_file = trusted});
  EXPECT_THAT(message, HasSubstr("SSL certificate problem: self-signed certificate"));
  EXPECT_THAT(message, HasSubstr(trusted));
  EXPECT_THAT(message, HasSubstr("ca_file"));
}

TEST_F(OwnExchangeTlsTest, names_an_authority_that_is_not_trusted) {
  const Certificate authority = Certificate::authority("root");
  const Certificate other = Certificate::authority("other root");
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour, &authority);
  serve_answers(certificate);
  EXPECT_THAT(refusal({.ca_file = file(other)}), HasSubstr("unable to get local issuer certificate"));
}

TEST_F(OwnExchangeTlsTest, names_a_certificate_of_another_name) {
  const Certificate certificate("DNS:other.test", -kHour, kHour);
  serve_answers(certificate);
  EXPECT_THAT(refusal({.url = named_url(), .ca_file = file(certificate)}),
              HasSubstr("host name does not match models.test"));
}

TEST_F(OwnExchangeTlsTest, names_a_certificate_of_another_address) {
  const Certificate certificate("IP:127.0.0.2", -kHour, kHour);
  serve_answers(certificate);
  EXPECT_THAT(refusal({.ca_file = file(certificate)}), HasSubstr("IP address does not match 127.0.0.1"));
}

// An address that is written as a name is not an address.
TEST_F(OwnExchangeTlsTest, takes_no_name_for_an_address) {
  const Certificate certificate("DNS:127.0.0.1", -kHour, kHour);
  serve_answers(certificate);
  EXPECT_THAT(refusal({.ca_file = file(certificate)}), HasSubstr("IP address does not match"));
}

TEST_F(OwnExchangeTlsTest, names_a_certificate_that_has_expired_or_is_not_valid_yet) {
  const Certificate old("IP:127.0.0.1", -2 * kHour, -kHour);
  serve_answers(old);
  EXPECT_THAT(refusal({.ca_file = file(old)}), HasSubstr("certificate has expired"));
  const Certificate early("IP:127.0.0.1", kHour, 2 * kHour);
  serve_answers(early);
  EXPECT_THAT(refusal({.ca_file = file(early)}), HasSubstr("certificate is not yet valid"));
}

TEST_F(OwnExchangeTlsTest, speaks_nothing_older_than_tls_1_2) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  serve(
      certificate, [](Peer& peer) { peer.read_request(); }, TLS1_1_VERSION);
  EXPECT_NE(refusal({.ca_file = file(certificate)}), "");
}

TEST_F(OwnExchangeTlsTest, says_so_when_the_server_speaks_no_tls) {
  RawServer plain([](RawServer::Connection& connection) {
    ASSERT_TRUE(connection.wait_for_bytes());
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  EXPECT_THAT(refusal({.url = plain.url("https")}), HasSubstr("does not speak TLS"));
}

TEST_F(OwnExchangeTlsTest, says_so_when_the_server_closes_in_the_handshake) {
  RawServer closing([](RawServer::Connection& connection) { ASSERT_TRUE(connection.wait_for_bytes()); });
  EXPECT_NE(refusal({.url = closing.url("https"), .insecure = true}), "");
}

TEST_F(OwnExchangeTlsTest, says_which_file_of_authorities_is_missing_or_holds_none) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  serve_answers(certificate);
  const std::string missing = testing::TempDir() + "orchestra_no_such_file.pem";
  EXPECT_THAT(refusal({.ca_file = missing}), HasSubstr("no CA certificates found; looked at: " + missing));
  const std::string other = file(certificate);
  std::FILE* stream = std::fopen(other.c_str(), "w");
  std::fputs("no certificate\n", stream);
  std::fclose(stream);
  EXPECT_THAT(refusal({.ca_file = other}), HasSubstr("no CA certificates can be read from " + other));
}

class TlsVersion : public OwnExchangeTlsTest, public testing::WithParamInterface<int> {};

TEST_P(TlsVersion, resumes_the_session_of_a_connection_that_was_closed) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  serve(
      certificate,
      [](Peer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      },
      GetParam());
  const auto to = origin({.ca_file = file(certificate)});
  for (int i = 0; i < 4; ++i) {
    RecordingSink sink;
    start(sink, to);
    ASSERT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
  }
  EXPECT_EQ(requests, 4);
  EXPECT_EQ(resumed, 3);
}

TEST_P(TlsVersion, carries_much_both_ways) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  const std::string body = pattern(3'000'000);
  serve(
      certificate,
      [](Peer& peer) {
        for (std::string request; !(request = peer.read_request()).empty();) {
          request.erase(0, request.find("\r\n\r\n") + 4);
          peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(request.size()) + "\r\n\r\n" + request);
        }
      },
      GetParam());
  const auto to = origin({.insecure = true});
  for (int i = 0; i < 2; ++i) {
    RecordingSink sink;
    ExchangeId id = 0;
    runtime::Timer go_on(loop.loop(), [&] { exchange->resume(id); });
    // The second is paused at each piece.
    if (i == 1) {
      sink.head = sink.bytes = [&] {
        exchange->pause(id);
        go_on.set(loop.loop().now());
      };
    }
    id = start(sink, to, body);
    ASSERT_TRUE(run_to_end(sink));
    EXPECT_TRUE(sink.body == body);
    EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
  }
  EXPECT_EQ(exchange->connections(), 1u);
}
INSTANTIATE_TEST_SUITE_P(Each, TlsVersion, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION), [](const auto& tested) {
  return std::string(tested.param == TLS1_2_VERSION ? "tls12" : "tls13");
});

// An answer that has no length ends with its connection: anybody could cut it, if a goodbye were not asked for.
TEST_F(OwnExchangeTlsTest, an_answer_without_length_is_cut_without_a_goodbye) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  std::atomic<bool> polite = true;
  serve(certificate, [&](Peer& peer) {
    peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\n\r\nto the end");
    if (polite) peer.say_goodbye();
  });
  const auto to = origin({.insecure = true});
  RecordingSink whole;
  start(whole, to);
  ASSERT_TRUE(run_to_end(whole));
  EXPECT_EQ(whole.body, "to the end");
  EXPECT_EQ(whole.end->kind, EndKind::Complete) << whole.end->message;
  polite = false;
  RecordingSink cut;
  start(cut, to);
  ASSERT_TRUE(run_to_end(cut));
  EXPECT_EQ(cut.body, "to the end");
  EXPECT_EQ(cut.end->kind, EndKind::Cut);
}

TEST_F(OwnExchangeTlsTest, says_no_reply_when_the_connection_dies_before_one) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  serve(certificate, [](Peer& peer) { peer.read_request(); });
  RecordingSink sink;
  start(sink, origin({.insecure = true}));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.log, "connected end ");
  EXPECT_EQ(sink.end->kind, EndKind::NoReply);
  EXPECT_EQ(requests, 1);
}

TEST_F(OwnExchangeTlsTest, closes_an_idle_connection_at_a_goodbye_and_keeps_it_at_a_ticket) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  std::atomic<int> step = 0;
  serve(certificate, [&](Peer& peer) {
    peer.read_request();
    peer.send(kOk);
    while (step != 1) std::this_thread::yield();
    peer.send_ticket();
    step = 2;
    while (step != 3) std::this_thread::yield();
    peer.say_goodbye();
    peer.read_request();
  });
  const auto to = origin({.insecure = true});
  RecordingSink sink;
  start(sink, to);
  ASSERT_TRUE(run_to_end(sink));
  step = 1;
  ASSERT_TRUE(loop.run_until([&] { return step == 2; }));
  loop.run_for(std::chrono::milliseconds(5));
  EXPECT_EQ(exchange->connections(), 1u);
  step = 3;
  EXPECT_TRUE(loop.run_until([&] { return exchange->connections() == 0; }));
}

TEST_F(OwnExchangeTlsTest, follows_a_change_of_keys) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  serve(certificate, [&](Peer& peer) {
    while (!peer.read_request().empty()) {
      peer.change_keys();
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
      peer.change_keys();
      peer.send("later");
      peer.change_keys();
    }
  });
  const auto to = origin({.insecure = true});
  for (int i = 0; i < 5; ++i) {
    RecordingSink sink;
    start(sink, to);
    ASSERT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.body, "firstlater");
    EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
  }
  EXPECT_EQ(exchange->connections(), 1u);
}

TEST_F(OwnExchangeTlsTest, can_be_cancelled_at_any_time) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  // It never comes to an end.
  serve_answers(certificate, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + std::string(100'000, 'x'));
  const auto to = origin({.insecure = true});
  int answered = 0;
  for (int turns = 0; turns < 60; ++turns) {
    RecordingSink sink;
    const ExchangeId id = start(sink, to);
    bool cancelled = false;
    int left = turns;
    runtime::Timer tick(loop.loop(), [&] {
      if (left-- > 0) return tick.set(loop.loop().now() + std::chrono::microseconds(50));
      answered += sink.body.empty() ? 0 : 1;
      sink.forbidden = cancelled = true;
      exchange->cancel(id);
    });
    tick.set(loop.loop().now());
    ASSERT_TRUE(loop.run_until([&] { return cancelled; }));
    EXPECT_EQ(exchange->connections(), 0u);
  }
  EXPECT_GT(answered, 0);
}

}  // namespace
}  // namespace orchestra::http
