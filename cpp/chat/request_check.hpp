// Checks of a request: the keywords, messages, parts and tools of `chat`. Local limits are only those that hold at
// every provider; keys that are not known here are left alone. Pure.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "chat/request.hpp"
#include "chat/request_path.hpp"

namespace orchestra::chat {

// What is wrong and where: "PATH: what". Nothing: all is well.
using Fault = std::optional<std::string>;

Fault fault(const Path& path, std::string_view what);
// "must be WANTED, not a number".
Fault wrong_type(const Path& path, std::string_view wanted, json::Value got);
using Words = std::initializer_list<std::string_view>;
bool is_one_of(json::Value value, Words words);
// "is not one of a, b, c", or wrong_type() of what is no string.
Fault not_one_of(const Path& path, json::Value got, Words words);
// The JSON of a value, cut where a long one would fill the message.
std::string quoted(json::Value value);
// A member that must be a string, and one that must be a string where it is given.
Fault check_string(json::Value object, const Path& path, std::string_view key);
Fault check_optional_string(json::Value object, const Path& path, std::string_view key);

// REQUIRES: messages is the list that Request made of the keyword.
Fault check_messages(json::Value messages);
// A system text: a string or text parts.
Fault check_system(json::Value system);
// Of the keywords that are no messages: each by itself, then those that speak of each other.
Fault check_keywords(const Request& request);
// Half of a surrogate pair in any string below: no text can hold it, and no provider takes it.
Fault check_surrogates(json::Value value, const Path& path);

}  // namespace orchestra::chat
