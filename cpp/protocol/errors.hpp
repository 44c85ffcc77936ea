// What a provider's error means. Each format has a table of the places where its servers put code, type and message;
// one classifier turns these and the status into a chat::Error. Pure; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "chat/error.hpp"
#include "json/value.hpp"

namespace orchestra::protocol {

// Places inside an error body, the first that holds a value counts: "error.message", "detail.0.msg".
struct ErrorPaths {
  std::span<const std::string_view> message;
  std::span<const std::string_view> code;
  std::span<const std::string_view> type;
};

// The error of an answer whose status is not 2xx; the body may have any shape.
chat::Error error_of_answer(int status, std::string_view body, const ErrorPaths& paths);
// The error that an object under 200 tells, in a body or in a stream. Its status is left empty: the caller knows it.
chat::Error error_of_object(json::Value body, const ErrorPaths& paths);
// A 2xx answer that is no reply.
chat::Error protocol_error(std::string message);
// "WHAT than the limit `NAME` of VALUE UNIT", such as over_limit("the answer is larger", "body", 100, "bytes").
chat::Error over_limit(std::string_view what, std::string_view name, std::size_t value, std::string_view unit);
// A stream that ended before its terminal event.
chat::Error interrupted();

// At most kBodyExcerpt bytes, cut at a code point; what is no UTF-8 becomes U+FFFD.
std::string excerpt(std::string_view bytes);

}  // namespace orchestra::protocol
