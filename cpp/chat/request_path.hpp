// Path: where in a request something stands, such as messages[2].content[0].type. A list of links on the stack, so that
// a request without a fault builds no text. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace orchestra::chat {

class Path {
 public:
  explicit Path(std::string_view key) : key_(key) {}
  // REQUIRES: the parent and the key outlive the path.
  Path(const Path& parent, std::string_view key) : parent_(&parent), key_(key) {}
  Path(const Path& parent, std::size_t index) : parent_(&parent), index_(index), is_index_(true) {}

  [[nodiscard]] std::string text() const;

 private:
  const Path* parent_ = nullptr;
  std::string_view key_;
  std::size_t index_ = 0;
  bool is_index_ = false;
};

// The path of the value in which the byte at `offset` stands, or "" for the outermost one: for texts that are JSON up
// to there and no further. At most four steps of it, so that it stays readable for what is nested very deep.
std::string path_of_byte(std::string_view json, std::size_t offset);

}  // namespace orchestra::chat
