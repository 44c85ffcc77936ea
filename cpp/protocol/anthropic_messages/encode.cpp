#include <algorithm>
#include <array>

#include "protocol/anthropic_messages/anthropic_messages.hpp"
#include "protocol/structured.hpp"

namespace orchestra::protocol::anthropic_messages {

namespace {

using chat::Field;
using json::Value;
using json::Writer;

constexpr std::string_view kVersion = "2023-06-01";
constexpr std::string_view kFilesBeta = "files-api-2025-04-14";
constexpr std::int64_t kDefaultMaxTokens = 4096;  // the service requires a limit

constexpr std::array kFields = {
    FieldRow{Field::System, Place::Encoder, "system"},
    FieldRow{Field::Tools, Place::Encoder, "tools"},
    FieldRow{Field::ToolChoice, Place::Encoder, "tool_choice"},
    FieldRow{Field::ResponseFormat, Place::Encoder, "output_config"},
    FieldRow{Field::Temperature, Place::Same, "temperature"},
    FieldRow{Field::TopP, Place::Same, "top_p"},
    FieldRow{Field::TopK, Place::Same, "top_k"},
    FieldRow{Field::MaxTokens, Place::Encoder, "max_tokens"},
    FieldRow{Field::Stop, Place::Encoder, "stop_sequences"},
    FieldRow{Field::ReasoningEffort, Place::Encoder, "thinking"},
    FieldRow{Field::ParallelToolCalls, Place::Encoder, "tool_choice"},
    FieldRow{Field::ServiceTier, Place::Same, "service_tier"},
};

// The thinking budget that is asked for in tokens; 0: none.
std::int64_t thinking_budget(Value effort) { return effort.integer().value_or(0); }

void write_max_tokens(BodyWriter& body, const chat::Request& request) {
  if (request[Field::MaxTokens]) return body.raw("max_tokens", request[Field::MaxTokens].raw());
  // The budget is a part of max_tokens, so the default leaves as much for the answer as without thinking.
  if (body.begin("max_tokens")) {
    constexpr std::int64_t kLargestBudget = std::int64_t{1} << 40;
    const std::int64_t budget = std::min(thinking_budget(request[Field::ReasoningEffort]), kLargestBudget);
    body.writer().integer(kDefaultMaxTokens + budget);
  }
}

void write_tool(Writer& writer, Value tool, Refusals& refusals) {
  const Value function = tool["function"];
  if (!function.is_object()) {  // a tool of the service itself, such as web search; these have a name
    if (tool["name"]) {
      writer.raw(tool.raw());
    } else {
      refusals.refuse("tools", "no tool of the type " + std::string(tool["type"].raw()));
    }
    return;
  }
  writer.begin_object().key("name").raw(function["name"].raw());
  if (function["description"]) writer.key("description").raw(function["description"].raw());
  writer.key("input_schema");
  const Value schema = function["parameters"];
  if (schema.size() == 0) {
    writer.raw(R"({"type":"object","properties":{}})");
  } else {
    writer.raw(schema.raw());
  }
  for (Value source : {function, tool}) {
    for (auto [key, value] : source.members()) {
      const bool standard =
          key.is("name") || key.is("description") || key.is("parameters") || key.is("type") || key.is("function");
      if (!standard && !value.is_null()) writer.key(key.string_or()).raw(value.raw());
    }
  }
  writer.end_object();
}

void write_tools(BodyWriter& body, const chat::Request& request, bool forced_tool, Refusals& refusals) {
  const Value tools = request[Field::Tools];
  const Value format = request[Field::ResponseFormat];
  if ((tools.size() == 0 && !forced_tool) || !body.begin("tools")) return;
  Writer& writer = body.writer();
  writer.begin_array();
  for (Value tool : tools.elements()) write_tool(writer, tool, refusals);
  if (forced_tool) {
    writer.begin_object().member("name", forced_tool_name(format)).member("description", "Gives the answer.");
    writer.key("input_schema").raw(schema_of(format)).end_object();
  }
  writer.end_array();
}

void write_tool_choice(BodyWriter& body, const chat::Request& request, bool forced_tool) {
  const Value choice = request[Field::ToolChoice];
  const bool serial = request[Field::ParallelToolCalls].boolean() == false && request[Field::Tools].size() > 0;
  if (!choice && !serial && !forced_tool) return;
  if (!body.begin("tool_choice")) return;
  Writer& writer = body.writer();
  writer.begin_object();
  if (forced_tool) {
    writer.member("type", "tool").member("name", forced_tool_name(request[Field::ResponseFormat]));
  } else if (!choice || choice.is("auto")) {
    writer.member("type", "auto");
  } else if (choice.is("required")) {
    writer.member("type", "any");
  } else if (choice.is("none")) {
    writer.member("type", "none");
  } else {
    writer.member("type", "tool").key("name");
    writer.raw(choice.is_string() ? choice.raw() : choice["function"]["name"].raw());
  }
  if (serial && !choice.is("none")) writer.member("disable_parallel_tool_use", true);
  writer.end_object();
}

void write_stop(BodyWriter& body, Value stop) {
  if (!stop || !body.begin("stop_sequences")) return;
  if (stop.is_string()) {
    body.writer().begin_array().raw(stop.raw()).end_array();
  } else {
    body.writer().raw(stop.raw());
  }
}

// A budget in tokens is extended thinking with that budget; a word is adaptive thinking with that effort, which has no
// word below "low".
void write_thinking(BodyWriter& body, Value effort) {
  if (!effort || !body.begin("thinking")) return;
  Writer& writer = body.writer().begin_object();
  if (effort.is("none") || effort.integer() == 0) {
    writer.member("type", "disabled");
  } else if (effort.is_number()) {
    writer.member("type", "enabled").key("budget_tokens").raw(effort.raw());
  } else {
    writer.member("type", "adaptive");
  }
  writer.end_object();
}

void write_output_config(BodyWriter& body, Value effort, Value format, Structured way) {
  const bool has_effort = effort.is_string() && !effort.is("none");
  const bool has_format = way == Structured::NativeSchema;
  if ((!has_effort && !has_format) || !body.begin("output_config")) return;
  Writer& writer = body.writer().begin_object();
  if (has_effort) writer.key("effort").raw(effort.is("minimal") ? std::string_view(R"("low")") : effort.raw());
  if (has_format) {
    writer.key("format").begin_object().member("type", "json_schema").key("schema").raw(schema_of(format)).end_object();
  }
  writer.end_object();
}

std::shared_ptr<const EncodedHead> head(const Headers& more) {
  EncodedHead out{"/messages", {{"content-type", "application/json"}, {"anthropic-version", std::string(kVersion)}}};
  out.headers.insert(out.headers.end(), more.begin(), more.end());
  return std::make_shared<const EncodedHead>(std::move(out));
}

}  // namespace

Result<EncodedRequest> encode(const chat::Request& request, const EncodeOptions& options) {
  Refusals refusals(kName, options.drop_unsupported);
  check_fields(request, kFields, refusals);
  const Value format = request[Field::ResponseFormat], effort = request[Field::ReasoningEffort];
  const Structured way = structured(format, options);
  if (way == Structured::Impossible) {
    refusals.refuse("response_format", "this model has neither JSON schema nor tools");
  } else if (way == Structured::JsonObject) {
    refusals.refuse("response_format", "json_object cannot be asked for; give a JSON schema");
  }

  EncodedRequest out;
  out.body.reserve(request.text_bytes() + 512);
  out.forced_tool = way == Structured::ForcedTool;
  bool needs_files = false;

  BodyWriter body(out.body, request[Field::Extra]);
  if (body.begin("model")) body.writer().string(options.model);
  write_max_tokens(body, request);
  write_conversation(request, body, refusals, needs_files);
  if (options.stream) body.raw("stream", "true");
  write_tools(body, request, out.forced_tool, refusals);
  write_tool_choice(body, request, out.forced_tool);
  write_stop(body, request[Field::Stop]);
  write_thinking(body, effort);
  write_output_config(body, effort, format, way);
  write_fields(request, kFields, body);
  body.end();

  if (refusals.failed()) return refusals.error();
  out.dropped = refusals.dropped();
  static const auto kHead = head({});
  static const auto kHeadWithFiles = head({{"anthropic-beta", std::string(kFilesBeta)}});
  out.head = needs_files ? kHeadWithFiles : kHead;
  return out;
}

}  // namespace orchestra::protocol::anthropic_messages
