// The server direction: what a server of this format writes, for test doubles.
#include "json/writer.hpp"
#include "protocol/openai_chat/openai_chat.hpp"
#include "protocol/pieces.hpp"

namespace orchestra::protocol::openai_chat {

namespace {

using chat::Finish;
using json::Writer;

std::string_view finish_word(const ServerReply& reply) {
  switch (reply.finish) {
    case Finish::Length:
    case Finish::Budget: return "length";
    case Finish::ToolCalls: return "tool_calls";
    case Finish::ContentFilter: return "content_filter";
    case Finish::Refusal: return reply.refusal ? "stop" : "content_filter";
    case Finish::Other: return "other";
    case Finish::None:
    case Finish::Stop: break;
  }
  return reply.tool_calls.empty() ? "stop" : "tool_calls";
}

void write_count(Writer& writer, std::string_view name, const std::optional<std::int64_t>& count) {
  if (count) writer.member(name, *count);
}

void write_usage(Writer& writer, const chat::Usage& usage) {
  writer.begin_object();
  write_count(writer, "prompt_tokens", usage.input_tokens);
  write_count(writer, "completion_tokens", usage.output_tokens);
  if (usage.reported()) writer.member("total_tokens", *usage.input_tokens + *usage.output_tokens);
  if (usage.cached_tokens || usage.cache_write_tokens || usage.audio_input_tokens) {
    writer.key("prompt_tokens_details").begin_object();
    write_count(writer, "cached_tokens", usage.cached_tokens);
    write_count(writer, "cache_write_tokens", usage.cache_write_tokens);
    write_count(writer, "audio_tokens", usage.audio_input_tokens);
    writer.end_object();
  }
  if (usage.reasoning_tokens || usage.audio_output_tokens) {
    writer.key("completion_tokens_details").begin_object();
    write_count(writer, "reasoning_tokens", usage.reasoning_tokens);
    write_count(writer, "audio_tokens", usage.audio_output_tokens);
    writer.end_object();
  }
  writer.end_object();
}

bool has_usage(const chat::Usage& usage) { return usage.input_tokens || usage.output_tokens; }

void write_head(Writer& writer, const ServerReply& reply, std::string_view object) {
  constexpr std::int64_t kCreated = 1767225600;  // fixed, so that the same script gives the same bytes
  writer.begin_object().member("id", reply.id.empty() ? "chatcmpl-1" : reply.id).member("object", object);
  writer.member("created", kCreated).member("model", reply.model);
  if (!reply.usage.service_tier.empty()) writer.member("service_tier", reply.usage.service_tier);
}

// The beginning of a call in a stream carries its index; a call in a plain reply has none.
void begin_call(Writer& writer, const chat::ToolCall& call, std::optional<std::size_t> index) {
  writer.begin_object();
  if (index) writer.member("index", *index);
  writer.member("id", call.id).member("type", "function").key("function").begin_object().member("name", call.name);
}

class StreamWriter {
 public:
  StreamWriter(const ServerReply& reply, std::vector<Format::ServerEvent>& events) : reply_(reply), events_(events) {}

  // A chunk whose delta the function writes into an open object.
  template <class WriteDelta>
  void chunk(bool content, WriteDelta write_delta, std::string_view finish = {}) {
    std::string json;
    Writer writer(json);
    write_head(writer, reply_, "chat.completion.chunk");
    writer.key("choices").begin_array().begin_object().member("index", 0).key("delta").begin_object();
    write_delta(writer);
    writer.end_object().key("logprobs").null().key("finish_reason");
    finish.empty() ? writer.null() : writer.string(finish);
    writer.end_object().end_array().end_object();
    event(json, content);
  }

  void text(std::string_view name, std::string_view text, std::size_t pieces) {
    for (const std::string_view piece : cut_into_pieces(text, pieces)) {
      chunk(true, [&](Writer& writer) { writer.member(name, piece); });
    }
  }

  void call(std::size_t index, const chat::ToolCall& call, std::size_t pieces) {
    chunk(true, [&](Writer& writer) {
      writer.key("tool_calls").begin_array();
      begin_call(writer, call, index);
      writer.member("arguments", "").end_object().end_object().end_array();
    });
    for (const std::string_view piece : cut_into_pieces(call.arguments, pieces)) {
      chunk(true, [&](Writer& writer) {
        writer.key("tool_calls").begin_array().begin_object().member("index", index).key("function").begin_object();
        writer.member("arguments", piece).end_object().end_object().end_array();
      });
    }
  }

