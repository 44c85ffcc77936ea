// Fuzz target: what is told of an answer does not depend on how its bytes are cut, nor on stops, and the limits hold.
// The first byte seeds the cuts, the second chooses limits and stops.
#include "http/response_parser.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace {

using namespace orchestra;
using http::HeadLimits;
using http::ParseFault;
using http::ResponseParser;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  int heads = 0, status = 0;
  std::string headers, body;
  bool begun = false, line = false, complete = false, keeps = false;
  std::optional<ParseFault> fault;
  std::size_t unasked = 0;
  bool operator==(const Outcome&) const = default;
};

class Events final : public http::ResponseEvents {
 public:
  Events(ResponseParser& parser, Outcome& out, bool stops) : parser_(parser), out_(out), stops_(stops) {}

  void on_head(runtime::AnswerHead head) override {
    require(out_.body.empty() && head.status >= 200 && head.status <= 599 && parser_.has_head());
    ++out_.heads;
    out_.status = head.status;
    out_.headers = head.headers.text();
    require(runtime::HeaderText(head.headers.list()).text() == out_.headers);
    pause();
  }
  void on_body(std::span<char> bytes) override {
    require(out_.heads == 1 && !bytes.empty());
    out_.body.append(bytes.data(), bytes.size());
    std::memset(bytes.data(), '\n', bytes.size());
    pause();
  }
  bool stopped = false;

 private:
  void pause() {
    require(!stopped);
    stopped = stops_;
    if (stops_) parser_.stop();
  }

  ResponseParser& parser_;
  Outcome& out_;
  const bool stops_;
};

// `seed` 0: all at once; else pieces of 0 to 15 bytes, and after a stop of what is left.
void read(ResponseParser& parser, std::string_view bytes, std::uint32_t seed, bool stops, Outcome& out) {
  Events events(parser, out, stops);
  while (!bytes.empty()) {
    const std::uint32_t wanted = seed == 0 ? 0xFFFFFFFF : (seed = seed * 1664525u + 1013904223u) >> 28;
    const std::string_view piece = bytes.substr(0, wanted);
    const std::unique_ptr<char[]> memory(new char[piece.size()]);  // so that a read behind it is seen
    piece.copy(memory.get(), piece.size());
    events.stopped = false;
    const std::size_t taken = parser.feed({memory.get(), piece.size()}, events);
    require(taken <= piece.size());
    bytes.remove_prefix(taken);
    if (parser.is_complete() || parser.fault()) break;
    require(taken == piece.size() || events.stopped);
  }
  parser.end_of_input();
  out.begun = parser.has_begun();
  out.line = parser.has_line();
  out.complete = parser.is_complete();
  out.keeps = out.complete && parser.keeps_connection();
  out.fault = parser.fault();
  out.unasked = out.complete ? bytes.size() : 0;
  require(!out.complete || (!out.fault && parser.has_head()));
  require((out.heads == 1) == parser.has_head());
  require(parser.fault_message().empty() == !out.fault);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const HeadLimits limits = (data[1] & 1) != 0 ? HeadLimits{.bytes = 96, .lines = 4} : HeadLimits{};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  ResponseParser whole_parser(limits), parser(limits);
  Outcome whole, cut, again;
  read(whole_parser, bytes, 0, false, whole);
  read(parser, bytes, 2u * data[0] + 1, (data[1] & 2) != 0, cut);
  require(whole == cut);
  parser.reset();
  read(parser, bytes, 2u * data[0] + 1, (data[1] & 4) != 0, again);
  require(whole == again);
  require(whole.headers.size() <= limits.bytes);
  return 0;
}
