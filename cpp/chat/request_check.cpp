#include "chat/request_check.hpp"

#include <algorithm>
#include <charconv>

namespace orchestra::chat {
namespace {

std::string_view type_words(json::Value value) {
  if (!value.exists()) return "missing";
  switch (value.type()) {
    case json::Type::Null: return "null";
    case json::Type::Bool: return "a bool";
    case json::Type::Number: return "a number";
    case json::Type::String: return "a string";
    case json::Type::Array: return "a list";
    case json::Type::Object: return "an object";
  }
  return "unknown";
}

// Of the text between the quotes of a string.
bool has_lone_half(std::string_view text) {
  bool high = false;
  for (std::size_t i = 0; i < text.size();) {
    bool next_high = false;
    std::size_t size = 1;
    if (text[i] == '\\') {
      size = text[i + 1] == 'u' ? 6 : 2;
      unsigned unit = 0;
      if (size == 6) std::from_chars(text.data() + i + 2, text.data() + i + 6, unit, 16);
      const bool low = unit >= 0xDC00 && unit <= 0xDFFF;
      if (low != high) return true;
      next_high = unit >= 0xD800 && unit <= 0xDBFF;
    } else if (high) {
      return true;
    }
    high = next_high;
    i += size;
  }
  return high;
}

}  // namespace

Fault fault(const Path& path, std::string_view what) { return path.text() + ": " + std::string(what); }

Fault wrong_type(const Path& path, std::string_view wanted, json::Value got) {
  if (!got.exists()) return fault(path, "is missing; it must be " + std::string(wanted));
  return fault(path, "must be " + std::string(wanted) + ", not " + std::string(type_words(got)));
}

std::string quoted(json::Value value) {
  constexpr std::size_t kMost = 60;
  std::string_view raw = value.raw();
  if (raw.size() <= kMost) return std::string(raw);
  raw = raw.substr(0, kMost);
  while (!raw.empty() && (static_cast<unsigned char>(raw.back()) & 0xC0) == 0x80) raw.remove_suffix(1);
  if (!raw.empty() && static_cast<unsigned char>(raw.back()) >= 0xC0) raw.remove_suffix(1);
  return std::string(raw) + "...";
}

bool is_one_of(json::Value value, Words words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return value.is(word); });
}

Fault not_one_of(const Path& path, json::Value got, Words words) {
  std::string list;
  for (std::string_view word : words) list += (list.empty() ? "" : ", ") + std::string(word);
  if (!got.is_string()) return wrong_type(path, "one of " + list, got);
  return fault(path, quoted(got) + " is not one of " + list);
}

Fault check_string(json::Value object, const Path& path, std::string_view key) {
  const json::Value value = object[key];
  return value.is_string() ? Fault() : wrong_type({path, key}, "a string", value);
}

Fault check_optional_string(json::Value object, const Path& path, std::string_view key) {
  return object[key] ? check_string(object, path, key) : Fault();
}

Fault check_surrogates(json::Value value, const Path& path) {
  if (value.is_string()) {
    if (!has_lone_half(value.raw().substr(1, value.raw().size() - 2))) return {};
    return fault(path, "holds half of a surrogate pair, which is no text");
  }
  std::size_t index = 0;
  for (json::Value element : value.elements()) {
    if (Fault found = check_surrogates(element, {path, index++})) return found;
  }
  for (auto [key, member] : value.members()) {
    const std::string name = key.string_or();
    const Path here(path, name);
    if (Fault found = check_surrogates(key, here)) return found;
    if (Fault found = check_surrogates(member, here)) return found;
  }
  return {};
}

}  // namespace orchestra::chat
