// Fuzz target: a streamed reply of either format does not depend on how its bytes are cut; deltas and plain body agree;
// every plain body is a reply of the format. The first byte chooses format and options, the second seeds the cuts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/format.hpp"

namespace {

using namespace orchestra;
using protocol::DecodeOptions;
using protocol::Format;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  std::string text, reasoning, arguments, finish, error, plain_body;
  bool done = false, finished = false, content = false;
  bool operator==(const Outcome&) const = default;
};

Outcome read(const Format& format, const DecodeOptions& options, std::string_view body, std::uint32_t seed) {
  const auto decoder = format.stream_decoder(options);
  std::vector<chat::Delta> deltas;
  Status status = Done{};
  while (!body.empty() && status) {
    const std::uint32_t wanted = seed == 0 ? 0xFFFFFFFF : (seed = seed * 1664525u + 1013904223u) >> 28;
    const std::string_view head = body.substr(0, wanted);
    const std::unique_ptr<char[]> piece(new char[head.size()]);  // so that a read behind it is seen
    head.copy(piece.get(), head.size());
    status = decoder->feed({piece.get(), head.size()}, deltas);
    body.remove_prefix(head.size());
  }
  if (status) status = decoder->end(deltas);

  Outcome out;
  for (std::size_t i = 0; i < deltas.size(); ++i) {
    const chat::Delta& delta = deltas[i];
    out.text += delta.text;
    out.reasoning += delta.reasoning;
    if (delta.tool_call) {
      out.arguments.append(std::to_string(delta.tool_call->index)).append(delta.tool_call->id);
      out.arguments.append(delta.tool_call->name).append(delta.tool_call->arguments).append("|");
    }
    const bool last = i + 1 == deltas.size() && status;
    require(last || (delta.finish == chat::Finish::None && !delta.usage));
  }
  if (status) {
    require(!deltas.empty() && deltas.back().finish != chat::Finish::None && deltas.back().usage);
    out.finish = chat::finish_name(deltas.back().finish);
  } else {
    out.error = std::string(chat::error_name(status.error().kind)) + status.error().message;
  }
  out.plain_body = decoder->plain_body();
  out.done = decoder->is_done();
  out.finished = decoder->is_finished();
  out.content = decoder->has_content();

  json::Document document;
  require(!document.parse(out.plain_body, options.limits.json_depth + protocol::kPlainBodyDepth));
  const auto choices = format.choices(document.root(), options);
  require(!choices.empty());
  for (const chat::Choice& choice : choices) {
    json::Document message;
    require(!message.parse(choice.message, 2 * json::kMaxDepth));
  }
  if (status) {
    const auto summary = format.summarize(document.root(), options);
    require(!summary || summary->finish == deltas.back().finish);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Format& format = *protocol::find_format(data[0] & 1 ? "openai-chat" : "anthropic-messages");
  DecodeOptions options;
  options.forced_tool = (data[0] & 2) != 0;
  options.limits = {.body = 1 << 16, .line = 1 << 12, .event = 1 << 13, .text = 1 << 16, .tool_calls = 8};
  if ((data[0] & 4) != 0) options.limits.json_depth = 6;
  const std::string_view body(reinterpret_cast<const char*>(data) + 2, size - 2);
  require(read(format, options, body, 0) == read(format, options, body, 2u * data[1] + 1));
  return 0;
}
