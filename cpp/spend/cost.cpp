#include "spend/cost.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>

namespace orchestra::spend {

namespace {

using catalog::NanoUsdPerMillion;
using Rate = std::optional<NanoUsdPerMillion>;

constexpr FemtoUsd kFemtoPerNano = 1'000'000;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

Rate or_else(const Rate& rate, const Rate& fallback) { return rate ? rate : fallback; }

// A part of a whole that has `left` tokens not yet accounted for; takes them off.
std::int64_t take(std::int64_t& left, const std::optional<std::int64_t>& part) {
  const std::int64_t taken = std::clamp<std::int64_t>(part.value_or(0), 0, left);
  left -= taken;
  return taken;
}

// Adds tokens * rate; false when there are tokens and no rate. Prices are at most 10^15 and tokens below 2^63, so no
// sum of a few products comes near 2^127.
bool add(FemtoUsd& amount, std::int64_t tokens, const Rate& rate) {
  if (tokens == 0) return true;
  if (!rate) return false;
  amount += static_cast<FemtoUsd>(tokens) * *rate;
  return true;
}

std::int64_t saturating_sum(std::int64_t a, std::int64_t b) { return a > kMost - b ? kMost : a + b; }

bool is_standard_tier(std::string_view tier) {
  return tier.empty() || tier == "standard" || tier == "default" || tier == "on_demand" || tier == "auto";
}

}  // namespace

Cost unknown() {
  Cost cost;
  cost.known = false;
  return cost;
}

double to_usd(FemtoUsd amount) { return static_cast<double>(amount) / 1e15; }
double nano_to_usd(std::int64_t nano_usd) { return static_cast<double>(nano_usd) / 1e9; }

Cost& Cost::operator+=(const Cost& other) {
  estimated = estimated || other.estimated;
  at_least_nano_usd = saturating_sum(at_least_nano_usd, other.at_least_nano_usd);
  known = known && other.known && nano_usd <= kMost - other.nano_usd;
  nano_usd = known ? nano_usd + other.nano_usd : 0;
  input = known ? input + other.input : 0;
  output = known ? output + other.output : 0;
  cached_input = known ? cached_input + other.cached_input : 0;
  cache_write = known ? cache_write + other.cache_write : 0;
  return *this;
}

Cost cost_of(const catalog::Price* price, const chat::Usage& usage) {
  if (price == nullptr || !usage.reported() || !is_standard_tier(usage.service_tier)) return unknown();
  const catalog::Rates& rates = price->rates;

  std::int64_t fresh = std::max<std::int64_t>(*usage.input_tokens, 0);
  const std::int64_t cached = take(fresh, usage.cached_tokens);
  std::int64_t written = take(fresh, usage.cache_write_tokens);
  const std::int64_t written_1h = take(written, usage.cache_write_1h_tokens);
  const std::int64_t audio_input = take(fresh, usage.audio_input_tokens);
  std::int64_t plain_output = std::max<std::int64_t>(*usage.output_tokens, 0);
  const std::int64_t reasoning = take(plain_output, usage.reasoning_tokens);
  const std::int64_t audio_output = take(plain_output, usage.audio_output_tokens);

  Cost cost;
  const Rate write_rate = or_else(rates.cache_write, rates.input);
  const bool complete = add(cost.input, fresh, rates.input) &&
                        add(cost.input, audio_input, or_else(rates.audio_input, rates.input)) &&
                        add(cost.cached_input, cached, or_else(rates.cached_input, rates.input)) &&
                        add(cost.cache_write, written, write_rate) &&
                        add(cost.cache_write, written_1h, or_else(rates.cache_write_1h, write_rate)) &&
                        add(cost.output, plain_output, rates.output) &&
                        add(cost.output, reasoning, or_else(rates.reasoning, rates.output)) &&
                        add(cost.output, audio_output, or_else(rates.audio_output, rates.output));
  if (!complete) return unknown();
  const FemtoUsd sum = cost.input + cost.cached_input + cost.cache_write + cost.output;
  const FemtoUsd nano = (sum + kFemtoPerNano / 2) / kFemtoPerNano;
  if (nano > kMost) return unknown();
  cost.nano_usd = static_cast<std::int64_t>(nano);
  cost.at_least_nano_usd = cost.nano_usd;
  return cost;
}

Cost estimate(const catalog::Price* price, std::size_t input_bytes, std::size_t output_bytes) {
  const auto tokens = [](std::size_t bytes) { return static_cast<std::int64_t>(bytes / 4 + (bytes % 4 != 0 ? 1 : 0)); };
  chat::Usage usage;
  usage.input_tokens = tokens(input_bytes);
  usage.output_tokens = tokens(output_bytes);
  Cost cost = cost_of(price, usage);
  cost.estimated = true;
  return cost;
}

}  // namespace orchestra::spend
