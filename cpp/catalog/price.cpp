#include "catalog/price.hpp"

#include <algorithm>

namespace orchestra::catalog {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

chat::Error refuse(std::string_view text) { return chat::make_error(chat::ErrorKind::Config, std::string(text)); }

// A decimal number as digits * 10^exponent; false when the text is none.
bool split_decimal(std::string_view text, std::string& digits, int& exponent) {
  std::size_t i = 0;
  bool point = false;
  int behind_point = 0;
  for (; i < text.size() && (is_digit(text[i]) || (text[i] == '.' && !point)); ++i) {
    if (text[i] == '.') {
      point = true;
      continue;
    }
    digits.push_back(text[i]);
    behind_point += point ? 1 : 0;
  }
  if (digits.empty() || digits.size() > 64) return false;
  exponent = 0;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    bool negative = false;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) negative = text[i++] == '-';
    const std::size_t first = i;
    for (; i < text.size() && is_digit(text[i]); ++i) exponent = std::min(exponent * 10 + (text[i] - '0'), 1000);
    if (i == first) return false;
    if (negative) exponent = -exponent;
  }
  exponent -= behind_point;
  return i == text.size();
}

}  // namespace

bool Rates::empty() const {
  return std::ranges::none_of(kRateNames, [this](const RateName& rate) { return (this->*rate.member).has_value(); });
}

Result<NanoUsdPerMillion> read_price(std::string_view decimal) {
  if (decimal.starts_with('-')) return refuse("is negative; a price is in USD per million tokens, 0 or more");
  std::string digits;
  int exponent = 0;
  if (!split_decimal(decimal, digits, exponent)) return refuse("is not a decimal number of USD per million tokens");
  const std::size_t leading = std::min(digits.find_first_not_of('0'), digits.size());
  digits.erase(0, leading);
  while (!digits.empty() && digits.back() == '0') {
    digits.pop_back();
    ++exponent;
  }
  if (digits.empty()) return NanoUsdPerMillion{0};
  exponent += 9;  // dollars to nano-dollars
  if (exponent < 0) return refuse("is finer than a nano-dollar per million tokens (9 decimals)");
  if (digits.size() + static_cast<std::size_t>(exponent) > 16) return refuse("is above 1000000 USD per million tokens");
  NanoUsdPerMillion price = 0;
  for (const char digit : digits) price = price * 10 + (digit - '0');
  for (; exponent > 0; --exponent) price *= 10;
  if (price > kMaxPrice) return refuse("is above 1000000 USD per million tokens");
  return price;
}

std::string price_text(NanoUsdPerMillion price) {
  std::string fraction = std::to_string(price % 1'000'000'000);
  fraction.insert(0, 9 - fraction.size(), '0');
  fraction.erase(fraction.find_last_not_of('0') + 1);
  std::string text = std::to_string(price / 1'000'000'000);
  if (!fraction.empty()) text.append(".").append(fraction);
  return text;
}

}  // namespace orchestra::catalog
