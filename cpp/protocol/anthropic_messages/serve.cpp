// The server direction: what a server of this format writes, for test doubles.
#include <array>

#include "protocol/anthropic_messages/anthropic_messages.hpp"
#include "protocol/pieces.hpp"

namespace orchestra::protocol::anthropic_messages {

namespace {

using chat::Finish;
using json::Writer;

constexpr std::string_view kSignature = "c2lnbmF0dXJl";

std::string_view stop_word(const ServerReply& reply) {
  switch (reply.finish) {
    case Finish::Length:
    case Finish::Budget: return "max_tokens";
    case Finish::ToolCalls: return "tool_use";
    case Finish::ContentFilter:
    case Finish::Refusal: return "refusal";
    case Finish::Other: return "pause_turn";
    case Finish::None:
    case Finish::Stop: break;
  }
  if (reply.refusal) return "refusal";
  return reply.tool_calls.empty() ? "end_turn" : "tool_use";
}

// A refusal has no field here: it is the text, and stop_reason says what it is.
std::string_view text_of(const ServerReply& reply) {
  return reply.text.empty() && reply.refusal ? std::string_view(*reply.refusal) : reply.text;
}

void write_count(Writer& writer, std::string_view name, std::optional<std::int64_t> count) {
  writer.key(name);
  count ? writer.integer(*count) : writer.null();
}

// input_tokens leaves out what was read from or written to the cache.
void write_input_counts(Writer& writer, const chat::Usage& usage) {
  std::optional<std::int64_t> uncached = usage.input_tokens;
  if (uncached) *uncached -= usage.cached_tokens.value_or(0) + usage.cache_write_tokens.value_or(0);
  write_count(writer, "input_tokens", uncached);
  write_count(writer, "cache_creation_input_tokens", usage.cache_write_tokens);
  write_count(writer, "cache_read_input_tokens", usage.cached_tokens);
  if (usage.cache_write_1h_tokens) {
    writer.key("cache_creation").begin_object().member("ephemeral_1h_input_tokens", *usage.cache_write_1h_tokens);
    writer.member("ephemeral_5m_input_tokens", usage.cache_write_tokens.value_or(0) - *usage.cache_write_1h_tokens);
    writer.end_object();
  }
}

void write_output_counts(Writer& writer, const chat::Usage& usage) {
  write_count(writer, "output_tokens", usage.output_tokens);
  if (usage.reasoning_tokens) {
    writer.key("output_tokens_details").begin_object().member("thinking_tokens", *usage.reasoning_tokens).end_object();
  }
}

// The beginning of a message, up to its content.
void write_head(Writer& writer, const ServerReply& reply) {
  writer.begin_object().member("id", reply.id.empty() ? "msg_1" : reply.id).member("type", "message");
  writer.member("role", "assistant").member("model", reply.model).key("content").begin_array();
}

void write_service_tier(Writer& writer, const chat::Usage& usage) {
  if (!usage.service_tier.empty()) writer.member("service_tier", usage.service_tier);
}

std::string input_of(const chat::ToolCall& call) {
  json::Document document;
  if (document.parse_copy(call.arguments) || !document.root().is_object()) return "{}";
  return std::string(document.root().raw());
}

class StreamWriter {
 public:
  explicit StreamWriter(std::vector<Format::ServerEvent>& events) : events_(events) {}

  // An event whose fields the function writes behind its type.
  template <class WriteFields>
  void event(std::string_view type, bool content, WriteFields write_fields) {
    std::string json;
    Writer writer(json);
    writer.begin_object().member("type", type);
    write_fields(writer);
    writer.end_object();
    std::string bytes = "event: ";
    events_.push_back({bytes.append(type).append("\ndata: ").append(json).append("\n\n"), content});
  }

  template <class WriteBlock>
  void begin_block(std::string_view type, bool content, WriteBlock write_block) {
    event("content_block_start", content, [&](Writer& writer) {
      writer.member("index", index_).key("content_block").begin_object().member("type", type);
      write_block(writer);
      writer.end_object();
    });
  }
  void delta(std::string_view type, std::string_view member, std::string_view piece, bool content = true) {
    event("content_block_delta", content, [&](Writer& writer) {
      writer.member("index", index_)
          .key("delta")
          .begin_object()
          .member("type", type)
          .member(member, piece)
          .end_object();
    });
  }
  void end_block() {
    event("content_block_stop", false, [&](Writer& writer) { writer.member("index", index_); });
    ++index_;
  }

