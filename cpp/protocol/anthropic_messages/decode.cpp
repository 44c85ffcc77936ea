#include <algorithm>
#include <array>
#include <utility>

#include "protocol/anthropic_messages/anthropic_messages.hpp"
#include "protocol/counts.hpp"
#include "protocol/raw_object.hpp"

namespace orchestra::protocol::anthropic_messages {

namespace {

using chat::Choice;
using chat::Finish;
using json::Value;
using json::Writer;

constexpr std::array<std::string_view, 5> kMessagePaths = {"error.message", "error", "message", "detail",
                                                           "detail.0.msg"};
constexpr std::array<std::string_view, 2> kCodePaths = {"error.code", "code"};
constexpr std::array<std::string_view, 2> kTypePaths = {"error.type", "error_type"};

bool is_tool_use(Value block) { return block["type"].is("tool_use"); }

std::size_t count_calls(Value content) {
  std::size_t calls = 0;
  for (Value block : content.elements()) calls += is_tool_use(block) ? 1 : 0;
  return calls;
}

// The input of a call; a text where a stream broke off inside it (see stream.cpp).
std::string arguments_of(Value block) {
  const Value input = block["input"];
  return input.is_string() ? input.string_or() : std::string(input.raw());
}

void write_call(Writer& writer, Value block) {
  writer.begin_object().member("id", block["id"].string_or()).member("type", "function").key("function");
  writer.begin_object().member("name", block["name"].string_or()).member("arguments", arguments_of(block)).end_object();
  for (auto [key, value] : block.members()) {
    if (key.is("id") || key.is("type") || key.is("name") || key.is("input") || key.is("function")) continue;
    writer.key(key.string_or());
    write_clean(writer, value);
  }
  writer.end_object();
}

// A text without anything beside it that would be lost in a plain string.
bool is_bare_text(Value block) {
  if (!block["type"].is("text")) return false;
  for (auto [key, value] : block.members()) {
    if (!key.is("type") && !key.is("text") && value) return false;
  }
  return true;
}

std::string write_message(Value content, const Choice& choice) {
  std::string out;
  Writer writer(out);
  bool bare = true, has_parts = false;
  for (Value block : content.elements()) {
    if (is_tool_use(block)) continue;
    has_parts = true;
    bare = bare && is_bare_text(block);
  }
  writer.begin_object().member("role", "assistant").member("protocol", kName).key("content");
  if (!has_parts && !choice.tool_calls.empty()) {
    writer.null();
  } else if (bare) {
    writer.string(choice.text);
  } else {
    writer.begin_array();
    for (Value block : content.elements()) {
      if (!is_tool_use(block) && block.is_object()) write_clean(writer, block);
    }
    writer.end_array();
  }
  if (!choice.tool_calls.empty()) {
    writer.key("tool_calls").begin_array();
    for (Value block : content.elements()) {
      if (is_tool_use(block)) write_call(writer, block);
    }
    writer.end_array();
  }
  writer.end_object();
  return out;
}

bool is_error(Value body) { return body["error"] && (body["type"].is("error") || !body["content"].exists()); }

}  // namespace

const ErrorPaths kErrorPaths{kMessagePaths, kCodePaths, kTypePaths};

Finish finish_of(std::string_view word, bool has_tool_calls, bool forced_tool) {
  constexpr std::array<std::pair<std::string_view, Finish>, 7> kWords = {
      {{"end_turn", Finish::Stop},
       {"stop_sequence", Finish::Stop},
       {"max_tokens", Finish::Length},
       {"model_context_window_exceeded", Finish::Length},
       {"tool_use", Finish::ToolCalls},
       {"refusal", Finish::Refusal},
       {"pause_turn", Finish::Other}}};
  const auto* row = std::find_if(kWords.begin(), kWords.end(), [&](const auto& r) { return r.first == word; });
  const Finish said = row == kWords.end() ? Finish::Other : row->second;
  if (said == Finish::Length) return said;
  if (forced_tool) return Finish::Stop;
  return has_tool_calls ? Finish::ToolCalls : said;
}

chat::Usage read_usage(Value usage) {
  chat::Usage out;
  if (!usage.is_object()) return out;
  out.raw = usage.raw();
  out.cached_tokens = count(usage["cache_read_input_tokens"]);
  out.cache_write_tokens = count(usage["cache_creation_input_tokens"]);
  out.cache_write_1h_tokens = count(usage["cache_creation"]["ephemeral_1h_input_tokens"]);
  out.output_tokens = count(usage["output_tokens"]);
  out.reasoning_tokens = count(usage["output_tokens_details"]["thinking_tokens"]);
  out.service_tier = usage["service_tier"].string_or();
  // input_tokens leaves out what was read from or written to the cache.
  if (const auto uncached = count(usage["input_tokens"])) {
    out.input_tokens = *uncached + out.cached_tokens.value_or(0) + out.cache_write_tokens.value_or(0);
  }
  return out;
}

Result<chat::Summary> summarize(Value body, const DecodeOptions& options) {
  if (!body.is_object()) return protocol_error("the body is no JSON object");
  if (is_error(body)) return error_of_object(body, kErrorPaths);
  const Value content = body["content"];
  if (!content.is_array()) return protocol_error("the body has no list `content`");
  const std::size_t calls = count_calls(content);
  if (calls > options.limits.tool_calls) {
    return over_limit("the reply has more tool calls", "tool_calls", options.limits.tool_calls, "");
  }
  chat::Summary out;
  out.finish_raw = body["stop_reason"].string_or();
  out.finish = finish_of(out.finish_raw, calls > 0, options.forced_tool && calls > 0);
  out.usage = read_usage(body["usage"]);
  out.served_model = body["model"].string_or();
  return out;
}

std::vector<Choice> choices(Value body, const DecodeOptions& options) {
  const Value content = body["content"];
  Choice choice;
  for (Value block : content.elements()) {
    const Value type = block["type"];
    if (type.is("text")) {
      choice.text += block["text"].string_or();
    } else if (type.is("thinking")) {
      if (!choice.reasoning) choice.reasoning.emplace();
      *choice.reasoning += block["thinking"].string_or();
    } else if (type.is("tool_use")) {
      choice.tool_calls.push_back({block["id"].string_or(), block["name"].string_or(), arguments_of(block)});
    }
  }
  const bool forced = options.forced_tool && !choice.tool_calls.empty();
  choice.finish_raw = body["stop_reason"].string_or();
  if (body["stop_reason"]) choice.finish = finish_of(choice.finish_raw, !choice.tool_calls.empty(), forced);
  if (!forced) {
    if (options.messages) choice.message = write_message(content, choice);
    return {std::move(choice)};
  }
  choice.text = choice.tool_calls.front().arguments;
  choice.tool_calls.clear();
  Writer writer(choice.message);
  writer.begin_object()
      .member("role", "assistant")
      .member("protocol", kName)
      .member("content", choice.text)
      .end_object();
  return {std::move(choice)};
}

}  // namespace orchestra::protocol::anthropic_messages
