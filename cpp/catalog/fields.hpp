// Fields: reads the members of one JSON object of configuration strictly. The first problem is kept, with the path of
// what is wrong; every read after it gives nothing. Belongs to one thread; lives as long as the Document it reads.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/error.hpp"
#include "json/value.hpp"

namespace orchestra::catalog {

// The name that `word` was probably meant to be, by edit distance; empty: none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& names);

// "a, b, c or d"
std::string listing(const std::vector<std::string_view>& names);

// "path.key", or "key" when the path is empty.
std::string child_path(std::string_view path, std::string_view key);
std::string element_path(std::string_view path, std::size_t index);

// A Config error whose message is "path: text".
chat::Error config_error(std::string_view path, std::string_view text);

class Fields {
 public:
  // Every member of `object` must have one of these names, once.
  Fields(json::Value object, std::string_view path, std::vector<std::string_view> names);

  [[nodiscard]] const std::optional<chat::Error>& error() const { return error_; }
  // Keeps the error when it is the first.
  void fail(chat::Error error);
  void fail(std::string_view key, std::string_view text) { fail(config_error(child_path(path_, key), text)); }

  // The member; does not exist when it is absent, null, or something failed before.
  [[nodiscard]] json::Value get(std::string_view key) const;
  [[nodiscard]] std::string path(std::string_view key) const { return child_path(path_, key); }

  // Absent, null or of a wrong type: empty; the last is an error.
  std::optional<std::string> text(std::string_view key);  // not empty
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::int64_t> count(std::string_view key);  // at least 1
  std::optional<double> number(std::string_view key, double least, double most);
  // A list of strings, none of them empty.
  std::optional<std::vector<std::string>> texts(std::string_view key);
  // One of the words, as its place in the list.
  std::optional<std::size_t> word(std::string_view key, const std::vector<std::string_view>& words);

 private:
  json::Value object_;
  std::string path_;
  std::optional<chat::Error> error_;
};

}  // namespace orchestra::catalog
