// The exchange seam: one request to a server, its answer back as events. http/ implements it with libcurl, sim/ on
// virtual time. Nothing above it sees a socket, and all deadlines are timers above it.
//
// What every implementation promises:
//  - nothing is sent twice: a connection that dies under a request is told as an error, never repeated;
//  - bytes are handed up in place; they are valid until the call returns, and kReadableBehind bytes behind them may be
//    read (their value is unspecified);
//  - on_end comes exactly once, unless cancel() came first: then nothing comes any more;
//  - cancel() closes the connection, pause() stops reading from it; neither calls back;
//  - callbacks come from the loop's thread, never from inside start(), pause(), resume() or cancel().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/header_text.hpp"

namespace orchestra::runtime {

inline constexpr std::size_t kReadableBehind = 64;

// Where requests of one provider go, and how. Exchanges keep their pools per Origin object (by address and settings).
struct Origin {
  std::string url;               // scheme://host:port, without a path
  std::string proxy;             // "": as the environment says; "-": none at all
  std::string ca_file;           // "": the system's store
  std::string fallback_ca_file;  // trusted where neither the system nor the environment has any; "": none
  bool insecure = false;         // no verification of certificates
  bool own = false;  // by the exchange of our own (http/own_exchange.hpp), where there is one; else by libcurl
};

// What a request says before its body. Immutable, and best shared by all requests that say the same: exchanges keep
// what they make of it (a parsed URL, the bytes to send) by its address.
struct RequestHead {
  std::shared_ptr<const Origin> origin;
  std::string target;  // path and query, begins with "/"
  HeaderList headers;
};

struct ExchangeRequest {
  std::shared_ptr<const RequestHead> head;
  std::shared_ptr<const std::string> body;  // sent by POST with its Content-Length
};

// The head of an answer.
struct AnswerHead {
  int status = 0;
  HeaderText headers;
};

enum class EndKind : std::uint8_t {
  Complete,      // the whole answer came
  NotConnected,  // no connection: refused, unreachable, no such host; nothing was sent
  TlsFailed,     // the certificate or the handshake was refused; nothing was sent
  NoReply,       // the connection died after (a part of) the request was sent and before a whole line of an answer
  Cut,           // the answer began and broke off
  Malformed,     // what came is no HTTP, or beyond the limits of a head
};

struct End {
  EndKind kind = EndKind::Complete;
  std::string message;  // what the transport says, without URL and headers; "" when complete
};

class ExchangeSink {
 public:
  virtual ~ExchangeSink() = default;
  // A connection stands (new or kept alive, TLS done): the request goes out.
  virtual void on_connected() = 0;
  // Interim 1xx answers are left out.
  virtual void on_head(AnswerHead head) = 0;
  virtual void on_bytes(std::span<char> bytes) = 0;
  virtual void on_end(End end) = 0;
};

// Names one running exchange; 0 is none.
using ExchangeId = std::uint64_t;

class Exchange {
 public:
  virtual ~Exchange() = default;
  // The sink must live until on_end or cancel().
  virtual ExchangeId start(ExchangeRequest request, ExchangeSink& sink) = 0;
  virtual void pause(ExchangeId id) = 0;
  virtual void resume(ExchangeId id) = 0;
  virtual void cancel(ExchangeId id) = 0;  // of an id that has ended: nothing
  // Open connections, idle ones too.
  [[nodiscard]] virtual std::size_t connections() const = 0;
  // "own", "curl", "sim": recorded with each attempt.
  [[nodiscard]] virtual std::string_view name() const = 0;
};

}  // namespace orchestra::runtime
