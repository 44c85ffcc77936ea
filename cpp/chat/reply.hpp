// What a provider answered, in one normal form: finish reasons, usage, choices, and the deltas of a stream.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/boxed.hpp"

namespace orchestra::chat {

enum class Finish : std::uint8_t { None, Stop, Length, ToolCalls, ContentFilter, Refusal, Budget, Other };

// "stop", "length", ...; empty for None.
std::string_view finish_name(Finish finish);
// The Finish of such a name; None for anything else.
Finish finish_from_name(std::string_view name);

// Token counts as the provider reported them. input includes cache reads and writes, output includes reasoning.
// An absent count was not reported.
struct Usage {
  std::optional<std::int64_t> input_tokens;
  std::optional<std::int64_t> output_tokens;
  std::optional<std::int64_t> cached_tokens;
  std::optional<std::int64_t> cache_write_tokens;
  std::optional<std::int64_t> cache_write_1h_tokens;
  std::optional<std::int64_t> reasoning_tokens;
  std::optional<std::int64_t> audio_input_tokens;
  std::optional<std::int64_t> audio_output_tokens;
  std::string service_tier;  // as the provider named it; empty: not reported
  std::string raw;           // the provider's own object as JSON; empty: none

  [[nodiscard]] bool reported() const { return input_tokens.has_value() && output_tokens.has_value(); }
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text as it came; "" and "null" are kept here and mean {}
};

struct Choice {
  std::int64_t index = 0;
  std::string text;
  std::optional<std::string> refusal;
  std::optional<std::string> reasoning;
  std::vector<ToolCall> tool_calls;
  std::string message;   // JSON of the message in the canonical (OpenAI chat) shape, role assistant
  std::string logprobs;  // JSON; empty: none
  Finish finish = Finish::None;
  std::string finish_raw;
};

// What is known of a reply when the call returns; the rest is read from the body on demand.
struct Summary {
  Finish finish = Finish::None;
  std::string finish_raw;
  Usage usage;
  std::string served_model;
};

// A piece of a streamed tool call. The first fragment of a call has id and name, the others only arguments.
struct ToolFragment {
  std::int64_t index = 0;  // counts the tool calls of the reply, from 0
  std::string id;
  std::string name;
  std::string arguments;
};

// One step of a stream, of choice 0. Only the last one carries finish and usage.
struct Delta {
  std::string text;
  std::string reasoning;
  Boxed<ToolFragment> tool_call;
  Finish finish = Finish::None;
  Boxed<Usage> usage;
  std::int32_t attempt = 1;

  [[nodiscard]] bool has_content() const { return !text.empty() || !reasoning.empty() || tool_call.has_value(); }
  [[nodiscard]] std::size_t bytes() const {
    return text.size() + reasoning.size() + (tool_call ? tool_call->arguments.size() : 0);
  }
};

}  // namespace orchestra::chat
