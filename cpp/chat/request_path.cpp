#include "chat/request_path.hpp"

#include <vector>

namespace orchestra::chat {

std::string Path::text() const {
  std::string out = parent_ == nullptr ? std::string() : parent_->text();
  if (is_index_) return out + "[" + std::to_string(index_) + "]";
  if (parent_ != nullptr) out += ".";
  out += key_;
  return out;
}

std::string path_of_byte(std::string_view json, std::size_t offset) {
  struct Step {
    bool object;
    bool at_key;  // of an object: the next string is a key
    std::string_view key;
    std::size_t index;
  };
  std::vector<Step> steps;
  const std::string_view before = json.substr(0, offset);
  for (std::size_t i = 0; i < before.size(); ++i) {
    switch (before[i]) {
      case '{':
      case '[': steps.push_back({before[i] == '{', true, {}, 0}); break;
      case '}':
      case ']':
        if (!steps.empty()) steps.pop_back();
        break;
      case ',':
        if (!steps.empty()) {
          steps.back().at_key = true;
          steps.back().key = {};
          ++steps.back().index;
        }
        break;
      case '"': {
        const std::size_t begin = ++i;
        while (i < before.size() && before[i] != '"') i += before[i] == '\\' ? 2 : 1;
        if (i >= before.size() || steps.empty() || !steps.back().at_key) break;
        steps.back().key = before.substr(begin, i - begin);
        steps.back().at_key = false;
        break;
      }
      default: break;
    }
  }
  constexpr std::size_t kMostSteps = 4;
  std::string out;
  for (std::size_t i = 0; i < steps.size() && i < kMostSteps; ++i) {
    if (!steps[i].object) {
      out += "[" + std::to_string(steps[i].index) + "]";
    } else if (!steps[i].at_key) {
      out += (out.empty() ? "" : ".") + std::string(steps[i].key);
    }
  }
  return steps.size() > kMostSteps ? out + "..." : out;
}

}  // namespace orchestra::chat
