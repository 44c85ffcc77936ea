// Cost: what an attempt or a call cost. Exact until it is rounded, once for each attempt, half up, to whole
// nano-dollars. Plain data, usable from any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "catalog/price.hpp"
#include "chat/reply.hpp"

namespace orchestra::spend {

// 1e-15 USD: a token at a nano-dollar per million tokens costs one of these. 64 bits end at 9'223 USD.
__extension__ typedef __int128 FemtoUsd;

struct Cost {
  bool known = true;       // false: every amount but at_least_nano_usd is 0 and means nothing
  bool estimated = false;  // the usage, or a part's, was not reported
  std::int64_t nano_usd = 0;
  std::int64_t at_least_nano_usd = 0;  // the sum of the known parts
  FemtoUsd input = 0;                  // without cached_input and cache_write
  FemtoUsd output = 0;
  FemtoUsd cached_input = 0;
  FemtoUsd cache_write = 0;

  // The sum: unknown when one of both is, with what is known in at_least_nano_usd; estimated when one of both is.
  Cost& operator+=(const Cost& other);
  friend Cost operator+(Cost a, const Cost& b) { return a += b; }
};

inline Cost zero() { return {}; }
Cost unknown();

double to_usd(FemtoUsd amount);
double nano_to_usd(std::int64_t nano_usd);

// What this usage costs at these prices (nullptr: unknown). Cached and written tokens are parts of the input, reasoning
// of the output; a part greater than its whole counts as the whole. A missing cache price is the input price, a missing
// price of 1-hour writes that of writes, a missing reasoning or audio price that of its direction. Unknown: a usage
// that was not reported, tokens without a base price, a service tier other than the standard one, an amount beyond 64
// bits.
Cost cost_of(const catalog::Price* price, const chat::Usage& usage);

// The same for a usage that nobody reported: a token for every four bytes begun of the request's texts and of the
// delivered text. Estimated, also when unknown.
Cost estimate(const catalog::Price* price, std::size_t input_bytes, std::size_t output_bytes);

}  // namespace orchestra::spend
