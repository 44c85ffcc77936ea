// Fuzz target: decoded content does not depend on how its bytes are cut or how much room there is, and no limit is
// passed. The first byte chooses coding and limits, the second seeds the cuts.
#include "http/content_decoder.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace {

using orchestra::http::ContentDecoder;
using orchestra::http::ContentLimits;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  std::string text;
  bool fine = false;
  bool operator==(const Outcome&) const = default;
};

// `seed` 0: all at once; else pieces of 0 to 15 bytes, some of them kept over.
Outcome decode(ContentDecoder::Coding coding, ContentLimits limits, std::string_view body, std::uint32_t seed) {
  ContentDecoder decoder(coding, limits);
  Outcome out;
  std::size_t received = 0;
  const auto random = [&seed](std::uint32_t below) { return ((seed = seed * 1664525u + 1013904223u) >> 24) % below; };
  const auto drain = [&](std::size_t steps) {
    for (; steps > 0; --steps) {
      // A block of exactly this size, so that a write behind it is seen.
      const std::size_t size = seed == 0 ? 4096 : 1 + random(40);
      const std::unique_ptr<char[]> room(new char[size]);
      std::size_t made = 0;
      const auto step = decoder.next({room.get(), size}, made);
      require((step == ContentDecoder::Step::Bytes) == (made > 0) && made <= size);
      require((step == ContentDecoder::Step::Fault) == !decoder.fault().empty());
      if (step != ContentDecoder::Step::Bytes) return true;
      out.text.append(room.get(), made);
      require(out.text.size() <= limits.bytes && out.text.size() <= received * limits.ratio + (64u << 10));
    }
    return false;
  };
  while (!body.empty() && decoder.fault().empty()) {
    const std::string_view head = body.substr(0, seed == 0 ? body.size() : random(16));
    const std::unique_ptr<char[]> piece(new char[head.size()]);
    head.copy(piece.get(), head.size());
    body.remove_prefix(head.size());
    received += head.size();
    decoder.feed({piece.get(), head.size()});
    if (!drain(seed == 0 ? SIZE_MAX : 1 + random(3))) {
      decoder.keep_input();
      for (std::size_t i = 0; i < head.size(); ++i) piece[i] = '#';
      drain(SIZE_MAX);
    }
  }
  out.fine = decoder.end();
  require(out.fine == decoder.fault().empty());
  require(!out.fine || out.text.size() <= received * limits.ratio);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto coding = (data[0] & 1) != 0 ? ContentDecoder::Coding::Gzip : ContentDecoder::Coding::Deflate;
  ContentLimits limits{.bytes = 1 << 18};
  if ((data[0] & 2) != 0) limits.ratio = 2;
  if ((data[0] & 4) != 0) limits.bytes = 300;
  const std::string_view body(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Outcome whole = decode(coding, limits, body, 0);
  const Outcome cut = decode(coding, limits, body, 2u * data[1] + 1);
  // Of content that has a fault, less may be given out before it is found.
  require(whole.fine == cut.fine);
  require(!whole.fine || whole == cut);
  return 0;
}
