// Reading token counts: what is no sensible count is unknown, never nonsense.
#pragma once

#include <cstdint>
#include <optional>

#include "json/value.hpp"

namespace orchestra::protocol {

inline std::optional<std::int64_t> count(json::Value value) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 53;  // sums of a few still fit, and doubles hold it exactly
  const auto number = value.integer();
  return number && *number >= 0 && *number <= kLargest ? number : std::nullopt;
}

}  // namespace orchestra::protocol
