// Cutting a text into pieces for a stream: at code points, about equally long.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace orchestra::protocol {

// At most `pieces` of them, none empty; joined they are the text.
inline std::vector<std::string_view> cut_into_pieces(std::string_view text, std::size_t pieces) {
  std::vector<std::string_view> out;
  std::size_t begin = 0;
  for (std::size_t left = pieces == 0 ? 1 : pieces; begin < text.size() && left > 0; --left) {
    const std::size_t rest = text.size() - begin;
    std::size_t end = left == 1 ? text.size() : begin + (rest + left - 1) / left;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    out.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

}  // namespace orchestra::protocol
