#include <array>

#include "protocol/fields.hpp"
#include "protocol/openai_chat/openai_chat.hpp"
#include "protocol/structured.hpp"

namespace orchestra::protocol::openai_chat {

namespace {

using chat::Field;
using json::Value;
using json::Writer;

constexpr std::array kFields = {
    FieldRow{Field::System, Place::Encoder, "messages"},
    FieldRow{Field::Tools, Place::Encoder, "tools"},
    FieldRow{Field::ToolChoice, Place::Encoder, "tool_choice"},
    FieldRow{Field::ResponseFormat, Place::Encoder, "response_format"},
    FieldRow{Field::Temperature, Place::Same, "temperature"},
    FieldRow{Field::TopP, Place::Same, "top_p"},
    FieldRow{Field::TopK, Place::Encoder, "top_k"},
    FieldRow{Field::MaxTokens, Place::Encoder, "max_tokens"},
    FieldRow{Field::Stop, Place::Same, "stop"},
    FieldRow{Field::Seed, Place::Same, "seed"},
    FieldRow{Field::ReasoningEffort, Place::Encoder, "reasoning_effort"},
    FieldRow{Field::N, Place::Same, "n"},
    FieldRow{Field::Logprobs, Place::Encoder, "logprobs"},
    FieldRow{Field::ParallelToolCalls, Place::Same, "parallel_tool_calls"},
    FieldRow{Field::ServiceTier, Place::Same, "service_tier"},
    FieldRow{Field::FrequencyPenalty, Place::Same, "frequency_penalty"},
    FieldRow{Field::PresencePenalty, Place::Same, "presence_penalty"},
};

bool is_empty(Value value) { return value.is_null() || (value.is_array() && value.size() == 0); }

bool is_foreign(Value message) {
  const Value protocol = message["protocol"];
  return protocol.is_string() && !protocol.is(kName);
}

// The parts of a message of another format: its own kinds go away; a lone text becomes a plain string.
void write_foreign_content(Writer& writer, Value content, std::string_view role) {
  if (!content.is_array()) {
    content.exists() ? writer.raw(content.raw()) : writer.null();
    return;
  }
  std::string text;
  bool has_text = false, has_media = false;
  for (Value part : content.elements()) {
    if (part["type"].is("text")) {
      text += part["text"].string_or();
      has_text = true;
    } else if (part["type"].is("image_url") || part["type"].is("file") || part["type"].is("input_audio")) {
      has_media = true;
    }
  }
  if (!has_media || role == "assistant") {
    has_text ? writer.string(text) : writer.null();
    return;
  }
  writer.begin_array();
  for (Value part : content.elements()) {
    const std::string type = part["type"].string_or();
    if (type != "text" && type != "image_url" && type != "file" && type != "input_audio") continue;
    writer.begin_object().member("type", type).key(type).raw(part[type].raw()).end_object();
  }
  writer.end_array();
}

void write_foreign_message(Writer& writer, Value message) {
  const std::string role = message["role"].string_or();
  writer.begin_object().member("role", role).key("content");
  write_foreign_content(writer, message["content"], role);
  if (message["tool_call_id"]) writer.key("tool_call_id").raw(message["tool_call_id"].raw());
  if (message["tool_calls"].size() > 0) {
    writer.key("tool_calls").begin_array();
    for (Value call : message["tool_calls"].elements()) {
      const Value function = call["function"];
      writer.begin_object().member("id", call["id"].string_or()).member("type", "function").key("function");
      writer.begin_object().member("name", function["name"].string_or());
      writer.member("arguments", function["arguments"].string_or()).end_object().end_object();
    }
    writer.end_array();
  }
  writer.end_object();
}

// As it stands, but without "protocol", and without what is null or empty in a reply that goes back: such members say
// nothing, and strict servers refuse some of them (Groq: annotations, refusal).
void write_message(Writer& writer, Value message) {
  if (is_foreign(message)) return write_foreign_message(writer, message);
  const bool assistant = message["role"].is("assistant");
  const auto is_left_out = [&](Value key, Value value) {
    return key.is("protocol") || (assistant && is_empty(value) && !key.is("content"));
  };
  bool whole = true;
  for (auto [key, value] : message.members()) whole = whole && !is_left_out(key, value);
  if (whole) {
    writer.raw(message.raw());
    return;
  }
  writer.begin_object();
  for (auto [key, value] : message.members()) {
    if (!is_left_out(key, value)) writer.key(key.string_or()).raw(value.raw());
  }
  writer.end_object();
}

void write_messages(BodyWriter& body, const chat::Request& request) {
  if (!body.begin("messages")) return;
  Writer& writer = body.writer();
  writer.begin_array();
  if (const Value system = request[Field::System]) {
    writer.begin_object().member("role", "system").key("content").raw(system.raw()).end_object();
  }
  for (Value message : request[Field::Messages].elements()) write_message(writer, message);
  writer.end_array();
}

void write_tool_choice(Writer& writer, Value choice) {
  if (!choice.is_string() || choice.is("auto") || choice.is("none") || choice.is("required")) {
    writer.raw(choice.raw());
    return;
  }
  writer.begin_object().member("type", "function").key("function");
  writer.begin_object().key("name").raw(choice.raw()).end_object().end_object();
}

void write_tools(BodyWriter& body, const chat::Request& request, bool forced_tool) {
  const Value tools = request[Field::Tools], choice = request[Field::ToolChoice];
  const Value format = request[Field::ResponseFormat];
  if (!forced_tool) {
    if (tools.size() > 0) body.raw("tools", tools.raw());
    if (choice && body.begin("tool_choice")) write_tool_choice(body.writer(), choice);
    return;
  }
  const std::string name = forced_tool_name(format);
  Writer& writer = body.writer();
  if (body.begin("tools")) {
    writer.begin_array();
    for (Value tool : tools.elements()) writer.raw(tool.raw());
    writer.begin_object().member("type", "function").key("function").begin_object().member("name", name);
    writer.member("description", "Gives the answer.")
        .key("parameters")
        .raw(schema_of(format))
        .end_object()
        .end_object();
    writer.end_array();
  }
  if (body.begin("tool_choice")) {
    writer.begin_object().member("type", "function").key("function");
    writer.begin_object().member("name", name).end_object().end_object();
  }
}

void write_reasoning(BodyWriter& body, Value effort, const Dialect& row, Refusals& refusals) {
  if (!effort) return;
  if (effort.is_string()) {
    body.raw("reasoning_effort", effort.raw());
  } else if (row.reasoning_budget) {
    if (body.begin("reasoning")) body.writer().begin_object().key("max_tokens").raw(effort.raw()).end_object();
  } else {
    refusals.refuse("reasoning_effort", "takes a word here, not a number of tokens");
  }
}

void write_logprobs(BodyWriter& body, Value logprobs) {
  if (!logprobs) return;
  if (logprobs.is_bool()) return body.raw("logprobs", logprobs.raw());
  body.raw("logprobs", "true");
  body.raw("top_logprobs", logprobs.raw());
}

}  // namespace

Result<EncodedRequest> encode(const chat::Request& request, const EncodeOptions& options) {
  const Dialect& row = dialect(options.dialect);
  Refusals refusals(kName, options.drop_unsupported);
  check_fields(request, kFields, refusals);

  static const auto kHead =
      std::make_shared<const EncodedHead>(EncodedHead{"/chat/completions", {{"content-type", "application/json"}}});

  EncodedRequest out;
  out.head = kHead;
  out.body.reserve(request.text_bytes() + 512);
  const Value format = request[Field::ResponseFormat];
  const Structured way = structured(format, options);
  if (way == Structured::Impossible) {
    refusals.refuse("response_format", "this model has neither JSON schema nor tools");
  }
  out.forced_tool = way == Structured::ForcedTool;

  BodyWriter body(out.body, request[Field::Extra]);
  if (body.begin("model")) body.writer().string(options.model);
  write_messages(body, request);
  if (options.stream) {
    body.raw("stream", "true");
    body.raw("stream_options", R"({"include_usage":true})");
  }
  write_tools(body, request, out.forced_tool);
  if (way == Structured::JsonObject || way == Structured::NativeSchema) body.raw("response_format", format.raw());
  if (request[Field::MaxTokens]) body.raw(row.max_tokens, request[Field::MaxTokens].raw());
  if (request[Field::TopK]) {
    if (row.top_k) {
      body.raw("top_k", request[Field::TopK].raw());
    } else {
      refusals.refuse("top_k", "this format has no such field");
    }
  }
  write_reasoning(body, request[Field::ReasoningEffort], row, refusals);
  write_logprobs(body, request[Field::Logprobs]);
  write_fields(request, kFields, body);
  body.end();

  if (refusals.failed()) return refusals.error();
  out.dropped = refusals.dropped();
  return out;
}

}  // namespace orchestra::protocol::openai_chat