 private:
  std::vector<Format::ServerEvent>& events_;
  std::int64_t index_ = 0;
};

void stream_blocks(const ServerReply& reply, std::size_t pieces, StreamWriter& stream) {
  if (reply.reasoning) {
    stream.begin_block("thinking", false,
                       [](Writer& writer) { writer.member("thinking", "").member("signature", ""); });
    for (const auto piece : cut_into_pieces(*reply.reasoning, pieces))
      stream.delta("thinking_delta", "thinking", piece);
    stream.delta("signature_delta", "signature", kSignature, false);
    stream.end_block();
  }
  if (const std::string_view text = text_of(reply); !text.empty()) {
    stream.begin_block("text", false, [](Writer& writer) { writer.member("text", ""); });
    for (const auto piece : cut_into_pieces(text, pieces)) stream.delta("text_delta", "text", piece);
    stream.end_block();
  }
  for (const chat::ToolCall& call : reply.tool_calls) {
    stream.begin_block("tool_use", true, [&](Writer& writer) {
      writer.member("id", call.id).member("name", call.name).key("input").raw("{}");
    });
    stream.delta("input_json_delta", "partial_json", "", false);
    for (const auto piece : cut_into_pieces(call.arguments, pieces)) {
      stream.delta("input_json_delta", "partial_json", piece);
    }
    stream.end_block();
  }
}

struct ErrorWord {
  int status;
  std::string_view type;
};
constexpr std::array kErrorWords = {
    ErrorWord{401, "authentication_error"}, ErrorWord{402, "billing_error"},     ErrorWord{403, "permission_error"},
    ErrorWord{404, "not_found_error"},      ErrorWord{413, "request_too_large"}, ErrorWord{429, "rate_limit_error"},
    ErrorWord{504, "timeout_error"},        ErrorWord{529, "overloaded_error"},
};

}  // namespace

Result<ServerRequest> read_request(json::Value body) {
  if (!body.is_object() || !body["messages"].is_array()) {
    return chat::make_error(chat::ErrorKind::InvalidRequest, "messages: a list of messages is needed");
  }
  ServerRequest out;
  out.model = body["model"].string_or();
  out.stream = body["stream"].boolean().value_or(false);
  return out;
}

std::string encode_reply(const ServerReply& reply) {
  std::string out;
  Writer writer(out);
  write_head(writer, reply);
  if (reply.reasoning) {
    writer.begin_object().member("type", "thinking").member("thinking", *reply.reasoning);
    writer.member("signature", kSignature).end_object();
  }
  if (const std::string_view text = text_of(reply); !text.empty()) {
    writer.begin_object().member("type", "text").member("text", text).end_object();
  }
  for (const chat::ToolCall& call : reply.tool_calls) {
    writer.begin_object().member("type", "tool_use").member("id", call.id).member("name", call.name);
    writer.key("input").raw(input_of(call)).end_object();
  }
  writer.end_array().member("stop_reason", stop_word(reply)).key("stop_sequence").null();
  writer.key("usage").begin_object();
  write_input_counts(writer, reply.usage);
  write_output_counts(writer, reply.usage);
  write_service_tier(writer, reply.usage);
  writer.end_object().end_object();
  return out;
}

std::vector<Format::ServerEvent> encode_stream(const ServerReply& reply, const ServerRequest&, std::size_t pieces) {
  std::vector<Format::ServerEvent> events;
  StreamWriter stream(events);
  stream.event("message_start", false, [&](Writer& writer) {
    writer.key("message");
    write_head(writer, reply);
    writer.end_array().key("stop_reason").null().key("stop_sequence").null().key("usage").begin_object();
    write_input_counts(writer, reply.usage);
    writer.member("output_tokens", 1);
    write_service_tier(writer, reply.usage);
    writer.end_object().end_object();
  });
  stream.event("ping", false, [](Writer&) {});
  stream_blocks(reply, pieces, stream);
  stream.event("message_delta", false, [&](Writer& writer) {
    writer.key("delta").begin_object().member("stop_reason", stop_word(reply)).key("stop_sequence").null().end_object();
    writer.key("usage").begin_object();
    write_output_counts(writer, reply.usage);
    writer.end_object();
  });
  stream.event("message_stop", false, [](Writer&) {});
  return events;
}

std::string encode_error(int status, std::string_view message) {
  std::string_view type = status < 500 ? "invalid_request_error" : "api_error";
  for (const ErrorWord& row : kErrorWords) {
    if (row.status == status) type = row.type;
  }
  std::string out;
  Writer writer(out);
  writer.begin_object().member("type", "error").key("error").begin_object().member("type", type);
  writer.member("message", message).end_object().member("request_id", "req_1").end_object();
  return out;
}

}  // namespace orchestra::protocol::anthropic_messages
