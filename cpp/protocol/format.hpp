// Format: one provider format ("openai-chat", "anthropic-messages") in both directions. Pure: bytes in, values out; it
// knows no socket, no clock and no price. A format is a folder with one Format object; a dialect (a provider that
// speaks a format with its own spellings) is a row of that format's dialect table.
//
// Formats are immutable and may be used from any thread; a StreamDecoder belongs to one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/known.hpp"
#include "chat/reply.hpp"
#include "chat/request.hpp"
#include "chat/result.hpp"
#include "json/value.hpp"

namespace orchestra::protocol {

// Limits on what is read and sent (docs/decisions.md says where they come from); sizes in bytes. What is over one is a
// Protocol error that names it, see over_limit().
struct Limits {
  std::size_t body = 64u << 20;   // a plain answer, decoded
  std::size_t line = 8u << 20;    // of an event stream, without its ending
  std::size_t event = 16u << 20;  // the data of one
  std::size_t text = 64u << 20;   // what a stream holds until its end
  std::size_t json_depth = json::kMaxDepth;
  std::size_t tool_calls = 256;     // of a reply, all choices together
  std::size_t request = 64u << 20;  // a body of ours
};

using Headers = std::vector<std::pair<std::string, std::string>>;
// The value of the first header of that name (any case), or an empty view.
std::string_view header(const Headers& headers, std::string_view name);

// What the catalog says of the model; unknown is not false.
using chat::Known;

struct EncodeOptions {
  std::string_view model;    // as the provider names it
  std::string_view dialect;  // the provider's name; selects a row of the dialect table, "" or unknown: the plain format
  bool stream = false;
  bool drop_unsupported = false;  // drop what the format cannot express instead of failing
  Known json_schema = Known::Unknown;
  Known tools = Known::Unknown;
};

// What stands before a body. Requests that say the same share one.
struct EncodedHead {
  std::string path;  // relative to base_url, begins with "/"
  Headers headers;   // content-type and the format's own; no credentials
};

struct EncodedRequest {
  std::shared_ptr<const EncodedHead> head;
  std::string body;
  std::vector<std::string> dropped;  // names of keywords that were dropped
  bool forced_tool = false;          // structured output through a forced tool call: pass it to the decoder
};

struct DecodeOptions {
  bool forced_tool = false;  // the one tool call is the text: its arguments are text, finish tool_calls is stop
  Limits limits = {};
  bool messages = true;  // choices() writes Choice::message too
};

inline constexpr std::size_t kPlainBodyDepth = 2;

// Reads one streamed reply. Bytes may be cut anywhere, also inside a code point.
class StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;

  // Takes the next bytes and appends the deltas that they complete. An error event inside the stream, or bytes that
  // cannot be read, are an Error; nothing may be fed after it.
  virtual Status feed(std::string_view bytes, std::vector<chat::Delta>& deltas) = 0;
  // The body ended. Appends the last delta (finish and usage), or fails with Interrupted when no terminal event came.
  virtual Status end(std::vector<chat::Delta>& deltas) = 0;

  // A content event came (text, reasoning, refusal, tool fragment).
  [[nodiscard]] virtual bool has_content() const = 0;
  // The terminal marker came ([DONE], message_stop): nothing more is expected.
  [[nodiscard]] virtual bool is_done() const = 0;
  // A finish reason came: an end of the body now is a whole reply.
  [[nodiscard]] virtual bool is_finished() const = 0;

  // What has come so far, as one plain (not streamed) body of this format. Unknown fields are kept. Before the finish
  // reason came, the body says null there. It may be kPlainBodyDepth containers deeper than the events were.
  [[nodiscard]] virtual std::string plain_body() const = 0;
};

// A reply to be written by the server direction.
struct ServerReply {
  std::string id;
  std::string model;
  std::string text;
  std::optional<std::string> reasoning;
  std::optional<std::string> refusal;
  std::vector<chat::ToolCall> tool_calls;
  chat::Finish finish = chat::Finish::Stop;
  chat::Usage usage;
};

// What the server direction reads of a request.
struct ServerRequest {
  std::string model;
  bool stream = false;
  bool include_usage = true;  // of a stream
};

class Format {
 public:
  virtual ~Format() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;

  // ---- client direction
  // Fails with Unsupported (message begins with the field's name), or InvalidRequest with a path.
  [[nodiscard]] virtual Result<EncodedRequest> encode(const chat::Request& request,
                                                      const EncodeOptions& options) const = 0;
  // The headers that carry a key; none for an empty key.
  [[nodiscard]] virtual Headers credentials(std::string_view key) const = 0;
  // Of a plain 2xx body. Fails with Protocol when it is no reply, or with the error that an error object inside says.
  [[nodiscard]] virtual Result<chat::Summary> summarize(json::Value body, const DecodeOptions& options) const = 0;
  // Everything else of a body that summarize() accepted, choice 0 first; never fails.
  [[nodiscard]] virtual std::vector<chat::Choice> choices(json::Value body, const DecodeOptions& options) const = 0;
  [[nodiscard]] virtual std::unique_ptr<StreamDecoder> stream_decoder(const DecodeOptions& options) const = 0;
  // The error of an answer whose status is not 2xx, body of any shape.
  [[nodiscard]] virtual chat::Error error(int status, const Headers& headers, std::string_view body) const = 0;

  // ---- server direction
  // Whether a client of this format asks for a reply at this path ("/v1/chat/completions", any prefix before).
  [[nodiscard]] virtual bool serves(std::string_view path) const = 0;
  [[nodiscard]] virtual Result<ServerRequest> read_request(json::Value body) const = 0;
  [[nodiscard]] virtual std::string encode_reply(const ServerReply& reply) const = 0;
  // The events of a streamed reply, each with its framing: text and arguments in the given number of pieces at most.
  // `content` tells which events carry content (text, reasoning, refusal, tool arguments).
  struct ServerEvent {
    std::string bytes;
    bool content = false;
  };
  [[nodiscard]] virtual std::vector<ServerEvent> encode_stream(const ServerReply& reply, const ServerRequest& request,
                                                               std::size_t pieces) const = 0;
  [[nodiscard]] virtual std::string encode_error(int status, std::string_view message) const = 0;
};

// The format of that name, or nullptr.
const Format* find_format(std::string_view name);
// All names, sorted.
std::vector<std::string_view> format_names();

// The path under which this package knows the built-in provider: protocol, base_url, key variable.
struct BuiltinProvider {
  std::string_view name;
  std::string_view protocol;
  std::string_view base_url;      // "" : none of its own, the user gives it
  std::string_view key_variable;  // such as "OPENAI_API_KEY"
  std::string_view path_prefix;   // added when base_url has no path, such as "/v1"
};
const BuiltinProvider* find_builtin(std::string_view name);
std::vector<const BuiltinProvider*> builtin_providers();

// Seconds that the answer asks to wait: the longest of Retry-After (seconds or HTTP date, `unix_now` in seconds) and
// retry-after-ms; of a 429 without them x-ratelimit-reset-*. Empty: no hint.
std::optional<double> retry_hint(int status, const Headers& headers, double unix_now);

}  // namespace orchestra::protocol
