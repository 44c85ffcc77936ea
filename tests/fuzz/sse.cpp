// Fuzz target: the events of a body do not depend on how it is cut, and the limits hold. The first byte seeds the cuts.
#include "protocol/framing/sse.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using orchestra::protocol::SseEvent;
using orchestra::protocol::SseParser;

constexpr std::size_t kLineLimit = 64, kEventLimit = 128;

struct Outcome {
  std::vector<std::pair<std::string, std::string>> events;
  SseParser::Step last = SseParser::Step::NeedBytes;
  bool operator==(const Outcome&) const = default;
};

// `seed` 0: all at once; else pieces of 0 to 7 bytes.
Outcome read(std::string_view body, std::uint32_t seed) {
  SseParser parser(kLineLimit, kEventLimit);
  Outcome out;
  SseEvent event;
  const auto drain = [&](auto step) {
    while ((out.last = step()) == SseParser::Step::Event) {
      if (event.data.empty() || event.data.size() > kEventLimit) std::abort();
      out.events.emplace_back(event.name, event.data);
    }
    return out.last == SseParser::Step::NeedBytes;
  };
  while (!body.empty()) {
    const std::uint32_t wanted = seed == 0 ? 0xFFFFFFFF : (seed = seed * 1664525u + 1013904223u) >> 29;
    const std::string_view head = body.substr(0, wanted);
    // A block of exactly this size, so that a read behind it is seen.
    const std::unique_ptr<char[]> piece(new char[head.size()]);
    head.copy(piece.get(), head.size());
    parser.feed({piece.get(), head.size()});
    if (!drain([&] { return parser.next(event); })) return out;
    body.remove_prefix(head.size());
  }
  drain([&] { return parser.end(event); });
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = read(body, 0);
  if (whole != read(body, 2u * data[0] + 1)) std::abort();
  return 0;
}
