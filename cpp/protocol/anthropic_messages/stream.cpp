// Folding the events of a streamed message: blocks that begin, grow by deltas and stop. What goes into plain_body() is
// kept as raw JSON text; deltas are unescaped.
#include <algorithm>
#include <utility>

#include "protocol/anthropic_messages/anthropic_messages.hpp"
#include "protocol/raw_object.hpp"
#include "protocol/sse_stream.hpp"

namespace orchestra::protocol::anthropic_messages {

namespace {

using chat::Delta;
using json::Value;
using json::Writer;

struct Block {
  std::int64_t wire_index = 0;
  std::string type;
  RawObject members;
  std::string input;       // the JSON text that came as input_json_delta
  std::uint16_t half = 0;  // of a surrogate pair, towards the deltas
  std::int64_t call = -1;  // which tool call of the reply this is; -1: none
  bool stopped = false;
};

class Stream final : public SseStream {
 public:
  explicit Stream(const DecodeOptions& options) : SseStream(options, kErrorPaths) {}

  [[nodiscard]] bool has_content() const override { return has_content_; }
  [[nodiscard]] bool is_finished() const override { return has_stop_reason_; }
  [[nodiscard]] std::string plain_body() const override;

 protected:
  Status fold(std::string_view name, Value event, std::vector<Delta>& deltas) override;
  Status fold_text(std::string_view text, std::vector<Delta>& deltas) override;
  void finish(std::vector<Delta>& deltas) override;

 private:
  void start_message(Value message);
  Status start_block(Value event, std::vector<Delta>& deltas);
  Status grow_block(Value event, std::vector<Delta>& deltas);
  void grow_text(Block& block, std::string_view type, Value piece, std::vector<Delta>& deltas);
  void stop_block(Block& block, std::vector<Delta>& deltas);
  void end_message(Value event);
  Block* find_block(Value event);
  void push_arguments(const Block& block, std::string arguments, std::vector<Delta>& deltas);
  void write_block(Writer& writer, const Block& block) const;

