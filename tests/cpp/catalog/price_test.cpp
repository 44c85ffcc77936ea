#include "catalog/price.hpp"

#include <gtest/gtest.h>

#include <string>

namespace orchestra::catalog {
namespace {

TEST(Price, is_exactly_the_decimal_that_was_written) {
  const std::pair<const char*, NanoUsdPerMillion> cases[] = {
      {"0", 0},
      {"0.000", 0},
      {"3", 3'000'000'000},
      {"2.5", 2'500'000'000},
      {"0.0028", 2'800'000},
      {"0.003625", 3'625'000},
      {"0.000000001", 1},
      {"1e-1", 100'000'000},
      {"1E+2", 100'000'000'000},
      {".5", 500'000'000},
      {"5.", 5'000'000'000},
      {"0010.0100", 10'010'000'000},
      {"1000000", kMaxPrice},
      {"0E-7", 0},
      {"10000000000000000000000e-22", 1'000'000'000},
  };
  for (const auto& [text, expected] : cases) {
    const auto price = read_price(text);
    ASSERT_TRUE(price) << text << ": " << price.error().message;
    EXPECT_EQ(*price, expected) << text;
  }
}

TEST(Price, refuses_what_is_no_price) {
  for (const char* text : {"",
                           "-1",
                           "-0",
                           "nan",
                           "inf",
                           "1.2.3",
                           "1e",
                           "1e+",
                           "e5",
                           ".",
                           "1 ",
                           " 1",
                           "1,5",
                           "0x10",
                           "1_000",
                           "0.0000000001",
                           "0.18000000000000002",
                           "1000000.000000001",
                           "1e7",
                           "9e999999999999"}) {
    const auto price = read_price(text);
    ASSERT_FALSE(price) << text;
    EXPECT_EQ(price.error().kind, chat::ErrorKind::Config);
    EXPECT_FALSE(price.error().message.empty());
  }
}

TEST(Price, is_written_as_its_shortest_decimal) {
  for (const char* text : {"0", "2.5", "0.0028", "10", "0.000000001", "1000000", "3.125"}) {
    EXPECT_EQ(price_text(*read_price(text)), text);
  }
}

TEST(Rates, are_empty_only_without_any_price) {
  Rates rates;
  EXPECT_TRUE(rates.empty());
  rates.audio_output = 0;
  EXPECT_FALSE(rates.empty());
}

}  // namespace
}  // namespace orchestra::catalog
