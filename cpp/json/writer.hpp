// Writer: appends JSON to a string; commas come by themselves.
//
//   std::string out;
//   Writer w(out);
//   w.begin_object().member("model", "m").key("messages").raw(value.raw()).end_object();
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace orchestra::json {

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  Writer& begin_object();
  Writer& end_object();
  Writer& begin_array();
  Writer& end_array();
  Writer& key(std::string_view name);

  Writer& string(std::string_view utf8);  // REQUIRES: valid UTF-8
  Writer& raw(std::string_view json);     // a whole JSON value, as it stands
  Writer& integer(std::int64_t value);
  Writer& number(double value);  // shortest form that reads back equal; not finite: null
  Writer& boolean(bool value);
  Writer& null();

  Writer& member(std::string_view name, std::string_view utf8) { return key(name).string(utf8); }
  Writer& member(std::string_view name, const char* utf8) { return key(name).string(utf8); }
  Writer& member(std::string_view name, const std::string& utf8) { return key(name).string(utf8); }
  Writer& member(std::string_view name, bool value) { return key(name).boolean(value); }
  Writer& member(std::string_view name, double value) { return key(name).number(value); }
  template <std::integral T>
  requires(!std::same_as<T, bool>) Writer& member(std::string_view name, T value) {
    return key(name).integer(static_cast<std::int64_t>(value));
  }

 private:
  void separate();

  std::string& out_;
  bool comma_ = false;
};

// Appends the text with JSON escapes, without quotes.
void escape(std::string& out, std::string_view utf8);

}  // namespace orchestra::json
