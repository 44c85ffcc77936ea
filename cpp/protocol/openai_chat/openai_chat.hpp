// The format "openai-chat": POST .../chat/completions, and the many servers that speak it.
// API reference: platform.openai.com/docs/api-reference/chat (2026); the dialects' own references in dialect.cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/errors.hpp"
#include "protocol/format.hpp"

namespace orchestra::protocol::openai_chat {

inline constexpr std::string_view kName = "openai-chat";

// A provider that speaks the format with spellings of its own.
struct Dialect {
  std::string_view name;
  std::string_view max_tokens = "max_tokens";
  bool top_k = false;             // has the field top_k, which OpenAI lacks
  bool reasoning_budget = false;  // takes a number of tokens as reasoning.max_tokens
};
// The row of that provider; the plain format for every other name.
const Dialect& dialect(std::string_view provider);

extern const ErrorPaths kErrorPaths;

Result<EncodedRequest> encode(const chat::Request& request, const EncodeOptions& options);

Result<chat::Summary> summarize(json::Value body, const DecodeOptions& options);
std::vector<chat::Choice> choices(json::Value body, const DecodeOptions& options);
chat::Usage read_usage(json::Value usage);
struct FinishFacts {
  bool has_tool_calls = false;
  bool has_refusal = false;
  bool forced_tool = false;
};
chat::Finish finish_of(std::string_view word, const FinishFacts& facts);
std::unique_ptr<StreamDecoder> stream_decoder(const DecodeOptions& options);

Result<ServerRequest> read_request(json::Value body);
std::string encode_reply(const ServerReply& reply);
std::vector<Format::ServerEvent> encode_stream(const ServerReply& reply, const ServerRequest& request,
                                               std::size_t pieces);
std::string encode_error(int status, std::string_view message);

const Format& format();

}  // namespace orchestra::protocol::openai_chat
