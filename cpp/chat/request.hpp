// Request: one call in the canonical shape, which is the keywords of `chat` as one JSON object with messages, parts and
// tools in OpenAI's chat shape. It is validated once here; encoders then read it without checking.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "chat/result.hpp"
#include "json/value.hpp"

namespace orchestra::chat {

// The keywords that a provider may be sent. Formats map them by tables of (Field, name on the wire).
enum class Field : std::uint8_t {
  Messages,
  System,
  Tools,
  ToolChoice,      // "auto", "none", "required", or the name of a tool
  ResponseFormat,  // {"type": "json_object"} or {"type": "json_schema", "json_schema": {"name", "schema", ...}}
  Temperature,
  TopP,
  TopK,
  MaxTokens,
  Stop,  // a string or a list of strings
  Seed,
  ReasoningEffort,  // one of none minimal low medium high, or a number of tokens
  N,
  Logprobs,  // a bool, or the number of alternatives
  ParallelToolCalls,
  ServiceTier,
  FrequencyPenalty,
  PresencePenalty,
  Extra,  // an object: merged last into the body's top level
};
inline constexpr std::size_t kFieldCount = 19;

// The keyword's name, such as "max_tokens".
std::string_view field_name(Field field);

class Request {
 public:
  // Reads the JSON object of keywords. null is the same as absent. Keywords that are not in Field are ignored here (the
  // engine reads them: model, timeout, retry, tags, ...). Error: InvalidRequest whose message begins with the path of
  // what is wrong, such as "messages[2].content[0].type: ...".
  static Result<std::shared_ptr<const Request>> parse(std::string json);

  // The value of a keyword; does not exist when it was not given.
  [[nodiscard]] json::Value operator[](Field field) const { return fields_[static_cast<std::size_t>(field)]; }
  // All keywords as they came, those of the engine too.
  [[nodiscard]] json::Value root() const { return document_.root(); }
  // Bytes of all texts that a model reads: messages, system, tools. For estimates.
  [[nodiscard]] std::size_t text_bytes() const { return text_bytes_; }

  Request() = default;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

 private:
  json::Document document_;
  std::array<json::Value, kFieldCount> fields_{};
  std::size_t text_bytes_ = 0;
};

}  // namespace orchestra::chat
