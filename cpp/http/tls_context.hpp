// TLS by OpenSSL, without its sockets: TlsContext is what all connections with one setting of trust share, TlsStream
// one connection's encryption between bytes that it is given and a socket that it writes to.
//
// TLS 1.2 or later, HTTP/1.1 alone is offered (ALPN), certificates and the host's name are verified unless `insecure`,
// no compression, no early data. Sessions are resumed. Belongs to the loop's thread; writes never raise SIGPIPE.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace orchestra::http {

class TlsContext {
 public:
  // Reads the certificates now, which takes some 20 ms of a whole system's store.
  TlsContext(const std::string& ca_file, bool insecure, const std::string& fallback_ca_file);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Not empty: why nothing can be verified, and so no connection be made.
  [[nodiscard]] const std::string& fault() const { return fault_; }
  [[nodiscard]] bool is_insecure() const { return insecure_; }
  // The file or directory of the certificates that are trusted.
  [[nodiscard]] const std::string& trusted() const { return trusted_; }
  [[nodiscard]] SSL_CTX* get() const { return context_; }

 private:
  void trust(const std::string& ca_file, const std::string& fallback_ca_file);

  SSL_CTX* context_;
  const bool insecure_;
  std::string trusted_;
  std::string fault_;
};

// The last session of one server, with which the next connection is made for less.
class TlsSession {
 public:
  TlsSession() = default;
  ~TlsSession() { keep(nullptr); }
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  void keep(SSL_SESSION* session);  // takes it over
  [[nodiscard]] SSL_SESSION* get() const { return session_; }

 private:
  SSL_SESSION* session_ = nullptr;
};

class TlsStream {
 public:
  enum class Result {
    Done,
    Blocked,  // more bytes must come, or the socket take more
    Closed,   // the other side said goodbye
    Failed,   // see fault()
  };

  // host: a name, or an address in numbers without brackets. The context and the session must outlive the stream.
  TlsStream(const TlsContext& context, TlsSession& session, const std::string& host, int fd);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // Bytes from the socket: they must stay until they are read to Blocked, or rest() is given again.
  void give(std::span<const char> bytes) { incoming_ = bytes; }
  [[nodiscard]] std::span<const char> rest() const { return incoming_; }
  // read() may have something without being given more.
  [[nodiscard]] bool has_more() const { return !incoming_.empty() || SSL_has_pending(ssl_) == 1; }
  // No more will come.
  void end_input() { input_ended_ = true; }

  Result handshake();
  // At most one record at a time: until Blocked there may be more.
  Result read(std::span<char> into, std::size_t& size);
  // A part counts as done. After Blocked the same bytes must be given again.
  Result write(std::span<const char> bytes, std::size_t& size);

  // Why the last call failed, such as "certificate has expired".
  [[nodiscard]] const std::string& fault() const { return fault_; }
  [[nodiscard]] bool is_resumed() const;

 private:
  friend struct TlsCallbacks;

  Result result_of(int outcome);
  [[nodiscard]] std::string verification_fault(long code) const;

  const TlsContext& context_;
  TlsSession& session_;
  const std::string host_;
  const int fd_;
  SSL* ssl_;
  std::span<const char> incoming_;
  bool input_ended_ = false;
  int send_fault_ = 0;  // errno
  std::string fault_;
};

}  // namespace orchestra::http
