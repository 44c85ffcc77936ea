// Price: one sheet of what a model's tokens cost. Plain data, immutable once a Model holds it, usable from any thread.
//
// Amounts are read from decimal text and never pass through a binary float, so 0.0028 USD is exactly 0.0028 USD.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "chat/result.hpp"

namespace orchestra::catalog {

// A price: nano-dollars per million tokens. 3 USD per million tokens are 3'000'000'000.
using NanoUsdPerMillion = std::int64_t;

// The dearest price that is read, 1'000'000 USD per million tokens: products with any token count fit 128 bits.
inline constexpr NanoUsdPerMillion kMaxPrice = 1'000'000'000'000'000;

// Prices by class of token. Absent: not given; spend::cost_of says what takes its place.
struct Rates {
  std::optional<NanoUsdPerMillion> input;
  std::optional<NanoUsdPerMillion> output;
  std::optional<NanoUsdPerMillion> cached_input;
  std::optional<NanoUsdPerMillion> cache_write;
  std::optional<NanoUsdPerMillion> cache_write_1h;
  std::optional<NanoUsdPerMillion> reasoning;
  std::optional<NanoUsdPerMillion> audio_input;
  std::optional<NanoUsdPerMillion> audio_output;

  [[nodiscard]] bool empty() const;
};

// The members of Rates by their names in files and arguments, such as "cached_input".
struct RateName {
  std::string_view name;
  std::optional<NanoUsdPerMillion> Rates::*member;
};
inline constexpr RateName kRateNames[] = {
    {"input", &Rates::input},
    {"output", &Rates::output},
    {"cached_input", &Rates::cached_input},
    {"cache_write", &Rates::cache_write},
    {"cache_write_1h", &Rates::cache_write_1h},
    {"reasoning", &Rates::reasoning},
    {"audio_input", &Rates::audio_input},
    {"audio_output", &Rates::audio_output},
};

struct Price {
  Rates rates;
  std::string source;      // where it was read; empty: not said
  std::string checked_on;  // the date (YYYY-MM-DD) on which it was read there; empty: not said
};

// USD per million tokens in decimal notation ("2.5", "0", "1e-1") as a price. Fails with Config and a message without a
// path when it is no decimal number, negative, above kMaxPrice, or finer than a nano-dollar.
Result<NanoUsdPerMillion> read_price(std::string_view decimal);

// The price as the shortest decimal of USD per million tokens, such as "2.5".
std::string price_text(NanoUsdPerMillion price);

}  // namespace orchestra::catalog