  void event(std::string_view data, bool content) {
    events_.push_back({std::string("data: ").append(data).append("\n\n"), content});
  }

 private:
  const ServerReply& reply_;
  std::vector<Format::ServerEvent>& events_;
};

struct ErrorWords {
  int status;
  std::string_view type, code;  // code "": null
};
constexpr ErrorWords kErrorWords[] = {
    {400, "invalid_request_error", ""},
    {401, "invalid_request_error", "invalid_api_key"},
    {402, "billing_error", "payment_required"},
    {403, "invalid_request_error", "unsupported_country_region_territory"},
    {404, "invalid_request_error", "model_not_found"},
    {408, "timeout", ""},
    {409, "conflict", ""},
    {413, "invalid_request_error", ""},
    {422, "invalid_request_error", ""},
    {429, "requests", "rate_limit_exceeded"},
    {500, "server_error", ""},
    {503, "server_error", ""},
};

}  // namespace

Result<ServerRequest> read_request(json::Value body) {
  if (!body.is_object() || !body["messages"].is_array()) {
    return chat::make_error(chat::ErrorKind::InvalidRequest, "messages: a list of messages is needed");
  }
  ServerRequest out;
  out.model = body["model"].string_or();
  out.stream = body["stream"].boolean().value_or(false);
  out.include_usage = body["stream_options"]["include_usage"].boolean().value_or(false);
  return out;
}

std::string encode_reply(const ServerReply& reply) {
  std::string out;
  Writer writer(out);
  write_head(writer, reply, "chat.completion");
  writer.key("choices").begin_array().begin_object().member("index", 0).key("message").begin_object();
  writer.member("role", "assistant").key("content");
  if (reply.text.empty() && (!reply.tool_calls.empty() || reply.refusal)) {
    writer.null();
  } else {
    writer.string(reply.text);
  }
  writer.key("refusal");
  reply.refusal ? writer.string(*reply.refusal) : writer.null();
  if (reply.reasoning) writer.member("reasoning_content", *reply.reasoning);
  if (!reply.tool_calls.empty()) {
    writer.key("tool_calls").begin_array();
    for (const chat::ToolCall& call : reply.tool_calls) {
      begin_call(writer, call, std::nullopt);
      writer.member("arguments", call.arguments).end_object().end_object();
    }
    writer.end_array();
  }
  writer.end_object().key("logprobs").null().member("finish_reason", finish_word(reply)).end_object().end_array();
  if (has_usage(reply.usage)) {
    writer.key("usage");
    write_usage(writer, reply.usage);
  }
  writer.end_object();
  return out;
}

std::vector<Format::ServerEvent> encode_stream(const ServerReply& reply, const ServerRequest& request,
                                               std::size_t pieces) {
  std::vector<Format::ServerEvent> events;
  StreamWriter stream(reply, events);
  stream.chunk(false, [&](Writer& writer) {
    writer.member("role", "assistant").key("content");
    reply.tool_calls.empty() ? writer.string("") : writer.null();
    writer.key("refusal").null();
  });
  if (reply.reasoning) stream.text("reasoning_content", *reply.reasoning, pieces);
  stream.text("content", reply.text, pieces);
  if (reply.refusal) stream.text("refusal", *reply.refusal, pieces);
  for (std::size_t i = 0; i < reply.tool_calls.size(); ++i) stream.call(i, reply.tool_calls[i], pieces);
  stream.chunk(
      false, [](Writer&) {}, finish_word(reply));
  if (request.include_usage && has_usage(reply.usage)) {
    std::string json;
    Writer writer(json);
    write_head(writer, reply, "chat.completion.chunk");
    writer.key("choices").begin_array().end_array().key("usage");
    write_usage(writer, reply.usage);
    writer.end_object();
    stream.event(json, false);
  }
  stream.event("[DONE]", false);
  return events;
}

std::string encode_error(int status, std::string_view message) {
  ErrorWords words{status, status < 500 ? "invalid_request_error" : "server_error", ""};
  for (const ErrorWords& row : kErrorWords) {
    if (row.status == status) words = row;
  }
  std::string out;
  Writer writer(out);
  writer.begin_object().key("error").begin_object().member("message", message).member("type", words.type);
  writer.key("param").null().key("code");
  words.code.empty() ? writer.null() : writer.string(words.code);
  writer.end_object().end_object();
  return out;
}

}  // namespace orchestra::protocol::openai_chat
