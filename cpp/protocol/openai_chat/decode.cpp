#include <algorithm>
#include <array>
#include <utility>

#include "protocol/counts.hpp"
#include "protocol/openai_chat/openai_chat.hpp"
#include "protocol/raw_object.hpp"

namespace orchestra::protocol::openai_chat {

namespace {

using chat::Choice;
using chat::Finish;
using chat::ToolCall;
using json::Value;

constexpr std::array<std::string_view, 6> kMessagePaths = {"error.message", "error",        "message",
                                                           "detail",        "detail.0.msg", "error_description"};
constexpr std::array<std::string_view, 4> kCodePaths = {"error.code", "code", "error_type", "error.status"};
constexpr std::array<std::string_view, 3> kTypePaths = {"error.type", "type", "error.metadata.error_type"};

// The first that was reported, but something above 0 before a 0: dialects fill the places they don't use with 0.
std::optional<std::int64_t> first_count(std::initializer_list<Value> places) {
  std::optional<std::int64_t> found;
  for (const Value place : places) {
    const auto value = count(place);
    if (value.value_or(0) > 0) return value;
    if (!found) found = value;
  }
  return found;
}

Value first_choice(Value body) {
  const Value all = body["choices"];
  for (Value choice : all.elements()) {
    if (choice["index"].integer() == 0) return choice;
  }
  return all[std::size_t{0}];
}

bool is_function_call(Value call) { return call["function"].is_object(); }

std::size_t count_calls(Value message) {
  std::size_t calls = 0;
  for (Value call : message["tool_calls"].elements()) calls += is_function_call(call) ? 1 : 0;
  return calls;
}

std::optional<std::string> refusal_of(Value message) {
  auto text = message["refusal"].string();
  return text && !text->empty() ? text : std::nullopt;
}

// A string, or parts (Mistral's reasoning models): text is text, thinking is reasoning.
void read_content(Value content, std::string& text, std::optional<std::string>& reasoning,
                  std::optional<std::string>& refusal) {
  if (auto whole = content.string()) {
    text = *std::move(whole);
    return;
  }
  for (Value part : content.elements()) {
    if (part["type"].is("text")) {
      text += part["text"].string_or();
    } else if (part["type"].is("thinking")) {
      if (!reasoning) reasoning.emplace();
      *reasoning += part["thinking"].string_or();
      for (Value piece : part["thinking"].elements()) *reasoning += piece["text"].string_or();
    } else if (part["type"].is("refusal") && !refusal) {
      refusal = part["refusal"].string();
    }
  }
}

std::optional<std::string> read_reasoning(Value message) {
  for (const std::string_view name : {"reasoning_content", "reasoning"}) {
    auto text = message[name].string();
    if (text && !text->empty()) return text;
  }
  return std::nullopt;
}

ToolCall read_call(Value call) {
  const Value function = call["function"], arguments = function["arguments"];
  ToolCall out{call["id"].string_or(), function["name"].string_or(), {}};
  out.arguments =
      arguments.is_string() ? arguments.string_or() : std::string(arguments.is_null() ? "" : arguments.raw());
  return out;
}

std::string write_message(Value message, const Choice& choice, bool forced_tool) {
  std::string out;
  json::Writer writer(out);
  if (forced_tool) {
    writer.begin_object().member("role", "assistant").member("content", choice.text).end_object();
  } else if (message["role"].is("assistant")) {
    write_clean(writer, message);
  } else {
    writer.begin_object().member("role", "assistant");
    for (auto [key, value] : message.members()) {
      if (key.is("role")) continue;
      writer.key(key.string_or());
      write_clean(writer, value);
    }
    if (!message["content"].exists()) writer.key("content").null();
    writer.end_object();
  }
  return out;
}

Choice read_choice(Value value, std::int64_t position, const DecodeOptions& options) {
  const Value message = value["message"];
  Choice choice;
  choice.index = value["index"].integer().value_or(position);
  choice.refusal = refusal_of(message);
  read_content(message["content"], choice.text, choice.reasoning, choice.refusal);
  if (auto reasoning = read_reasoning(message)) choice.reasoning = std::move(reasoning);
  for (Value call : message["tool_calls"].elements()) {
    if (is_function_call(call)) choice.tool_calls.push_back(read_call(call));
  }
  const bool forced = options.forced_tool && !choice.tool_calls.empty();
  const FinishFacts facts{!choice.tool_calls.empty(), choice.refusal.has_value(), forced};
  choice.finish_raw = value["finish_reason"].string_or();
  if (value["finish_reason"]) choice.finish = finish_of(choice.finish_raw, facts);
  if (forced) {
    choice.text = choice.tool_calls.front().arguments;
    choice.tool_calls.clear();
  }
  if (options.messages) choice.message = write_message(message, choice, forced);
  if (value["logprobs"]) choice.logprobs = value["logprobs"].raw();
  return choice;
}

Value error_inside(Value body) {
  if (body["error"] && body["choices"].size() == 0) return body;
  const Value choice = first_choice(body);
  return choice["error"].is_object() && choice["error"]["message"] ? choice : Value();  // OpenRouter
}

}  // namespace

const ErrorPaths kErrorPaths{kMessagePaths, kCodePaths, kTypePaths};

Finish finish_of(std::string_view word, const FinishFacts& facts) {
  constexpr std::array<std::pair<std::string_view, Finish>, 7> kWords = {{{"stop", Finish::Stop},
                                                                          {"eos", Finish::Stop},
                                                                          {"length", Finish::Length},
                                                                          {"max_tokens", Finish::Length},
                                                                          {"tool_calls", Finish::ToolCalls},
                                                                          {"function_call", Finish::ToolCalls},
                                                                          {"content_filter", Finish::ContentFilter}}};
  const auto* row = std::find_if(kWords.begin(), kWords.end(), [&](const auto& r) { return r.first == word; });
  const Finish said = row == kWords.end() ? Finish::Other : row->second;
  if (said == Finish::Length) return said;
  if (facts.forced_tool) return Finish::Stop;
  if (facts.has_tool_calls) return Finish::ToolCalls;
  return facts.has_refusal ? Finish::Refusal : said;
}

chat::Usage read_usage(Value usage) {
  chat::Usage out;
  if (!usage.is_object()) return out;
  const Value prompt = usage["prompt_tokens_details"], completion = usage["completion_tokens_details"];
  out.raw = usage.raw();
  out.input_tokens = count(usage["prompt_tokens"]);
  out.output_tokens = count(usage["completion_tokens"]);
  out.cached_tokens =
      first_count({prompt["cached_tokens"], usage["prompt_cache_hit_tokens"], usage["cache_read_input_tokens"]});
  out.cache_write_tokens = first_count({prompt["cache_write_tokens"], usage["cache_creation_input_tokens"]});
  out.cache_write_1h_tokens = count(usage["cache_creation"]["ephemeral_1h_input_tokens"]);
  out.reasoning_tokens = first_count({completion["reasoning_tokens"], usage["reasoning_tokens"]});
  out.audio_input_tokens = count(prompt["audio_tokens"]);
  out.audio_output_tokens = count(completion["audio_tokens"]);
  const auto total = count(usage["total_tokens"]);
  if (!total || !out.reported()) return out;
  const std::int64_t sum = *out.input_tokens + *out.output_tokens;
  const std::int64_t reasoning = out.reasoning_tokens.value_or(0), audio = out.audio_input_tokens.value_or(0);
  if (reasoning > 0 && *total == sum + reasoning) {
    *out.output_tokens += reasoning;  // xAI counts reasoning beside the completion
  } else if (audio > 0 && *total == sum + audio) {
    *out.input_tokens += audio;  // Mistral counts audio beside the prompt
  }
  return out;
}

Result<chat::Summary> summarize(Value body, const DecodeOptions& options) {
  if (!body.is_object()) return protocol_error("the body is no JSON object");
  if (const Value error = error_inside(body); error.exists()) return error_of_object(error, kErrorPaths);
  const Value choice = first_choice(body), message = choice["message"];
  if (!message.is_object()) return protocol_error("the body has no choices[0].message");
  std::size_t calls = 0;
  for (Value any : body["choices"].elements()) calls += count_calls(any["message"]);
  if (calls > options.limits.tool_calls) {
    return over_limit("the reply has more tool calls", "tool_calls", options.limits.tool_calls, "");
  }
  chat::Summary out;
  const bool has_calls = count_calls(message) > 0;
  out.finish_raw = choice["finish_reason"].string_or();
  out.finish =
      finish_of(out.finish_raw, {has_calls, refusal_of(message).has_value(), has_calls && options.forced_tool});
  out.served_model = body["model"].string_or();
  out.usage = read_usage(body["usage"] ? body["usage"] : body["x_groq"]["usage"]);
  out.usage.service_tier = body["service_tier"].string_or();
  return out;
}

std::vector<Choice> choices(Value body, const DecodeOptions& options) {
  std::vector<Choice> out;
  const Value all = body["choices"];
  out.reserve(all.size());
  for (Value value : all.elements()) {
    if (value["message"].is_object()) out.push_back(read_choice(value, static_cast<std::int64_t>(out.size()), options));
  }
  const auto by_index = [](const Choice& a, const Choice& b) { return a.index < b.index; };
  if (!std::is_sorted(out.begin(), out.end(), by_index)) std::stable_sort(out.begin(), out.end(), by_index);
  if (out.empty()) out.push_back(read_choice(Value(), 0, options));
  return out;
}

}  // namespace orchestra::protocol::openai_chat
