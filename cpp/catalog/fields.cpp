#include "catalog/fields.hpp"

#include <algorithm>
#include <cmath>

namespace orchestra::catalog {

namespace {

// Damerau-Levenshtein distance of adjacent swaps (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

constexpr std::size_t kLongestGuess = 64;  // a longer word is no misspelt name

std::string quoted(std::string_view text) {
  std::string out = "\"";
  out.append(text.substr(0, 100)).append(text.size() > 100 ? "...\"" : "\"");
  return out;
}

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& names) {
  if (word.size() > kLongestGuess) return {};
  std::string_view best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view name : names) {
    const std::size_t d = distance(word, name);
    if (d < least && d < name.size()) {
      least = d;
      best = name;
    }
  }
  return best;
}

std::string listing(const std::vector<std::string_view>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " or " : ", ";
    out += names[i];
  }
  return out;
}

std::string child_path(std::string_view path, std::string_view key) {
  std::string out(path);
  if (!out.empty()) out += '.';
  return out.append(key);
}

std::string element_path(std::string_view path, std::size_t index) {
  return std::string(path).append("[").append(std::to_string(index)).append("]");
}

chat::Error config_error(std::string_view path, std::string_view text) {
  std::string message(path);
  if (!message.empty()) message += ": ";
  return chat::make_error(chat::ErrorKind::Config, message.append(text));
}

Fields::Fields(json::Value object, std::string_view path, std::vector<std::string_view> names)
    : object_(object), path_(path) {
  if (!object.is_object()) {
    fail(config_error(path_, "must be an object"));
    return;
  }
  std::vector<bool> seen(names.size(), false);
  for (const auto [key, value] : object.members()) {
    const std::string name = key.string_or();
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      const std::string_view guess = nearest(name, names);
      fail(name.substr(0, 100), guess.empty() ? "unknown key; known are " + listing(names)
                                              : "unknown key; did you mean " + quoted(guess) + "?");
      return;
    }
    const auto place = static_cast<std::size_t>(found - names.begin());
    if (seen[place]) {
      fail(name, "stands there twice");
      return;
    }
    seen[place] = true;
  }
}

void Fields::fail(chat::Error error) {
  if (!error_) error_ = std::move(error);
}

json::Value Fields::get(std::string_view key) const {
  if (error_) return {};
  const json::Value value = object_[key];
  return value.is_null() ? json::Value() : value;
}

std::optional<std::string> Fields::text(std::string_view key) {
  const json::Value value = get(key);
  if (!value.exists()) return std::nullopt;
  std::optional<std::string> text = value.string();
  if (!text || text->empty()) {
    fail(key, text ? "is empty" : "must be a string");
    return std::nullopt;
  }
  return text;
}

std::optional<bool> Fields::boolean(std::string_view key) {
  const json::Value value = get(key);
  if (!value.exists()) return std::nullopt;
  const std::optional<bool> flag = value.boolean();
  if (!flag) fail(key, "must be true or false");
  return flag;
}

std::optional<std::int64_t> Fields::count(std::string_view key) {
  const json::Value value = get(key);
  if (!value.exists()) return std::nullopt;
  const std::optional<std::int64_t> count = value.integer();
  if (!count || *count < 1) {
    fail(key, count ? "must be at least 1" : "must be a whole number");
    return std::nullopt;
  }
  return count;
}

std::optional<double> Fields::number(std::string_view key, double least, double most) {
  const json::Value value = get(key);
  if (!value.exists()) return std::nullopt;
  const std::optional<double> number = value.is_number() ? value.number() : std::nullopt;
  if (!number || !std::isfinite(*number)) {
    fail(key, "must be a number");
    return std::nullopt;
  }
  if (*number < least || *number > most) {
    fail(key, std::isinf(most) ? "must not be negative" : "must be between 0 and 1");
    return std::nullopt;
  }
  return number;
}

std::optional<std::vector<std::string>> Fields::texts(std::string_view key) {
  const json::Value value = get(key);
  if (!value.exists()) return std::nullopt;
  if (!value.is_array()) {
    fail(key, "must be a list of strings");
    return std::nullopt;
  }
  std::vector<std::string> out;
  for (const json::Value element : value.elements()) {
    std::optional<std::string> text = element.string();
    if (!text || text->empty()) {
      fail(config_error(element_path(path(key), out.size()), text ? "is empty" : "must be a string"));
      return std::nullopt;
    }
    out.push_back(std::move(*text));
  }
  return out;
}

std::optional<std::size_t> Fields::word(std::string_view key, const std::vector<std::string_view>& words) {
  const json::Value value = get(key);
  if (!value.exists()) return std::nullopt;
  const std::optional<std::string> text = value.string();
  if (!text) {
    fail(key, "must be a string, one of " + listing(words));
    return std::nullopt;
  }
  const auto found = std::ranges::find(words, *text);
  if (found == words.end()) {
    fail(key, quoted(*text) + " is not one of " + listing(words));
    return std::nullopt;
  }
  return static_cast<std::size_t>(found - words.begin());
}

}  // namespace orchestra::catalog
