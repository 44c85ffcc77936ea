// Data URLs and base64, as parts carry their bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace orchestra::protocol {

struct DataUrl {
  std::string media_type;
  std::string base64;  // standard alphabet, padded
};

// Of "data:image/png;base64,..."; empty for every other text, or when what follows is no base64.
std::optional<DataUrl> parse_data_url(std::string_view url);

// Either alphabet, with or without padding and line breaks, to the standard alphabet with padding.
std::optional<std::string> standard_base64(std::string_view text);

// Standard alphabet, padded.
std::string encode_base64(std::string_view bytes);

// REQUIRES: standard alphabet, padded.
std::string decode_base64(std::string_view base64);

}  // namespace orchestra::protocol
