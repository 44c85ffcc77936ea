// Header fields: of a request as a list, of an answer as one text, which takes one allocation instead of two a field.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace orchestra::runtime {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// A line "Name: value\n" for each field, in the order in which they came, names as they came, values trimmed.
class HeaderText {
 public:
  HeaderText() = default;
  // What cannot stand in a line (a line break, a colon in a name) becomes a blank.
  explicit HeaderText(const HeaderList& headers);

  // REQUIRES: neither holds a line break, the name no colon.
  void add(std::string_view name, std::string_view value);
  // A folded line (RFC 9112, section 5.2) goes on with the value before it.
  void extend_last(std::string_view more);
  void clear() { text_.clear(); }
  void reserve(std::size_t bytes) { text_.reserve(bytes); }

  // The value of the first field of that name, in any case; an empty view when there is none.
  [[nodiscard]] std::string_view find(std::string_view name) const;
  [[nodiscard]] HeaderList list() const;
  [[nodiscard]] bool empty() const { return text_.empty(); }
  // The lines themselves, to look through; whoever changes them keeps their shape.
  [[nodiscard]] std::string& text() { return text_; }

 private:
  std::string text_;
};

}  // namespace orchestra::runtime
