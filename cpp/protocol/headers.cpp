// Reading headers: by name in any case, and the wait that an answer asks for.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>

#include "protocol/format.hpp"

namespace orchestra::protocol {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Takes a number from the front of the text.
std::optional<double> take_number(std::string_view& text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || !std::isfinite(value) || value < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::optional<double> whole_number(std::string_view text) {
  const auto value = take_number(text);
  return text.empty() ? value : std::nullopt;
}

// "1s", "6m0s", "250ms", "1h2m3.5s", or seconds.
std::optional<double> duration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  while (!text.empty()) {
    const auto value = take_number(text);
    if (!value) return std::nullopt;
    struct Unit {
      std::string_view name;
      double seconds;
    };
    constexpr std::array kUnits = {Unit{"ms", 1e-3}, Unit{"us", 1e-6}, Unit{"ns", 1e-9}, Unit{"d", 86400},
                                   Unit{"h", 3600},  Unit{"m", 60},    Unit{"s", 1}};
    const auto unit =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return text.starts_with(u.name); });
    if (unit == kUnits.end() && !text.empty()) return std::nullopt;
    if (unit != kUnits.end()) text.remove_prefix(unit->name.size());
    seconds += *value * (unit == kUnits.end() ? 1 : unit->seconds);
  }
  return seconds;
}

// The three forms of an HTTP date (RFC 9110, section 5.6.7), as seconds since 1970. All have one month name, one time
// with colons, and day and year around the month, so the words are read by their shape.
std::optional<double> http_date(std::string_view text) {
  constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                        "jul", "aug", "sep", "oct", "nov", "dec"};
  std::optional<unsigned> month;
  std::array<unsigned, 2> numbers{};  // day, year
  std::array<unsigned, 3> clock{};
  std::size_t numbers_seen = 0;
  bool clock_seen = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" ,-"), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    const auto digits = [](std::string_view part) -> std::optional<unsigned> {
      unsigned value = 0;
      const auto [stop, problem] = std::from_chars(part.data(), part.data() + part.size(), value);
      return problem == std::errc{} && stop == part.data() + part.size() ? std::optional(value) : std::nullopt;
    };
    if (word.size() == 8 && word[2] == ':' && word[5] == ':') {
      for (std::size_t i = 0; i < 3; ++i) {
        const auto value = digits(word.substr(3 * i, 2));
        if (!value) return std::nullopt;
        clock[i] = *value;
      }
      clock_seen = true;
    } else if (const auto value = digits(word)) {
      if (numbers_seen == 2) return std::nullopt;
      numbers[numbers_seen++] = *value;
    } else if (word.size() == 3) {
      for (unsigned i = 0; i < kMonths.size(); ++i) {
        if (same_name(word, kMonths[i])) month = i + 1;
      }
    }
  }
  if (!month || !clock_seen || numbers_seen != 2) return std::nullopt;
  auto [day, year] = numbers;
  if (year < 100) year += year < 70 ? 2000 : 1900;
  if (year > 9999) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)), std::chrono::month(*month),
                                         std::chrono::day(day)};
  if (!date.ok() || clock[0] > 23 || clock[1] > 59 || clock[2] > 60) return std::nullopt;
  const double days = static_cast<double>(std::chrono::sys_days(date).time_since_epoch().count());
  return days * 86400 + clock[0] * 3600 + clock[1] * 60 + clock[2];
}

// OpenAI's kind of headers tells two windows; where one of them is said to be used up, only that one counts.
std::optional<double> rate_limit_reset(const Headers& headers) {
  std::optional<double> longest, exhausted;
  for (const std::string_view window : {"requests", "tokens"}) {
    const auto named = [&](std::string_view start) { return std::string(start).append(window); };
    const auto wait = duration(trimmed(header(headers, named("x-ratelimit-reset-"))));
    if (!wait) continue;
    longest = std::max(longest.value_or(0), *wait);
    if (trimmed(header(headers, named("x-ratelimit-remaining-"))) == "0") {
      exhausted = std::max(exhausted.value_or(0), *wait);
    }
  }
  return exhausted ? exhausted : longest;
}

}  // namespace

std::string_view header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (same_name(key, name)) return value;
  }
  return {};
}

std::optional<double> retry_hint(int status, const Headers& headers, double unix_now) {
  std::optional<double> hint;
  const std::string_view after = trimmed(header(headers, "retry-after"));
  if (const auto seconds = whole_number(after)) {
    hint = seconds;
  } else if (const auto date = http_date(after)) {
    hint = std::max(0.0, *date - unix_now);
  }
  if (const auto milliseconds = whole_number(trimmed(header(headers, "retry-after-ms")))) {
    hint = std::max(hint.value_or(0), *milliseconds / 1000);
  }
  if (!hint && status == 429) hint = rate_limit_reset(headers);
  return hint;
}

}  // namespace orchestra::protocol
