// Checks of the keywords beside messages.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "chat/request_check.hpp"

namespace orchestra::chat {
namespace {

struct Range {
  double least;
  double most;
};

constexpr double kNoLimit = std::numeric_limits<double>::max();

Fault check_number(const Path& path, json::Value value, Range range, std::string_view wanted) {
  if (!value.is_number()) return wrong_type(path, wanted, value);
  const std::optional<double> number = value.number();
  if (number && *number >= range.least && *number <= range.most) return {};
  return fault(path, quoted(value) + " is not " + std::string(wanted));
}

Fault check_whole(const Path& path, json::Value value, std::int64_t least, std::string_view wanted) {
  if (!value.is_number()) return wrong_type(path, wanted, value);
  const std::optional<std::int64_t> number = value.integer();
  if (number && *number >= least) return {};
  return fault(path, quoted(value) + " is not " + std::string(wanted));
}

Fault check_stop(const Path& path, json::Value value) {
  if (value.is_string()) return {};
  if (!value.is_array()) return wrong_type(path, "a string or a list of strings", value);
  std::size_t index = 0;
  for (json::Value word : value.elements()) {
    if (!word.is_string()) return wrong_type({path, index}, "a string", word);
    ++index;
  }
  return {};
}

Fault check_effort(const Path& path, json::Value value) {
  constexpr std::string_view kWanted = "one of none, minimal, low, medium, high, or a whole number of tokens";
  if (value.is_number()) return check_whole(path, value, 0, kWanted);
  if (!value.is_string()) return wrong_type(path, kWanted, value);
  // xhigh and max are words of single providers; which model takes which word is theirs to say.
  if (is_one_of(value, {"none", "minimal", "low", "medium", "high", "xhigh", "max"})) return {};
  return fault(path, quoted(value) + " is not " + std::string(kWanted));
}

Fault check_response_format(const Path& path, json::Value value) {
  if (!value.is_object()) return wrong_type(path, "an object", value);
  const Words types = {"text", "json_object", "json_schema"};
  if (!is_one_of(value["type"], types)) return not_one_of({path, "type"}, value["type"], types);
  if (!value["type"].is("json_schema")) return {};
  const Path here(path, "json_schema");
  const json::Value wrapper = value["json_schema"];
  if (!wrapper.is_object()) return wrong_type(here, "an object with a schema", wrapper);
  if (!wrapper["schema"].is_object()) return wrong_type({here, "schema"}, "an object", wrapper["schema"]);
  return check_optional_string(wrapper, here, "name");
}

Fault check_tool(const Path& path, json::Value tool) {
  if (!tool.is_object()) return wrong_type(path, "an object", tool);
  if (Fault found = check_optional_string(tool, path, "type")) return found;
  if (tool["type"] && !tool["type"].is("function")) return {};
  const Path here(path, "function");
  const json::Value function = tool["function"];
  if (!function.is_object()) return wrong_type(here, "an object", function);
  if (Fault found = check_string(function, here, "name")) return found;
  if (function["name"].is("")) return fault({here, "name"}, "must not be empty");
  if (function["parameters"] && !function["parameters"].is_object()) {
    return wrong_type({here, "parameters"}, "an object", function["parameters"]);
  }
  return check_optional_string(function, here, "description");
}

Fault check_tools(const Path& path, json::Value tools) {
  if (!tools.is_array()) return wrong_type(path, "a list", tools);
  std::vector<std::string> names;
  std::size_t index = 0;
  for (json::Value tool : tools.elements()) {
    const Path here(path, index++);
    if (Fault found = check_tool(here, tool)) return found;
    if (tool["type"] && !tool["type"].is("function")) continue;
    names.push_back(tool["function"]["name"].string_or());
    if (std::find(names.begin(), names.end() - 1, names.back()) != names.end() - 1) {
      return fault(here, "there are two tools named " + quoted(tool["function"]["name"]));
    }
  }
  return {};
}

Fault check_tool_choice(const Path& path, json::Value choice, json::Value tools) {
  const Path function(path, "function");
  const Path inner(function, "name");
  json::Value name = choice;
  const Path* here = &path;
  if (choice.is_object()) {
    if (!choice["type"].is("function")) return not_one_of({path, "type"}, choice["type"], {"function"});
    if (!choice["function"].is_object()) return wrong_type(function, "an object", choice["function"]);
    name = choice["function"]["name"];
    if (!name.is_string()) return wrong_type(inner, "a string", name);
    here = &inner;
  } else if (!choice.is_string()) {
    return wrong_type(path, "auto, none, required or the name of a tool", choice);
  } else if (is_one_of(choice, {"auto", "none", "required"})) {
    return {};
  }
  const std::string wanted = name.string_or();
  for (json::Value tool : tools.elements()) {
    if (tool["function"]["name"].is(wanted) || tool["name"].is(wanted)) return {};
  }
  return fault(*here, quoted(name) + " is not the name of a tool");
}

Fault check_keyword(Field field, json::Value value) {
  const Path path(field_name(field));
  switch (field) {
    case Field::Messages: return {};
    case Field::System: return check_system(value);
    case Field::Tools: return check_tools(path, value);
    case Field::ToolChoice: return {};
    case Field::ResponseFormat: return check_response_format(path, value);
    case Field::Temperature: return check_number(path, value, {0, kNoLimit}, "a number of at least 0");
    case Field::TopP: return check_number(path, value, {0, 1}, "a number from 0 to 1");
    case Field::TopK: return check_whole(path, value, 0, "a whole number of at least 0");
    case Field::MaxTokens:
    case Field::N: return check_whole(path, value, 1, "a whole number of at least 1");
    case Field::Stop: return check_stop(path, value);
    case Field::Seed:
      return check_whole(path, value, std::numeric_limits<std::int64_t>::min(), "a whole number of 64 bits");
    case Field::ReasoningEffort: return check_effort(path, value);
    case Field::Logprobs:
      if (value.is_bool()) return {};
      return check_whole(path, value, 0, "a bool or a whole number of at least 0");
    case Field::ParallelToolCalls: return value.is_bool() ? Fault() : wrong_type(path, "a bool", value);
    case Field::ServiceTier: return value.is_string() ? Fault() : wrong_type(path, "a string", value);
    case Field::FrequencyPenalty:
    case Field::PresencePenalty: return check_number(path, value, {-kNoLimit, kNoLimit}, "a number");
    case Field::Extra: return value.is_object() ? Fault() : wrong_type(path, "an object", value);
  }
  return {};
}

}  // namespace

Fault check_keywords(const Request& request) {
  for (std::size_t i = 0; i < kFieldCount; ++i) {
    const auto field = static_cast<Field>(i);
    if (!request[field].exists()) continue;
    if (Fault found = check_keyword(field, request[field])) return found;
  }
  if (!request[Field::ToolChoice].exists()) return {};
  return check_tool_choice(Path("tool_choice"), request[Field::ToolChoice], request[Field::Tools]);
}

}  // namespace orchestra::chat
