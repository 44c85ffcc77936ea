// The end of a run of string bytes that JSON writes as they are: no quote, backslash or control character.
// Shared by the parser and the writer; pure.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace orchestra::json {

inline bool is_plain(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\'; }

// The first byte from `at` on that is not plain, or `end`.
inline const char* end_of_plain(const char* at, const char* end) {
  // Most strings of a stream are a few bytes long: the wide loop below would only cost them its set-up.
  for (int i = 0; i < 8; ++i, ++at) {
    if (at == end || !is_plain(*at)) return at;
  }
  // The compiler's portable vectors: SSE2 and NEON without intrinsics.
  using Bytes = std::uint8_t __attribute__((vector_size(16)));
  while (end - at >= 16) {
    Bytes bytes;
    std::memcpy(&bytes, at, 16);
    const auto special = (bytes < 0x20) | (bytes == '"') | (bytes == '\\');
    std::uint64_t half[2];
    std::memcpy(half, &special, 16);
    if ((half[0] | half[1]) != 0) {
      if constexpr (std::endian::native == std::endian::little) {
        return half[0] != 0 ? at + std::countr_zero(half[0]) / 8 : at + 8 + std::countr_zero(half[1]) / 8;
      }
      break;
    }
    at += 16;
  }
  while (at != end && is_plain(*at)) ++at;
  return at;
}

}  // namespace orchestra::json
