// Matching the path of a request against a format's own path, whatever prefix and query a client puts around it.
#pragma once

#include <string_view>

namespace orchestra::protocol {

inline bool path_ends(std::string_view path, std::string_view own) {
  return path.substr(0, path.find('?')).ends_with(own);
}

}  // namespace orchestra::protocol
