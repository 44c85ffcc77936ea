// FakeProviders: providers for tests, over real sockets on a free loopback port, one base URL for each protocol. It
// plays a script and then makes texts up, does wrong where it is told to, and records what it was asked.
//
// Thread-safety: everything may be called from any thread, close() by one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/result.hpp"

namespace orchestra::fake {

// One recorded call. Times are seconds of CLOCK_MONOTONIC.
struct Call {
  std::string protocol;
  std::string method;
  std::string path;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  double received_at = 0;
  std::atomic<double> closed_at{0};  // 0: the client has not closed the connection yet
  std::uint64_t exchange = 0;        // the server's number
};

class FakeProviders {
 public:
  // Reads {"protocols": [names], "latency": seconds or [p50, p99], "faults": [{"kind": ...}], "rate_limits": requests
  // per minute of each protocol, or null, "seed": number}; all but protocols may be absent. Fails with Config; the
  // message begins with the path.
  static Result<std::unique_ptr<FakeProviders>> open(std::string config);
  ~FakeProviders();
  FakeProviders(const FakeProviders&) = delete;
  FakeProviders& operator=(const FakeProviders&) = delete;

  // The base URL of a protocol. Fails with Config when it is not one of its protocols.
  [[nodiscard]] Result<std::string> url(std::string_view protocol) const;
  // Adds answers, a JSON list as read_script() takes it: given in this order, whatever the protocol.
  Status script(std::string list);
  // The recorded calls in order of arrival. Of more than 256 MB the oldest are forgotten.
  [[nodiscard]] std::vector<std::shared_ptr<const Call>> calls() const;
  void close();  // ends all connections and gives the port back; idempotent

 private:
  struct State;
  explicit FakeProviders(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace orchestra::fake
