#include "http/response_head.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace orchestra::http {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_content_length(std::string_view name) {
  constexpr std::string_view kName = "content-length";
  return std::equal(name.begin(), name.end(), kName.begin(), kName.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
}

// "HTTP/1.1 200 OK", and "HTTP/2 200": three digits after the first blank. 0: none.
int status_of(std::string_view line) {
  const auto blank = line.find(' ');
  if (!line.starts_with("HTTP/") || blank == std::string_view::npos) return 0;
  const std::string_view digits = trimmed(line.substr(blank)).substr(0, 3);
  const bool all_digits = std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (digits.size() != 3 || !all_digits) return 0;
  return (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
}

}  // namespace

ResponseHead::Progress ResponseHead::fail(std::string_view what) {
  fault_ = what;
  return Progress::Malformed;
}

ResponseHead::Progress ResponseHead::fail_limit(std::string_view limit, std::size_t value) {
  fault_ = "the head of the answer is over the limit `";
  fault_.append(limit).append("` of ").append(std::to_string(value));
  return Progress::Malformed;
}

ResponseHead::Progress ResponseHead::add(std::string_view line) {
  bytes_ += line.size();
  if (bytes_ > limits_.bytes) return fail_limit("head_bytes", limits_.bytes);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);

  if (status_ == 0) {
    status_ = status_of(line);
    if (status_ < 100) return fail("the answer has no status");
    // Nobody asked to speak another protocol, so no answer follows.
    return status_ == 101 ? fail("the answer switches protocols") : Progress::More;
  }
  if (line.empty()) {
    if (complete_) return Progress::More;
    if (status_ < 200) {
      status_ = 0;
      lines_ = 0;
      length_.reset();
      headers_.clear();
      return Progress::More;
    }
    complete_ = true;
    lines_ = 0;
    return Progress::Complete;
  }
  if (++lines_ > limits_.lines) return fail_limit("head_lines", limits_.lines);
  if (complete_) return Progress::More;
  if (line.front() == ' ' || line.front() == '\t') {  // a folded line goes on with the value before it
    headers_.extend_last(trimmed(line));
    return Progress::More;
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return fail("a header of the answer has no colon");
  const std::string_view name = trimmed(line.substr(0, colon)), value = trimmed(line.substr(colon + 1));
  if (is_content_length(name) && !add_length(value)) return fail("the answer has no valid Content-Length");
  headers_.add(name, value);
  return Progress::More;
}

// The same length may be said twice.
bool ResponseHead::add_length(std::string_view digits) {
  std::int64_t length = 0;
  const char* const end = digits.data() + digits.size();
  const auto [read_to, fault] = std::from_chars(digits.data(), end, length);
  if (fault != std::errc() || read_to != end || digits.front() == '-') return false;
  if (length_.value_or(length) != length) return false;
  length_ = length;
  return true;
}

}  // namespace orchestra::http
