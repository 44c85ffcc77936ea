#include "http/tls_context.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>

#include "http/ca_store.hpp"
#include "http/resolver.hpp"

namespace orchestra::http {

// What OpenSSL calls.
struct TlsCallbacks {
  static TlsStream& stream_of(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* into, int size) {
    TlsStream& stream = stream_of(bio);
    BIO_clear_retry_flags(bio);
    if (stream.incoming_.empty()) {
      if (stream.input_ended_) return 0;
      BIO_set_retry_read(bio);
      return -1;
    }
    const std::size_t count = std::min(static_cast<std::size_t>(size), stream.incoming_.size());
    std::memcpy(into, stream.incoming_.data(), count);
    stream.incoming_ = stream.incoming_.subspan(count);
    return static_cast<int>(count);
  }

  static int write(BIO* bio, const char* bytes, int size) {
    TlsStream& stream = stream_of(bio);
    BIO_clear_retry_flags(bio);
    const ssize_t sent = ::send(stream.fd_, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return static_cast<int>(sent);
    if (errno == EAGAIN || errno == EINTR) {
      BIO_set_retry_write(bio);
    } else {
      stream.send_fault_ = errno;
    }
    return -1;
  }

  static long control(BIO* bio, int command, long, void*) {
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return stream_of(bio).input_ended_ && stream_of(bio).incoming_.empty() ? 1 : 0;
    return 0;
  }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "orchestra");
      BIO_meth_set_read(method, &read);
      BIO_meth_set_write(method, &write);
      BIO_meth_set_ctrl(method, &control);
      return method;
    }();
    return made;
  }

  // An index of our own: other users of OpenSSL in the process have theirs.
  static int stream_index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
  }

  static int on_new_session(SSL* ssl, SSL_SESSION* session) {
    auto* stream = static_cast<TlsStream*>(SSL_get_ex_data(ssl, stream_index()));
    if (stream == nullptr || SSL_SESSION_is_resumable(session) != 1) return 0;
    stream->session_.keep(session);
    return 1;
  }
};

namespace {

constexpr unsigned char kAlpn[] = "\x08http/1.1";

std::string last_reason() {
  const unsigned long code = ERR_peek_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "" : reason;
}

}  // namespace

TlsContext::TlsContext(const std::string& ca_file, bool insecure, const std::string& fallback_ca_file)
    : context_(SSL_CTX_new(TLS_client_method())), insecure_(insecure) {
  if (context_ == nullptr) {
    fault_ = "out of memory";
    return;
  }
  SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  SSL_CTX_set_options(context_, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  // Buffers of an idle connection are given back; a blocked write may be repeated from another address.
  SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 // or a read would end at each ticket, with more to read behind it
                                 SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_alpn_protos(context_, kAlpn, sizeof kAlpn - 1);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_, &TlsCallbacks::on_new_session);
  if (insecure_) {
    SSL_CTX_set_verify(context_, SSL_VERIFY_NONE, nullptr);
  } else {
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    // A chain may end at any certificate that is trusted, as with libcurl.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_), X509_V_FLAG_PARTIAL_CHAIN);
    trust(ca_file, fallback_ca_file);
  }
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

void TlsContext::trust(const std::string& ca_file, const std::string& fallback_ca_file) {
  const CaStore store = find_ca_store(ca_file, fallback_ca_file);
  if (!store.is_found()) {
    fault_ = store.not_found_message();
    return;
  }
  ERR_clear_error();
  trusted_ = store.file.empty() ? store.directory : store.file;
  const bool read = store.file.empty() ? SSL_CTX_load_verify_dir(context_, store.directory.c_str()) == 1
                                       : SSL_CTX_load_verify_file(context_, store.file.c_str()) == 1;
  if (!read) {
    fault_ = "no CA certificates can be read from " + trusted_ + " (a file in PEM is needed): " + last_reason();
  }
  ERR_clear_error();
}

void TlsSession::keep(SSL_SESSION* session) { SSL_SESSION_free(std::exchange(session_, session)); }

TlsStream::TlsStream(const TlsContext& context, TlsSession& session, const std::string& host, int fd)
    : context_(context), session_(session), host_(host), fd_(fd), ssl_(SSL_new(context.get())) {
  BIO* bio = ssl_ == nullptr ? nullptr : BIO_new(TlsCallbacks::method());
  if (bio == nullptr) {
    SSL_free(std::exchange(ssl_, nullptr));
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_ex_data(ssl_, TlsCallbacks::stream_index(), this);
  SSL_set_connect_state(ssl_);
  if (NetworkAddress::parse(host_)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host_.c_str());
  } else {
    // A certificate is for the name without the dot of the root.
    const std::string name = host_.ends_with('.') ? host_.substr(0, host_.size() - 1) : host_;
    SSL_set_tlsext_host_name(ssl_, name.c_str());
    SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    SSL_set1_host(ssl_, name.c_str());
  }
  if (session_.get() != nullptr) SSL_set_session(ssl_, session_.get());
}

TlsStream::~TlsStream() {
  if (ssl_ == nullptr) return;
  // Without this OpenSSL takes the session for broken, and it could not be resumed.
  SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
}

bool TlsStream::is_resumed() const { return ssl_ != nullptr && SSL_session_reused(ssl_) == 1; }

TlsStream::Result TlsStream::handshake() {
  if (ssl_ == nullptr) {
    fault_ = "out of memory";
    return Result::Failed;
  }
  ERR_clear_error();
  const Result result = result_of(SSL_do_handshake(ssl_));
  if (result == Result::Closed) {
    fault_ = "the server closed the connection in the handshake";
    return Result::Failed;
  }
  if (result != Result::Failed) return result;
  const long verified = context_.is_insecure() ? X509_V_OK : SSL_get_verify_result(ssl_);
  if (verified != X509_V_OK) fault_ = verification_fault(verified);
  return result;
}

TlsStream::Result TlsStream::read(std::span<char> into, std::size_t& size) {
  size = 0;
  ERR_clear_error();
  return result_of(SSL_read_ex(ssl_, into.data(), into.size(), &size));
}

TlsStream::Result TlsStream::write(std::span<const char> bytes, std::size_t& size) {
  size = 0;
  ERR_clear_error();
  return result_of(SSL_write_ex(ssl_, bytes.data(), bytes.size(), &size));
}

TlsStream::Result TlsStream::result_of(int outcome) {
  if (outcome == 1) return Result::Done;
  switch (SSL_get_error(ssl_, outcome)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return Result::Blocked;
    case SSL_ERROR_ZERO_RETURN: return Result::Closed;
    default: break;
  }
  fault_ = last_reason();
  if (send_fault_ != 0) {
    fault_ = std::generic_category().message(send_fault_);
  } else if (fault_.starts_with("unexpected eof") || fault_.empty()) {
    fault_ = "the server closed the connection";
  } else if (fault_ == "wrong version number" || fault_ == "packet length too long" || fault_ == "http request") {
    fault_ += " (the server does not speak TLS on this port)";
  }
  ERR_clear_error();
  return Result::Failed;
}

std::string TlsStream::verification_fault(long code) const {
  switch (code) {
    case X509_V_ERR_HOSTNAME_MISMATCH: return "SSL certificate problem: host name does not match " + host_;
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return "SSL certificate problem: IP address does not match " + host_;
    default: break;
  }
  std::string text = std::string("SSL certificate problem: ") + X509_verify_cert_error_string(code);
  switch (code) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      text += " (trusted are those of " + context_.trusted() + "; name others with ca_file)";
      break;
    default: break;
  }
  return text;
}

}  // namespace orchestra::http
