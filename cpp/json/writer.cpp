#include "json/writer.hpp"

#include <charconv>
#include <cmath>

#include "json/plain_run.hpp"

namespace orchestra::json {

void Writer::separate() {
  if (comma_) out_.push_back(',');
  comma_ = true;
}

Writer& Writer::begin_object() {
  separate();
  out_.push_back('{');
  comma_ = false;
  return *this;
}

Writer& Writer::end_object() {
  out_.push_back('}');
  comma_ = true;
  return *this;
}

Writer& Writer::begin_array() {
  separate();
  out_.push_back('[');
  comma_ = false;
  return *this;
}

Writer& Writer::end_array() {
  out_.push_back(']');
  comma_ = true;
  return *this;
}

Writer& Writer::key(std::string_view name) {
  string(name);
  out_.push_back(':');
  comma_ = false;
  return *this;
}

Writer& Writer::string(std::string_view utf8) {
  separate();
  out_.push_back('"');
  escape(out_, utf8);
  out_.push_back('"');
  return *this;
}

Writer& Writer::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

Writer& Writer::integer(std::int64_t value) {
  separate();
  char digits[24];
  out_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  return *this;
}

Writer& Writer::number(double value) {
  if (!std::isfinite(value)) return null();
  separate();
  char digits[32];
  out_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  return *this;
}

Writer& Writer::boolean(bool value) { return raw(value ? "true" : "false"); }

Writer& Writer::null() { return raw("null"); }

void escape(std::string& out, std::string_view utf8) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const char* at = utf8.data();
  const char* const end = at + utf8.size();
  for (;;) {
    const char* const stop = end_of_plain(at, end);
    out.append(at, stop);
    if (stop == end) return;
    switch (*stop) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      default:
        out += "\\u00";
        out.push_back(kHex[static_cast<unsigned char>(*stop) >> 4]);
        out.push_back(kHex[static_cast<unsigned char>(*stop) & 0xF]);
    }
    at = stop + 1;
  }
}

}  // namespace orchestra::json
