// Fault: a wrong that a FakeProviders does on purpose, and to which of its calls. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "chat/result.hpp"
#include "json/value.hpp"

namespace orchestra::fake {

enum class FaultKind : std::uint8_t {
  Status,          // an error answer in the protocol's own shape
  Reset,           // RST after some bytes of the body; 0: before any byte of an answer
  Stall,           // waits: in a stream after some content events, in a plain answer between head and body
  Cut,             // FIN in the middle: in a stream after some content events, in a plain answer after half of the body
  Garbage,         // a 200 whose body cannot be decoded
  Drip,            // the right answer, a few bytes at a time
  DuplicateEvent,  // one event of a stream that carries no content comes twice; of a plain answer nothing
};

struct Fault {
  FaultKind kind = FaultKind::Status;
  int status = 500;
  std::optional<double> retry_after;  // seconds, sent as Retry-After
  std::size_t after_bytes = 0;        // of the body
  std::size_t after_events = 0;       // that carry content
  double seconds = 0;
  std::size_t bytes = 1;
  std::optional<std::int64_t> every;  // calls N, 2N, ...; empty: every call
  std::optional<std::int64_t> times;  // at most so many calls; empty: without end

  // Whether the client can still get the right answer, so that the fault uses up a scripted one.
  [[nodiscard]] bool is_harmless() const {
    return kind == FaultKind::Stall || kind == FaultKind::Drip || kind == FaultKind::DuplicateEvent;
  }
};

// Reads {"kind": "status", "code": 429, "retry_after": 1, "every": 3, ...}. Fails with Config; the message begins with
// the path.
Result<Fault> read_fault(json::Value value, const std::string& path);

// An error of the kind Config: "path: text".
chat::Error config_error(std::string_view path, std::string_view text);

}  // namespace orchestra::fake
