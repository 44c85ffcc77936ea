#include "runtime/header_text.hpp"

#include <algorithm>

namespace orchestra::runtime {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

// Takes the first field off the text.
std::pair<std::string_view, std::string_view> take_field(std::string_view& text) {
  const std::size_t colon = text.find(':');
  const std::size_t end = text.find('\n', colon);
  const std::pair field(text.substr(0, colon), text.substr(colon + 2, end - colon - 2));
  text.remove_prefix(end + 1);
  return field;
}

}  // namespace

HeaderText::HeaderText(const HeaderList& headers) {
  const auto spelled = [](std::string text, std::string_view not_allowed) {
    for (auto at = text.find_first_of(not_allowed); at != std::string::npos; at = text.find_first_of(not_allowed, at)) {
      text[at] = ' ';
    }
    return text;
  };
  for (const auto& [name, value] : headers) add(spelled(name, ":\n"), spelled(value, "\n"));
}

void HeaderText::add(std::string_view name, std::string_view value) {
  text_.append(name).append(": ").append(value).push_back('\n');
}

void HeaderText::extend_last(std::string_view more) {
  if (text_.empty()) return;
  text_.back() = ' ';
  text_.append(more).push_back('\n');
}

std::string_view HeaderText::find(std::string_view name) const {
  for (std::string_view text = text_; !text.empty();) {
    const auto [key, value] = take_field(text);
    if (same_name(key, name)) return value;
  }
  return {};
}

HeaderList HeaderText::list() const {
  HeaderList fields;
  for (std::string_view text = text_; !text.empty();) {
    const auto [name, value] = take_field(text);
    fields.emplace_back(name, value);
  }
  return fields;
}

}  // namespace orchestra::runtime
