#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "http/curl_exchange.hpp"
#include "http/raw_server.hpp"
#include "http/test_loop.hpp"
#include "runtime/exchange_contract.hpp"

namespace orchestra::http {
namespace {

using runtime::EndKind;
using runtime::Origin;
using runtime::RecordingSink;

// A certificate that signs itself, for one name and a time from now in seconds.
class Certificate {
 public:
  Certificate(const char* alternative_name, long valid_from, long valid_to)
      : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), certificate_(X509_new(), X509_free) {
    X509* x = certificate_.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), valid_from);
    X509_gmtime_adj(X509_getm_notAfter(x), valid_to);
    X509_set_pubkey(x, key_.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternative_name);
    X509_add_ext(x, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(x, key_.get(), EVP_sha256());
  }

  [[nodiscard]] X509* certificate() const { return certificate_.get(); }
  [[nodiscard]] EVP_PKEY* key() const { return key_.get(); }

  [[nodiscard]] std::string write_to(const std::string& path) const {
    std::FILE* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, certificate_.get());
    std::fclose(file);
    return path;
  }

 private:
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
  std::unique_ptr<X509, void (*)(X509*)> certificate_;
};

constexpr long kHour = 3600;

class CurlExchangeTlsTest : public testing::Test {
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
  std::optional<CurlExchange> exchange_{std::in_place, loop_.loop()};
};

TEST_F(CurlExchangeTlsTest, trusts_no_unknown_certificate_unless_told_to) {
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

TEST_F(CurlExchangeTlsTest, refuses_a_certificate_of_another_name) {
  const Certificate certificate("DNS:models.test", -kHour, kHour);
  serve(certificate);
  EXPECT_EQ(ask({.ca_file = certificate.write_to(path_)}), EndKind::TlsFailed);
  EXPECT_EQ(requests_, 0);
}

TEST_F(CurlExchangeTlsTest, refuses_a_certificate_that_has_expired) {
  const Certificate certificate("IP:127.0.0.1", -2 * kHour, -kHour);
  serve(certificate);
  EXPECT_EQ(ask({.ca_file = certificate.write_to(path_)}), EndKind::TlsFailed);
  EXPECT_EQ(requests_, 0);
}

TEST_F(CurlExchangeTlsTest, says_tls_failed_when_the_server_speaks_none) {
  RawServer plain([](RawServer::Connection& connection) {
    ASSERT_TRUE(connection.wait_for_bytes());
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  EXPECT_EQ(ask({.url = plain.url("https")}), EndKind::TlsFailed);
}

TEST_F(CurlExchangeTlsTest, says_cut_when_the_connection_dies_in_an_answer) {
  const Certificate certificate("IP:127.0.0.1", -kHour, kHour);
  answer_ = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
  cuts_ = true;
  serve(certificate);
  RecordingSink sink;
  EXPECT_EQ(ask({.insecure = true}, sink), EndKind::Cut);
  EXPECT_EQ(sink.body, "half");
}

TEST_F(CurlExchangeTlsTest, keeps_a_connection_for_the_next_request) {
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

}  // namespace
}  // namespace orchestra::http
