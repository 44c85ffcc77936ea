// Value: reads of a parsed Document. The grammar was checked by the parser, so that nothing here can run past a value.
#include "json/value.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <system_error>

namespace orchestra::json {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

std::uint16_t hex4(const char* digits) {
  unsigned unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = digits[i];
    unit = unit << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return static_cast<std::uint16_t>(unit);
}

void append_code_point(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

void append_unit(std::string& out, std::uint16_t unit, std::uint16_t& half) {
  if (unit >= 0xDC00 && unit <= 0xDFFF) {
    if (half == 0) {
      out += kReplacement;
      return;
    }
    append_code_point(out, 0x10000 + ((half - 0xD800u) << 10) + (unit - 0xDC00u));
    half = 0;
    return;
  }
  flush_half(out, half);
  if (unit >= 0xD800 && unit <= 0xDBFF) {
    half = unit;
  } else {
    append_code_point(out, unit);
  }
}

char unescape(char letter) {
  switch (letter) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return letter;  // quote, backslash, slash
  }
}

// A number as digits x 10^exponent; the digits are without leading and trailing zeros, so that zero has none.
struct Decimal {
  bool negative = false;
  std::string digits;
  std::int64_t exponent = 0;
};

Decimal read_decimal(std::string_view number) {
  Decimal decimal;
  std::size_t i = 0;
  if (number[0] == '-') {
    decimal.negative = true;
    ++i;
  }
  bool fraction = false;
  for (; i < number.size() && number[i] != 'e' && number[i] != 'E'; ++i) {
    if (number[i] == '.') {
      fraction = true;
      continue;
    }
    if (fraction) --decimal.exponent;
    if (number[i] != '0' || !decimal.digits.empty()) decimal.digits.push_back(number[i]);
  }
  if (i < number.size()) {
    ++i;
    const bool minus = number[i] == '-';
    if (minus || number[i] == '+') ++i;
    // No text is long enough for digits that would make up for an exponent beyond this.
    constexpr std::int64_t kFar = std::int64_t{1} << 40;
    std::int64_t power = 0;
    for (; i < number.size(); ++i) {
      if (power < kFar) power = power * 10 + (number[i] - '0');
    }
    decimal.exponent += minus ? -power : power;
  }
  while (!decimal.digits.empty() && decimal.digits.back() == '0') {
    decimal.digits.pop_back();
    ++decimal.exponent;
  }
  return decimal;
}

}  // namespace

void flush_half(std::string& out, std::uint16_t& half) {
  if (half == 0) return;
  out += kReplacement;
  half = 0;
}

// Most of the reading of a request or an answer happens here, so it goes over the nodes by itself.
Value Value::operator[](std::string_view key) const {
  if (!is_object()) return {};
  const Node* const nodes = document_->nodes_.data();
  const char* const text = document_->text_.data();
  const std::uint32_t end = extent().next;
  for (std::uint32_t at = index_ + 2; at != end;) {
    const Span name = nodes[at].span;
    const bool found = !name.escaped
                           ? name.length == key.size() && std::memcmp(text + name.begin, key.data(), key.size()) == 0
                           : Value(document_, at).is(key);
    if (found) return {document_, at + 1};
    const std::uint32_t value = at + 1;
    at = is_container(nodes[value].span.type) ? nodes[value + 1].extent.next : value + 1;
  }
  return {};
}

Value Value::operator[](std::size_t index) const {
  if (!is_array() || index >= extent().count) return {};
  auto element = elements().begin();
  for (std::size_t i = 0; i < index; ++i) ++element;
  return *element;
}

std::string_view Value::raw() const {
  if (!exists()) return {};
  if (!is_string()) return content();
  const Span here = span();
  return std::string_view(document_->text_).substr(here.begin - std::size_t{1}, here.length + std::size_t{2});
}

std::optional<std::string> Value::string() const {
  if (!is_string()) return std::nullopt;
  std::string out;
  out.reserve(span().length);  // an escape is never shorter than what it stands for
  std::uint16_t half = 0;
  append_to(out, half);
  flush_half(out, half);
  return out;
}

std::string Value::string_or(std::string_view fallback) const {
  std::optional<std::string> text = string();
  return text ? *std::move(text) : std::string(fallback);
}

bool Value::is_escaped(std::string_view text) const {
  // An escape is never shorter than what it stands for.
  return content().size() >= text.size() && *string() == text;
}

void Value::append_to(std::string& out, std::uint16_t& half) const {
  if (!is_string()) return;
  std::string_view rest = content();
  if (!span().escaped) {
    if (!rest.empty()) flush_half(out, half);
    out += rest;
    return;
  }
  while (!rest.empty()) {
    const std::size_t run = std::min(rest.find('\\'), rest.size());
    if (run > 0) {
      flush_half(out, half);
      out += rest.substr(0, run);
      rest.remove_prefix(run);
    } else if (rest[1] == 'u') {
      append_unit(out, hex4(rest.data() + 2), half);
      rest.remove_prefix(6);
    } else {
      flush_half(out, half);
      out.push_back(unescape(rest[1]));
      rest.remove_prefix(2);
    }
  }
}

std::optional<std::int64_t> Value::integer() const {
  if (!is_number()) return std::nullopt;
  const std::string_view text = content();
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop == end) return error == std::errc() ? std::optional(value) : std::nullopt;

  Decimal decimal = read_decimal(text);
  if (decimal.digits.empty()) return 0;
  constexpr std::int64_t kMostDigits = 19;
  if (decimal.exponent < 0 || static_cast<std::int64_t>(decimal.digits.size()) + decimal.exponent > kMostDigits) {
    return std::nullopt;
  }
  decimal.digits.append(static_cast<std::size_t>(decimal.exponent), '0');
  if (decimal.negative) decimal.digits.insert(0, 1, '-');
  const char* digits = decimal.digits.data();
  if (std::from_chars(digits, digits + decimal.digits.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> Value::number() const {
  if (!is_number()) return std::nullopt;
  const std::string_view text = content();
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc()) return value;
  // Out of range at which end? What is too small is zero.
  const Decimal decimal = read_decimal(text);
  if (static_cast<std::int64_t>(decimal.digits.size()) + decimal.exponent > 0) return std::nullopt;
  return decimal.negative ? -0.0 : 0.0;
}

std::optional<bool> Value::boolean() const {
  if (!is_bool()) return std::nullopt;
  return content() == "true";
}

}  // namespace orchestra::json
