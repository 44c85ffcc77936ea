#include "spend/cost.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string_view>

namespace orchestra::spend {
namespace {

using catalog::Price;
using catalog::read_price;
using chat::Usage;

Price price(std::string_view input, std::string_view output) {
  Price p;
  if (!input.empty()) p.rates.input = *read_price(input);
  if (!output.empty()) p.rates.output = *read_price(output);
  return p;
}

Price cache_price() {
  Price p = price("2.5", "10");
  p.rates.cached_input = *read_price("0.25");
  p.rates.cache_write = *read_price("3.125");
  p.rates.cache_write_1h = *read_price("5");
  return p;
}

Usage usage(std::int64_t input, std::int64_t output) {
  Usage u;
  u.input_tokens = input;
  u.output_tokens = output;
  return u;
}

TEST(Cost, is_tokens_times_price) {
  const Price p = price("2.5", "10");
  const Cost cost = cost_of(&p, usage(999'983, 1'000'003));
  EXPECT_TRUE(cost.known);
  EXPECT_FALSE(cost.estimated);
  EXPECT_EQ(cost.nano_usd, 999'983LL * 2500 + 1'000'003LL * 10'000);
  EXPECT_EQ(cost.at_least_nano_usd, cost.nano_usd);
  EXPECT_DOUBLE_EQ(to_usd(cost.input), 999'983 * 2.5e-6);
  EXPECT_DOUBLE_EQ(to_usd(cost.output), 1'000'003 * 1e-5);
}

TEST(Cost, takes_cached_and_written_tokens_out_of_the_input) {
  const Price p = cache_price();
  Usage u = usage(100, 20);
  u.cached_tokens = 40;
  u.cache_write_tokens = 10;
  const Cost cost = cost_of(&p, u);
  EXPECT_EQ(cost.nano_usd, 50 * 2500 + 40 * 250 + 10 * 3125 + 20 * 10'000);
  EXPECT_EQ(cost.input + cost.cached_input + cost.cache_write + cost.output, FemtoUsd{cost.nano_usd} * 1'000'000);
  u.cache_write_1h_tokens = 4;
  EXPECT_EQ(cost_of(&p, u).nano_usd, 50 * 2500 + 40 * 250 + 6 * 3125 + 4 * 5000 + 20 * 10'000);
}

TEST(Cost, bills_cache_tokens_as_input_where_their_price_is_missing) {
  const Price p = price("2", "4");
  Usage u = usage(100, 0);
  u.cached_tokens = 40;
  u.cache_write_tokens = 10;
  u.cache_write_1h_tokens = 5;
  EXPECT_EQ(cost_of(&p, u).nano_usd, 100 * 2000);
  Price with_write = p;
  with_write.rates.cache_write = *read_price("3");
  EXPECT_EQ(cost_of(&with_write, u).nano_usd, 90 * 2000 + 10 * 3000);
}

TEST(Cost, clamps_a_part_that_is_greater_than_its_whole) {
  const Price p = cache_price();
  Usage u = usage(10, 5);
  u.cached_tokens = 1000;
  u.cache_write_tokens = 1000;
  u.reasoning_tokens = 1000;
  EXPECT_EQ(cost_of(&p, u).nano_usd, 10 * 250 + 5 * 10'000);
  u.cached_tokens = -5;
  u.cache_write_tokens = -5;
  EXPECT_EQ(cost_of(&p, u).nano_usd, 10 * 2500 + 5 * 10'000);
  u.input_tokens = -10;
  EXPECT_EQ(cost_of(&p, u).nano_usd, 5 * 10'000);
}

TEST(Cost, prices_reasoning_and_audio_apart_where_the_sheet_does) {
  Price p = price("1", "2");
  Usage u = usage(100, 100);
  u.reasoning_tokens = 30;
  u.audio_input_tokens = 20;
  u.audio_output_tokens = 10;
  EXPECT_EQ(cost_of(&p, u).nano_usd, 100 * 1000 + 100 * 2000);
  p.rates.reasoning = *read_price("3");
  p.rates.audio_input = *read_price("5");
  p.rates.audio_output = *read_price("7");
  EXPECT_EQ(cost_of(&p, u).nano_usd, 80 * 1000 + 20 * 5000 + 60 * 2000 + 30 * 3000 + 10 * 7000);
}

TEST(Cost, is_rounded_once_half_up) {
  const std::tuple<const char*, std::int64_t, std::int64_t> cases[] = {
      {"0.0028", 1, 3},
      {"0.0028", 1'000'000'000, 2'800'000'000},
      {"0.003625", 1, 4},
      {"0.003625", 1'000'000'000, 3'625'000'000},
      {"0.0005", 1, 1},
      {"0.0005", 3, 2},
      {"0.0005", 5, 3},
      {"0.0004", 1, 0},
      {"0.000001", 499, 0},
      {"0.000001", 500, 1},
      {"600", 20'000'000, 12'000'000'000'000},
      {"0.1", 1'000'000'000'000'000, 100'000'000'000'000'000},
  };
  for (const auto& [text, tokens, expected] : cases) {
    const Price in = price(text, "1"), out = price("1", text);
    EXPECT_EQ(cost_of(&in, usage(tokens, 0)).nano_usd, expected) << text;
    EXPECT_EQ(cost_of(&out, usage(0, tokens)).nano_usd, expected) << text;
  }
  const Price both = price("0.0004", "0.0004");
  EXPECT_EQ(cost_of(&both, usage(1, 1)).nano_usd, 1);
}

TEST(Cost, is_unknown_without_price_or_usage) {
  const Price p = price("1", "1"), only_input = price("1", ""), only_output = price("", "1");
  Usage half;
  half.input_tokens = 5;
  for (const Cost& cost : {cost_of(nullptr, usage(1, 1)), cost_of(&p, Usage()), cost_of(&p, half),
                           cost_of(&only_input, usage(5, 5)), cost_of(&only_output, usage(5, 5))}) {
    EXPECT_FALSE(cost.known);
    EXPECT_EQ(cost.nano_usd, 0);
    EXPECT_EQ(cost.at_least_nano_usd, 0);
  }
  EXPECT_EQ(cost_of(&only_input, usage(5, 0)).nano_usd, 5000);
}

TEST(Cost, of_zero_is_known_and_free) {
  const Price free = price("0", "0"), dear = price("1", "1");
  EXPECT_TRUE(cost_of(&free, usage(1'000'000, 1'000'000)).known);
  EXPECT_EQ(cost_of(&free, usage(1'000'000, 1'000'000)).nano_usd, 0);
  EXPECT_TRUE(cost_of(&dear, usage(0, 0)).known);
  EXPECT_TRUE(zero().known);
}

TEST(Cost, of_another_service_tier_is_unknown_not_the_plain_price) {
  const Price p = price("1", "1");
  for (const char* tier : {"", "standard", "default", "on_demand", "auto"}) {
    Usage u = usage(1, 1);
    u.service_tier = tier;
    EXPECT_TRUE(cost_of(&p, u).known) << tier;
  }
  for (const char* tier : {"flex", "priority", "batch"}) {
    Usage u = usage(1, 1);
    u.service_tier = tier;
    EXPECT_FALSE(cost_of(&p, u).known) << tier;
  }
}

TEST(Cost, beyond_64_bits_is_unknown) {
  const Price p = price("1000000", "1000000");
  const auto most = std::numeric_limits<std::int64_t>::max();
  EXPECT_FALSE(cost_of(&p, usage(most, most)).known);
}

TEST(Estimate, counts_a_token_for_every_four_bytes_begun) {
  const Price p = price("2.5", "10");
  const Cost cost = estimate(&p, 9, 4);
  EXPECT_TRUE(cost.known);
  EXPECT_TRUE(cost.estimated);
  EXPECT_EQ(cost.nano_usd, 3 * 2500 + 1 * 10'000);
  EXPECT_EQ(estimate(&p, 0, 0).nano_usd, 0);
  EXPECT_FALSE(estimate(nullptr, 9, 4).known);
}

TEST(Sum, adds_every_part) {
  const Price p = cache_price();
  Usage u = usage(100, 20);
  u.cached_tokens = 40;
  const Cost one = cost_of(&p, u);
  const Cost both = one + estimate(&p, 4, 4);
  EXPECT_TRUE(both.known);
  EXPECT_TRUE(both.estimated);
  EXPECT_EQ(both.nano_usd, one.nano_usd + 12'500);
  EXPECT_EQ(both.cached_input, one.cached_input);
}

TEST(Sum, with_an_unknown_part_is_unknown_and_keeps_what_is_known) {
  const Price p = price("1", "1");
  Cost sum = zero();
  sum += cost_of(&p, usage(5, 0));
  sum += unknown();
  sum += cost_of(&p, usage(2, 0));
  EXPECT_FALSE(sum.known);
  EXPECT_EQ(sum.nano_usd, 0);
  EXPECT_EQ(sum.at_least_nano_usd, 7000);
  EXPECT_EQ(sum.input, 0);
}

TEST(Sum, rounds_each_attempt_by_itself) {
  const Price p = price("0.0004", "1");
  EXPECT_EQ((cost_of(&p, usage(1, 0)) + cost_of(&p, usage(1, 0))).nano_usd, 0);
}

}  // namespace
}  // namespace orchestra::spend
