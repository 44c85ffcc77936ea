// Server: a small HTTP/1.1 server on a loopback port for test doubles (and later the gateway), on a thread of its own.
// A handler gives each request a list of steps, so that a test double can answer wrongly on purpose.
//
// Requests of one connection are answered one after the other (pipelining is allowed), bodies come with Content-Length
// or in chunks, up to 64 MB. A whole answer keeps the connection; a Reset or Close step, or a request that says so,
// ends it. Thread-safety: the constructor, port() and stop() belong to the owner; the callbacks run on the server's
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace orchestra::http {

struct ServerExchange {
  std::uint64_t number = 0;  // from 1, in order of arrival
  std::string method;
  std::string path;  // with the query
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  double received_at = 0;  // seconds, CLOCK_MONOTONIC (as time.monotonic())
};

struct Write {
  std::string bytes;
};
struct Wait {
  double seconds = 0;
};
struct Drip {
  std::string bytes;
  std::size_t size = 1;
};                // written `size` bytes at a time
struct Reset {};  // RST
struct Close {};  // FIN, then waits some seconds for the client's
using Step = std::variant<Write, Wait, Drip, Reset, Close>;

// An answer as it goes over the wire, head included: the server adds nothing.
using Answer = std::vector<Step>;

class Server {
 public:
  // Called on the server's thread, once for each whole request, which it may keep.
  using Handler = std::function<Answer(ServerExchange)>;
  // Called on the server's thread when the connection of a request is seen closed by the client (at most once each), be
  // the request answered or not. Of connections that the server reset, or still has at stop(), nothing is told.
  using Closed = std::function<void(std::uint64_t number, double monotonic_seconds)>;

  // Listens on 127.0.0.1 and a free port at once. Throws std::runtime_error when that is impossible.
  Server(Handler handler, Closed closed);
  ~Server();  // stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  void stop();  // closes all connections, joins the thread; idempotent. Not from a callback.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A whole answer with Content-Length.
Answer plain_answer(int status, std::string_view content_type, std::string body,
                    const std::vector<std::pair<std::string, std::string>>& headers = {});
std::string reason_phrase(int status);

}  // namespace orchestra::http
