#include "protocol/data_url.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace orchestra::protocol {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// What a byte means: 0..63 a digit, 64 nothing (white space), 65 not base64. Both alphabets.
constexpr std::array<std::uint8_t, 256> kDigits = [] {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(65);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<std::uint8_t>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  digits['-'] = 62;
  digits['_'] = 63;
  for (const char c : {' ', '\t', '\r', '\n'}) digits[static_cast<std::uint8_t>(c)] = 64;
  return digits;
}();

bool starts_with_any_case(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() && std::equal(lower.begin(), lower.end(), text.begin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + ('a' - 'A')) : b);
         });
}

}  // namespace

std::optional<std::string> standard_base64(std::string_view text) {
  while (!text.empty() && (text.back() == '=' || kDigits[static_cast<std::uint8_t>(text.back())] == 64)) {
    text.remove_suffix(1);
  }
  std::string out;
  out.reserve(text.size() + 3);
  for (const char c : text) {
    const std::uint8_t digit = kDigits[static_cast<std::uint8_t>(c)];
    if (digit == 65) return std::nullopt;
    if (digit < 64) out += kAlphabet[digit];
  }
  if (out.size() % 4 == 1) return std::nullopt;
  while (out.size() % 4 != 0) out += '=';
  return out;
}

std::optional<DataUrl> parse_data_url(std::string_view url) {
  constexpr std::string_view kScheme = "data:", kMark = ";base64";
  if (!starts_with_any_case(url, kScheme)) return std::nullopt;
  url.remove_prefix(kScheme.size());
  const std::size_t comma = url.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  std::string_view head = url.substr(0, comma);
  if (head.size() < kMark.size() || !starts_with_any_case(head.substr(head.size() - kMark.size()), kMark)) {
    return std::nullopt;
  }
  head = head.substr(0, head.find(';'));
  auto base64 = standard_base64(url.substr(comma + 1));
  if (!base64) return std::nullopt;
  return DataUrl{std::string(head), *std::move(base64)};
}

std::string encode_base64(std::string_view bytes) {
  std::string out;
  std::uint32_t bits = 0;
  int have = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<std::uint8_t>(c);
    for (have += 8; have >= 6; have -= 6) out += kAlphabet[bits >> (have - 6) & 63];
  }
  if (have > 0) out += kAlphabet[bits << (6 - have) & 63];
  out.resize((out.size() + 3) / 4 * 4, '=');
  return out;
}

std::string decode_base64(std::string_view base64) {
  std::string out;
  out.reserve(base64.size() / 4 * 3);
  std::uint32_t bits = 0;
  int have = 0;
  for (const char c : base64) {
    const std::uint8_t digit = kDigits[static_cast<std::uint8_t>(c)];
    if (digit > 63) break;
    bits = (bits << 6 | digit) & 0xFFFFFF;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out += static_cast<char>(bits >> have & 0xFF);
  }
  return out;
}

}  // namespace orchestra::protocol
