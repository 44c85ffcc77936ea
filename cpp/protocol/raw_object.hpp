// RawObject: a JSON object that grows while a stream is read, kept as the exact JSON texts of its members, so that
// fields nobody knows come out as they came in. Plain data; one thread at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json/value.hpp"
#include "json/writer.hpp"

namespace orchestra::protocol {

class RawObject {
 public:
  // Replaces or adds a member; null never replaces anything. `name` is plain text.
  void set(std::string_view name, std::string_view json);
  // Joins two JSON strings by their raw texts (so that the halves of a surrogate pair meet), two arrays by their
  // elements; anything else is replaced as by set().
  void append(std::string_view name, std::string_view json);
  // set() for every member of the object.
  void merge(json::Value object);

  // The JSON text of a member; empty: there is none.
  [[nodiscard]] std::string_view get(std::string_view name) const;
  [[nodiscard]] bool empty() const { return members_.empty(); }
  // Bytes held since the last call; for limits.
  std::size_t take_growth() { return std::exchange(growth_, 0); }

  // Writes every member but `left_out` into the object that is open in the writer.
  void write_members(json::Writer& writer, std::string_view left_out = {}) const;

 private:
  std::string& slot(std::string_view name);

  std::vector<std::pair<std::string, std::string>> members_;
  std::size_t growth_ = 0;
};

// The name of a member; a view of the document, or of `scratch` when it is written with escapes.
std::string_view member_name(json::Value key, std::string& scratch);

// Appends the text of one JSON string to another, both with their quotes.
void append_json_string(std::string& to, std::string_view json);

// The value's JSON text; where it holds an escaped lone surrogate, which no text can, U+FFFD stands for it.
void write_clean(json::Writer& writer, json::Value value);

}  // namespace orchestra::protocol
