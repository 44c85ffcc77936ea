// Fuzz target: any answer of a provider, 2xx or not, is a reply or an error of each format; what is read of it holds
// together, and the message of a reply may be sent again. The first byte chooses format and options, the second the
// status.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "chat/request.hpp"
#include "json/writer.hpp"
#include "protocol/format.hpp"

namespace {

using namespace orchestra;
using protocol::DecodeOptions;
using protocol::Format;

void require(bool holds) {
  if (!holds) std::abort();
}

void require_error(const chat::Error& error) {
  require(!error.message.empty() && error.body.size() <= chat::kBodyExcerpt);
  require(json::is_utf8(error.body) && json::is_utf8(error.message));
}

void read_error(const Format& format, int status, std::string_view body) {
  const chat::Error error = format.error(status, {{"retry-after", "1"}}, body);
  require(error.status == status && error.has_body);
  require_error(error);
}

// A message of a reply goes back into a request of every format.
void send_again(const chat::Choice& choice, bool is_complete) {
  std::string keywords;
  json::Writer writer(keywords);
  writer.begin_object().key("messages").begin_array();
  writer.raw(R"({"role":"user","content":"a"})").raw(choice.message);
  writer.end_array().end_object();
  const auto request = chat::Request::parse(std::move(keywords));
  if (!request) {
    require(!is_complete || request.error().kind == chat::ErrorKind::InvalidRequest);
    return;
  }
  for (const std::string_view name : protocol::format_names()) {
    protocol::EncodeOptions options{.model = "m"};
    options.drop_unsupported = true;
    const auto encoded = protocol::find_format(name)->encode(**request, options);
    if (!encoded) continue;
    json::Document document;
    require(!document.parse(encoded->body, 2 * json::kMaxDepth));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Format& format = *protocol::find_format((data[0] & 1) != 0 ? "openai-chat" : "anthropic-messages");
  const std::string_view body(reinterpret_cast<const char*>(data) + 2, size - 2);
  read_error(format, 300 + data[1] % 300, body);

  DecodeOptions options;
  options.forced_tool = (data[0] & 2) != 0;
  options.limits.tool_calls = 4;
  options.limits.json_depth = (data[0] & 4) != 0 ? 6 : json::kMaxDepth;
  json::Document document;
  if (document.parse_copy(body, options.limits.json_depth)) return 0;
  const auto summary = format.summarize(document.root(), options);
  if (!summary) {
    require_error(summary.error());
    return 0;
  }
  std::size_t calls = 0;
  const auto choices = format.choices(document.root(), options);
  require(!choices.empty());
  for (const chat::Choice& choice : choices) {
    calls += choice.tool_calls.size();
    json::Document message;
    require(!message.parse_copy(choice.message, json::kMaxDepth + 8) && message.root().is_object());
    require(json::is_utf8(choice.text));
    send_again(choice, choice.finish != chat::Finish::None);
  }
  require(calls <= options.limits.tool_calls);
  return 0;
}
