// Script: the answers that a FakeProviders was told to give, read from JSON. Plain data.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "chat/reply.hpp"
#include "chat/result.hpp"
#include "fake/fault.hpp"
#include "json/value.hpp"

namespace orchestra::fake {

struct ScriptedReply {
  std::string text;
  std::optional<std::string> reasoning;
  std::optional<std::string> refusal;
  std::vector<chat::ToolCall> tool_calls;  // an empty id: one is made up
  chat::Finish finish = chat::Finish::Stop;
  std::optional<chat::Usage> usage;  // empty: counted from the texts
};

using ScriptItem = std::variant<ScriptedReply, Fault>;

// Reads a list of items: a string (a text), {"fault": {...}} or an object with any of text tool_calls finish_reason
// usage reasoning refusal. "usage": null is a reply that reports none. Fails with Config; the message begins with the
// path.
Result<std::vector<ScriptItem>> read_script(json::Value list);

}  // namespace orchestra::fake
