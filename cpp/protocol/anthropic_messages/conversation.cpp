// The messages of a call as this format has them: system apart, user and assistant in turn, tool results inside user
// messages, tool calls as blocks.
#include <vector>

#include "protocol/anthropic_messages/anthropic_messages.hpp"

namespace orchestra::protocol::anthropic_messages {

namespace {

using chat::Field;
using json::Value;
using json::Writer;

constexpr std::string_view kEmptyString = R"("")";

// The content of one message: a plain string, or blocks separated by commas.
struct Content {
  std::string_view text;  // a JSON string; empty: none
  std::string blocks;

  [[nodiscard]] bool empty() const { return text.empty() && blocks.empty(); }

  void add_block(std::string_view block) {
    if (!blocks.empty()) blocks += ',';
    blocks += block;
  }
  void text_to_block() {
    if (!text.empty() && text != kEmptyString) {
      std::string block = R"({"type":"text","text":)";
      add_block(block.append(text).append("}"));
    }
    text = {};
  }
  void append(Content&& more) {
    if (empty()) {
      *this = std::move(more);
      return;
    }
    text_to_block();
    more.text_to_block();
    if (!more.blocks.empty()) add_block(more.blocks);
  }
  void write(Writer& writer) const { text.empty() ? writer.raw("[" + blocks + "]") : writer.raw(text); }
};

struct Turn {
  bool assistant = false;
  Content content;
};

class Conversation {
 public:
  Conversation(Refusals& refusals, bool& needs_files) : refusals_(refusals), needs_files_(needs_files) {}

  void add_system(Value content, const std::string& path, Value cache_control = {}) {
    Content out = read_content(content, {path, false, false});
    mark_cache(out, cache_control);
    if (!out.empty()) system_.append(std::move(out));
  }

  void add(Value message, const std::string& path) {
    const Value role = message["role"];
    if (role.is("system") || role.is("developer")) {
      add_system(message["content"], path + ".content", message["cache_control"]);
    } else if (role.is("tool")) {
      add_turn(false, tool_result(message, path));
    } else if (role.is("assistant")) {
      add_turn(true, assistant(message, path));
    } else {
      Content content = read_content(message["content"], place(message, path + ".content"));
      mark_cache(content, message["cache_control"]);
      add_turn(false, std::move(content));
    }
  }

  void write(BodyWriter& body) const {
    if (!system_.empty() && body.begin("system")) system_.write(body.writer());
    if (!body.begin("messages")) return;
    Writer& writer = body.writer();
    writer.begin_array();
    for (const Turn& turn : turns_) {
      writer.begin_object().member("role", turn.assistant ? "assistant" : "user").key("content");
      turn.content.write(writer);
      writer.end_object();
    }
    writer.end_array();
  }

 private:
  static PartPlace place(Value message, std::string path) {
    const Value protocol = message["protocol"];
    const bool own = protocol.is(kName);
    return {std::move(path), own, protocol.is_string() && !own};
  }

  Content read_content(Value content, const PartPlace& where) {
    Content out;
    if (content.is_string()) out.text = content.raw();
    std::size_t index = 0;
    for (Value part : content.elements()) {
      PartPlace here = where;
      here.path.append("[").append(std::to_string(index++)).append("]");
      write_part(part, here, out.blocks, refusals_, needs_files_);
    }
    return out;
  }

  // A message's own cache_control marks the end of the message, which is its last block.
  static void mark_cache(Content& content, Value cache_control) {
    if (!cache_control) return;
    content.text_to_block();
    if (content.blocks.empty()) return;
    content.blocks.pop_back();
    content.blocks.append(R"(,"cache_control":)").append(cache_control.raw()).append("}");
  }

  Content tool_result(Value message, const std::string& path) {
    const PartPlace where = place(message, path + ".content");
    const Content inner = read_content(message["content"], where);
    Content out;
    Writer writer(out.blocks);
    writer.begin_object().member("type", "tool_result").key("tool_use_id").raw(message["tool_call_id"].raw());
    if (!inner.empty()) {
      writer.key("content");
      inner.write(writer);
    }
    for (const std::string_view key : {"is_error", "cache_control"}) {
      if (!where.is_foreign && message[key]) writer.key(key).raw(message[key].raw());
    }
    writer.end_object();
    return out;
  }

  Content assistant(Value message, const std::string& path) {
    const PartPlace where = place(message, path + ".content");
    Content out = read_content(message["content"], where);
    if (out.text == kEmptyString) out.text = {};
    const Value refusal = message["refusal"];
    if (out.empty() && refusal.is_string() && refusal.raw() != kEmptyString) out.text = refusal.raw();
    mark_cache(out, message["cache_control"]);
    const Value calls = message["tool_calls"];
    if (calls.size() == 0) return out;
    out.text_to_block();
    for (Value call : calls.elements()) out.add_block(tool_use(call, where));
    return out;
  }

  static std::string tool_use(Value call, const PartPlace& where) {
    const Value function = call["function"];
    std::string block;
    Writer writer(block);
    writer.begin_object().member("type", "tool_use").member("id", call["id"].string_or());
    writer.member("name", function["name"].string_or()).key("input");
    write_input(writer, function["arguments"].string_or());
    for (auto [key, value] : call.members()) {
      const bool standard = key.is("id") || key.is("type") || key.is("function") || key.is("index");
      if (where.is_own && !standard) writer.key(key.string_or()).raw(value.raw());
    }
    writer.end_object();
    return block;
  }

  // Arguments that broke off are no object, which is all this format takes; their text goes along inside one.
  static void write_input(Writer& writer, std::string arguments) {
    json::Document document;
    if (arguments.find_first_not_of(" \t\r\n") == std::string::npos) {
      writer.raw("{}");
    } else if (document.parse_copy(arguments)) {
      writer.begin_object().member("arguments", arguments).end_object();
    } else if (document.root().is_object()) {
      writer.raw(document.root().raw());
    } else if (document.root().is_null()) {
      writer.raw("{}");
    } else {
      writer.begin_object().member("arguments", arguments).end_object();
    }
  }

  void add_turn(bool is_assistant, Content content) {
    if (content.empty()) return;
    if (turns_.empty() || turns_.back().assistant != is_assistant) turns_.push_back({is_assistant, {}});
    turns_.back().content.append(std::move(content));
  }

  Refusals& refusals_;
  bool& needs_files_;
  Content system_;
  std::vector<Turn> turns_;
};

}  // namespace

void write_conversation(const chat::Request& request, BodyWriter& body, Refusals& refusals, bool& needs_files) {
  Conversation conversation(refusals, needs_files);
  if (const Value system = request[Field::System]) conversation.add_system(system, "system");
  std::size_t index = 0;
  for (Value message : request[Field::Messages].elements()) {
    conversation.add(message, "messages[" + std::to_string(index++) + "]");
  }
  conversation.write(body);
}

}  // namespace orchestra::protocol::anthropic_messages
