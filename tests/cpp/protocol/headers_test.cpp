#include <gtest/gtest.h>

#include "protocol/format.hpp"

namespace orchestra::protocol {
namespace {

constexpr double kNow = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT

std::optional<double> hint(int status, const Headers& headers) { return retry_hint(status, headers, kNow); }

TEST(Header, is_found_in_any_case) {
  const Headers headers = {{"Content-Type", "text/plain"}, {"X-A", "1"}, {"x-a", "2"}};
  EXPECT_EQ(header(headers, "content-type"), "text/plain");
  EXPECT_EQ(header(headers, "x-a"), "1");
  EXPECT_EQ(header(headers, "absent"), "");
}

TEST(RetryHint, reads_seconds_and_parts_of_them) {
  EXPECT_EQ(hint(429, {{"Retry-After", "7"}}), 7);
  EXPECT_EQ(hint(503, {{"retry-after", " 0.25 "}}), 0.25);
  EXPECT_EQ(hint(429, {}), std::nullopt);
}

TEST(RetryHint, reads_the_three_forms_of_a_date) {
  EXPECT_EQ(hint(429, {{"retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"}}), 30);
  EXPECT_EQ(hint(429, {{"retry-after", "Sunday, 06-Nov-94 08:50:07 GMT"}}), 30);
  EXPECT_EQ(hint(429, {{"retry-after", "Sun Nov  6 08:50:07 1994"}}), 30);
  EXPECT_EQ(hint(429, {{"retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"}}), 0);
}

TEST(RetryHint, ignores_nonsense) {
  for (const char* text : {"soon", "-5", "", "nan", "inf", "1 2", "Sun, 99 Nov 1994 08:50:07 GMT", "Nov", "1e999"}) {
    EXPECT_EQ(hint(429, {{"retry-after", text}}), std::nullopt) << text;
  }
}

TEST(RetryHint, takes_the_longest_of_seconds_and_milliseconds) {
  EXPECT_EQ(hint(429, {{"retry-after", "1"}, {"retry-after-ms", "1500"}}), 1.5);
  EXPECT_EQ(hint(429, {{"retry-after", "1"}, {"retry-after-ms", "0"}}), 1);
  EXPECT_EQ(hint(429, {{"retry-after-ms", "250"}}), 0.25);
}

TEST(RetryHint, reads_the_resets_of_a_rate_limit_on_a_429_without_the_others) {
  EXPECT_EQ(hint(429, {{"x-ratelimit-reset-requests", "1s"}, {"x-ratelimit-reset-tokens", "6m0s"}}), 360);
  EXPECT_EQ(hint(429, {{"x-ratelimit-reset-tokens", "250ms"}}), 0.25);
  EXPECT_EQ(hint(429, {{"x-ratelimit-reset-tokens", "12"}}), 12);
  EXPECT_EQ(hint(429, {{"x-ratelimit-reset-tokens", "later"}}), std::nullopt);
  EXPECT_EQ(hint(500, {{"x-ratelimit-reset-tokens", "12"}}), std::nullopt);
  EXPECT_EQ(hint(429, {{"x-ratelimit-reset-tokens", "60"}, {"retry-after", "2"}}), 2);
}

TEST(RetryHint, counts_only_the_window_that_is_said_to_be_used_up) {
  EXPECT_EQ(hint(429, {{"x-ratelimit-reset-requests", "2h"},
                       {"x-ratelimit-remaining-requests", "900"},
                       {"x-ratelimit-reset-tokens", "3s"},
                       {"x-ratelimit-remaining-tokens", "0"}}),
            3);
}

}  // namespace
}  // namespace orchestra::protocol
