#include "fake/script.hpp"

#include <utility>

namespace orchestra::fake {
namespace {

using chat::Finish;

Result<std::string> read_text(json::Value value, const std::string& path) {
  std::optional<std::string> text = value.string();
  if (!text) return config_error(path, "a string is needed");
  return *std::move(text);
}

Result<chat::Usage> read_usage(json::Value value, const std::string& path) {
  chat::Usage usage;
  if (value.is_null()) return usage;
  if (!value.is_object()) return config_error(path, "an object is needed");
  constexpr std::pair<std::string_view, std::optional<std::int64_t> chat::Usage::*> kCounts[] = {
      {"input_tokens", &chat::Usage::input_tokens},         {"output_tokens", &chat::Usage::output_tokens},
      {"cached_tokens", &chat::Usage::cached_tokens},       {"cache_write_tokens", &chat::Usage::cache_write_tokens},
      {"reasoning_tokens", &chat::Usage::reasoning_tokens},
  };
  for (const auto [key, member] : value.members()) {
    const std::string name = key.string_or();
    const auto* count = std::begin(kCounts);
    while (count != std::end(kCounts) && count->first != name) ++count;
    if (count == std::end(kCounts)) return config_error(path + "." + name, "unknown key");
    if (member.is_null()) continue;
    const std::optional<std::int64_t> number = member.integer();
    if (!number || *number < 0) return config_error(path + "." + name, "a whole number of 0 or more is needed");
    usage.*(count->second) = *number;
  }
  return usage;
}

Result<chat::ToolCall> read_tool_call(json::Value value, const std::string& path) {
  if (!value.is_object()) return config_error(path, "an object with id, name and arguments is needed");
  chat::ToolCall call;
  call.arguments = "{}";
  for (const auto [key, member] : value.members()) {
    const std::string name = key.string_or();
    if (name == "arguments") {
      if (member.is_object()) {
        call.arguments = std::string(member.raw());
        continue;
      }
      Result<std::string> text = read_text(member, path + ".arguments");
      if (!text) return config_error(path + ".arguments", "an object or a string is needed");
      call.arguments = std::move(text).value();
    } else if (name == "id" || name == "name") {
      Result<std::string> text = read_text(member, path + "." + name);
      if (!text) return std::move(text).error();
      (name == "id" ? call.id : call.name) = std::move(text).value();
    } else {
      return config_error(path + "." + name, "unknown key");
    }
  }
  if (call.name.empty()) return config_error(path + ".name", "is needed");
  return call;
}

Result<std::vector<chat::ToolCall>> read_tool_calls(json::Value value, const std::string& path) {
  if (!value.is_array()) return config_error(path, "a list is needed");
  std::vector<chat::ToolCall> calls;
  for (const json::Value element : value.elements()) {
    Result<chat::ToolCall> call = read_tool_call(element, path + "[" + std::to_string(calls.size()) + "]");
    if (!call) return std::move(call).error();
    calls.push_back(std::move(call).value());
  }
  return calls;
}

Result<ScriptedReply> read_reply(json::Value value, const std::string& path) {
  ScriptedReply reply;
  Finish finish = Finish::None;
  for (const auto [key, member] : value.members()) {
    const std::string name = key.string_or();
    const std::string place = path + "." + name;
    if (name == "usage") {
      Result<chat::Usage> usage = read_usage(member, place);
      if (!usage) return std::move(usage).error();
      reply.usage = std::move(usage).value();
    } else if (name == "text" || name == "reasoning" || name == "refusal" || name == "finish_reason") {
      if (member.is_null()) continue;
      Result<std::string> text = read_text(member, place);
      if (!text) return std::move(text).error();
      if (name == "text")
        reply.text = std::move(text).value();
      else if (name == "reasoning")
        reply.reasoning = std::move(text).value();
      else if (name == "refusal")
        reply.refusal = std::move(text).value();
      else
        finish = chat::finish_from_name(*text);
      if (name == "finish_reason" && (finish == Finish::None || finish == Finish::Budget)) {
        return config_error(place, "one of stop, length, tool_calls, content_filter, refusal, other is needed");
      }
    } else if (name == "tool_calls") {
      if (member.is_null()) continue;
      Result<std::vector<chat::ToolCall>> calls = read_tool_calls(member, place);
      if (!calls) return std::move(calls).error();
      reply.tool_calls = std::move(calls).value();
    } else {
      return config_error(place, "unknown key; known are text, tool_calls, finish_reason, usage, reasoning, refusal");
    }
  }
  if (finish != Finish::None)
    reply.finish = finish;
  else if (!reply.tool_calls.empty())
    reply.finish = Finish::ToolCalls;
  else if (reply.refusal)
    reply.finish = Finish::Refusal;
  return reply;
}

Result<ScriptItem> read_item(json::Value value, const std::string& path) {
  if (value.is_string()) {
    ScriptedReply reply;
    reply.text = value.string_or();
    return ScriptItem(std::move(reply));
  }
  if (!value.is_object()) return config_error(path, "a text, a Fault or an object like a Reply is needed");
  if (value.size() == 1 && value["fault"].exists()) {
    Result<Fault> fault = read_fault(value["fault"], path);
    if (!fault) return std::move(fault).error();
    return ScriptItem(*fault);
  }
  Result<ScriptedReply> reply = read_reply(value, path);
  if (!reply) return std::move(reply).error();
  return ScriptItem(std::move(reply).value());
}

}  // namespace

Result<std::vector<ScriptItem>> read_script(json::Value list) {
  if (!list.is_array()) return config_error("script", "a list is needed");
  std::vector<ScriptItem> items;
  for (const json::Value element : list.elements()) {
    Result<ScriptItem> item = read_item(element, "script[" + std::to_string(items.size()) + "]");
    if (!item) return std::move(item).error();
    items.push_back(std::move(item).value());
  }
  return items;
}

}  // namespace orchestra::fake
