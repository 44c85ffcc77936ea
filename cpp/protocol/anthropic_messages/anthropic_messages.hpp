// The format "anthropic-messages": POST .../messages. API reference: docs.claude.com/en/api/messages (2026).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "json/writer.hpp"
#include "protocol/errors.hpp"
#include "protocol/fields.hpp"
#include "protocol/format.hpp"

namespace orchestra::protocol::anthropic_messages {

inline constexpr std::string_view kName = "anthropic-messages";

extern const ErrorPaths kErrorPaths;

Result<EncodedRequest> encode(const chat::Request& request, const EncodeOptions& options);
// Writes `system` and `messages`; `needs_files` is set when a part names an uploaded file.
void write_conversation(const chat::Request& request, BodyWriter& body, Refusals& refusals, bool& needs_files);
// Writes one content part of the canonical shape as a block, with a comma when others came before.
struct PartPlace {
  std::string path;         // "messages[2].content[0]", for errors
  bool is_own = false;      // the message is of this format: what is unknown is written back
  bool is_foreign = false;  // of another format: what is unknown is left out
};
void write_part(json::Value part, const PartPlace& place, std::string& blocks, Refusals& refusals, bool& needs_files);

Result<chat::Summary> summarize(json::Value body, const DecodeOptions& options);
std::vector<chat::Choice> choices(json::Value body, const DecodeOptions& options);
chat::Usage read_usage(json::Value usage);
chat::Finish finish_of(std::string_view word, bool has_tool_calls, bool forced_tool);
std::unique_ptr<StreamDecoder> stream_decoder(const DecodeOptions& options);

Result<ServerRequest> read_request(json::Value body);
std::string encode_reply(const ServerReply& reply);
std::vector<Format::ServerEvent> encode_stream(const ServerReply& reply, const ServerRequest& request,
                                               std::size_t pieces);
std::string encode_error(int status, std::string_view message);

const Format& format();

}  // namespace orchestra::protocol::anthropic_messages