  RawObject message_, usage_;
  std::vector<Block> blocks_;
  std::int64_t calls_ = 0;
  std::string stop_word_;
  bool started_ = false;
  bool has_stop_reason_ = false;
  bool has_content_ = false;
  std::size_t text_block_ = 0;  // of the event that may come again
};

Status Stream::fold(std::string_view name, Value event, std::vector<Delta>& deltas) {
  const Value type = event["type"];
  if (name == "error" || type.is("error")) return error_of_object(event, kErrorPaths);
  if (type.is("message_start")) {
    start_message(event["message"]);
  } else if (type.is("content_block_start")) {
    if (Status status = start_block(event, deltas); !status) return status;
  } else if (type.is("content_block_delta")) {
    if (Status status = grow_block(event, deltas); !status) return status;
  } else if (type.is("content_block_stop")) {
    if (Block* block = find_block(event)) stop_block(*block, deltas);
  } else if (type.is("message_delta")) {
    end_message(event);
  } else if (type.is("message_stop")) {
    set_done();
  } else if (event["error"]) {
    return error_of_object(event, kErrorPaths);
  }
  return hold(message_.take_growth() + usage_.take_growth());
}

void Stream::start_message(Value message) {
  if (std::exchange(started_, true)) return;  // the same event twice
  std::string scratch;
  for (auto [key, value] : message.members()) {
    const std::string_view member = member_name(key, scratch);
    if (member == "usage") {
      usage_.merge(value);
    } else if (member != "content" && member != "stop_reason") {
      message_.set(member, value.raw());
    }
  }
}

Block* Stream::find_block(Value event) {
  const std::int64_t index = event["index"].integer().value_or(0);
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
    if (block->wire_index == index) return &*block;
  }
  return nullptr;
}

Status Stream::start_block(Value event, std::vector<Delta>& deltas) {
  const Value content = event["content_block"];
  const std::string type = content["type"].string_or();
  const std::string id = content["id"].string_or();
  if (const Block* known = find_block(event)) {
    // The same event twice. A stopped block of the same index is another one: some servers count from 0 again.
    if (!known->stopped && known->type == type) return Done{};
  }
  Block& block = blocks_.emplace_back();
  block.wire_index = event["index"].integer().value_or(0);
  block.type = type;
  block.members.merge(content);
  if (Status status = hold(block.members.take_growth() + sizeof(Block)); !status) return status;
  if (type == "tool_use") {
    if (static_cast<std::size_t>(calls_) >= options_.limits.tool_calls) {
      return over_limit("the reply has more tool calls", "tool_calls", options_.limits.tool_calls, "");
    }
    block.call = calls_++;
    if (!content["input"].is_object()) block.members.set("input", "{}");
    has_content_ = true;
    if (!options_.forced_tool) {
      deltas.emplace_back().tool_call = chat::ToolFragment{block.call, id, content["name"].string_or(), {}};
    }
  } else {
    for (const std::string_view member : {"text", "thinking"}) {
      if (type == member && content[member].is_string()) grow_text(block, type, content[member], deltas);
    }
  }
  return Done{};
}

Status Stream::grow_block(Value event, std::vector<Delta>& deltas) {
  const Value delta = event["delta"];
  const Value type = delta["type"];
  Block* block = find_block(event);
  if (block == nullptr || block->stopped) {
    // A delta without a start: a text, as far as can be told.
    if (!type.is("text_delta") && !type.is("thinking_delta")) return Done{};
    block = &blocks_.emplace_back();
    block->wire_index = event["index"].integer().value_or(0);
    block->type = type.is("text_delta") ? "text" : "thinking";
    block->members.set("type", type.is("text_delta") ? R"("text")" : R"("thinking")");
    if (Status status = hold(sizeof(Block)); !status) return status;
  }
  if (type.is("input_json_delta")) {
    const Value piece = delta["partial_json"];
    if (!piece.is_string()) return Done{};
    const std::size_t before = block->input.size();
    piece.append_to(block->input, block->half);
    if (block->call >= 0) push_arguments(*block, block->input.substr(before), deltas);
    return hold(block->input.size() - before);
  }
  if (type.is("text_delta") && block->type == "text" && delta.size() == 2 && delta["text"].is_string()) {
    text_block_ = static_cast<std::size_t>(block - blocks_.data());
    repeats_but_for(delta["text"]);
  }
  std::string scratch;
  for (auto [key, value] : delta.members()) {
    const std::string_view member = member_name(key, scratch);
    if (member == "type") continue;
    if (member == "citation") {
      block->members.append("citations", std::string("[").append(value.raw()).append("]"));
      continue;
    }
    block->members.append(member, value.raw());
    if (member == block->type && value.is_string()) grow_text(*block, member, value, deltas);
  }
  return hold(block->members.take_growth());
}

Status Stream::fold_text(std::string_view text, std::vector<Delta>& deltas) {
  Block& block = blocks_[text_block_];
  block.members.append("text", text);
  if (const std::string_view plain = text.substr(1, text.size() - 2); !plain.empty()) {
    has_content_ = true;
    if (options_.forced_tool) {
      block.half = 0;
    } else {
      Delta& delta = deltas.emplace_back();
      json::flush_half(delta.text, block.half);
      delta.text += plain;
    }
  }
  return hold(block.members.take_growth());
}

// Text and reasoning, which are members named as their block is.
void Stream::grow_text(Block& block, std::string_view type, Value piece, std::vector<Delta>& deltas) {
  Delta delta;
  if (type == "text") {
    piece.append_to(delta.text, block.half);
  } else if (type == "thinking") {
    piece.append_to(delta.reasoning, block.half);
  }
  if (!delta.has_content()) return;
  has_content_ = true;
  // The text beside a forced tool call is not the answer; it is given out at the end if no call came.
  if (options_.forced_tool) delta.text.clear();
  if (delta.has_content()) deltas.push_back(std::move(delta));
}

void Stream::push_arguments(const Block& block, std::string arguments, std::vector<Delta>& deltas) {
  if (arguments.empty()) return;
  if (!options_.forced_tool) {
    deltas.emplace_back().tool_call = chat::ToolFragment{block.call, {}, {}, std::move(arguments)};
  } else if (block.call == 0) {
    deltas.emplace_back().text = std::move(arguments);
  }
}

// The block is complete: its half of a pair stays alone, and a call without JSON has the input it began with.
void Stream::stop_block(Block& block, std::vector<Delta>& deltas) {
  if (std::exchange(block.stopped, true)) return;
  std::string rest;
  json::flush_half(rest, block.half);
  if (block.call >= 0) {
    block.input += rest;
    if (block.input.empty()) {
      rest = block.members.get("input");
    }
    push_arguments(block, std::move(rest), deltas);
    return;
  }
  if (rest.empty()) return;
  if (block.type == "thinking") {
    deltas.emplace_back().reasoning = std::move(rest);
  } else if (block.type == "text" && !options_.forced_tool) {
    deltas.emplace_back().text = std::move(rest);
  }
}

void Stream::end_message(Value event) {
  const Value delta = event["delta"];
  if (const Value reason = delta["stop_reason"]) {
    has_stop_reason_ = true;
    stop_word_ = reason.string_or();
    message_.set("stop_reason", reason.raw());
  }
  std::string scratch;
  for (Value source : {delta, event}) {
    for (auto [key, value] : source.members()) {
      const std::string_view member = member_name(key, scratch);
      if (member == "usage") {
        usage_.merge(value);
      } else if (member != "type" && member != "delta" && member != "stop_reason" && member != "content") {
        message_.set(member, value.raw());
      }
    }
  }
}

void Stream::finish(std::vector<Delta>& deltas) {
  for (Block& block : blocks_) stop_block(block, deltas);
  const bool forced = options_.forced_tool && calls_ > 0;
  json::Document document;
  if (options_.forced_tool && !forced && !document.parse(plain_body(), options_.limits.json_depth + kPlainBodyDepth)) {
    Delta text;
    text.text = std::move(choices(document.root(), options_).front().text);
    if (text.has_content()) deltas.push_back(std::move(text));
  }
  Delta& last = deltas.emplace_back();
  last.finish = finish_of(stop_word_, calls_ > 0, forced);
  last.usage = chat::Usage();
  std::string usage;
  Writer writer(usage);
  writer.begin_object();
  usage_.write_members(writer);
  writer.end_object();
  if (!usage_.empty() && !document.parse(std::move(usage), options_.limits.json_depth))
    last.usage = read_usage(document.root());
}

std::string Stream::plain_body() const {
  std::string out;
  Writer writer(out);
  writer.begin_object();
  message_.write_members(writer);
  if (message_.get("type").empty()) writer.member("type", "message");
  if (message_.get("role").empty()) writer.member("role", "assistant");
  if (!has_stop_reason_) writer.key("stop_reason").null();
  writer.key("content").begin_array();
  for (const Block& block : blocks_) write_block(writer, block);
  writer.end_array();
  if (!usage_.empty()) {
    writer.key("usage").begin_object();
    usage_.write_members(writer);
    writer.end_object();
  }
  writer.end_object();
  return out;
}

void Stream::write_block(Writer& writer, const Block& block) const {
  constexpr std::size_t kAround = 3;  // the body, its content and the block
  writer.begin_object();
  block.members.write_members(writer, block.input.empty() ? std::string_view() : "input");
  if (!block.input.empty()) {
    json::Document document;
    writer.key("input");
    const std::size_t depth = options_.limits.json_depth - std::min(options_.limits.json_depth, kAround);
    if (document.parse_copy(block.input, depth) || !document.root().is_object()) {
      writer.string(block.input);  // cut off or too deep: its text
    } else {
      writer.raw(document.root().raw());
    }
  }
  writer.end_object();
}

}  // namespace

std::unique_ptr<StreamDecoder> stream_decoder(const DecodeOptions& options) {
  return std::make_unique<Stream>(options);
}

}  // namespace orchestra::protocol::anthropic_messages
