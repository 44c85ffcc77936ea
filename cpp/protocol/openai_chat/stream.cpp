// Folding the chunks of a streamed reply. What goes into plain_body() is kept as raw JSON text; deltas are unescaped.
#include <algorithm>
#include <utility>

#include "protocol/openai_chat/openai_chat.hpp"
#include "protocol/raw_object.hpp"
#include "protocol/sse_stream.hpp"

namespace orchestra::protocol::openai_chat {

namespace {

using chat::Delta;
using json::Value;
using json::Writer;

// One text that arrives in pieces.
struct Channel {
  std::string json;        // the JSON string of all pieces; empty: none came
  std::uint16_t half = 0;  // of a surrogate pair, towards the deltas

  std::size_t add(std::string_view piece) {  // JSON
    if (json.empty()) {
      json = piece;
    } else {
      append_json_string(json, piece);
    }
    return piece.size();
  }
  [[nodiscard]] std::string_view or_null() const { return json.empty() ? std::string_view("null") : json; }
  [[nodiscard]] bool has_text() const { return json.size() > 2; }
};

struct Call {
  std::optional<std::int64_t> wire_index;
  std::string id, name;
  Channel arguments;
  RawObject rest, function_rest;
};

struct ChoiceState {
  std::int64_t index = 0;
  Channel content, refusal;
  std::string parts;  // content as a list of parts: their JSON texts, separated by commas
  std::vector<Call> calls;
  RawObject message_rest, rest;  // reasoning too
  std::uint16_t reasoning_half = 0;
  std::string finish_reason;  // JSON; empty: none came
  std::string finish_word;
  std::vector<std::pair<std::string, std::string>> logprobs;
};

class Stream final : public SseStream {
 public:
  explicit Stream(const DecodeOptions& options) : SseStream(options, kErrorPaths) {}

  [[nodiscard]] bool has_content() const override { return has_content_; }
  [[nodiscard]] bool is_finished() const override {
    return !choices_.empty() &&
           std::all_of(choices_.begin(), choices_.end(), [](const ChoiceState& c) { return !c.finish_reason.empty(); });
  }
  [[nodiscard]] std::string plain_body() const override;

 protected:
  Status fold(std::string_view name, Value event, std::vector<Delta>& deltas) override;
  Status fold_text(std::string_view text, std::vector<Delta>& deltas) override;
  void finish(std::vector<Delta>& deltas) override;

 private:
  ChoiceState& choice(std::int64_t index);
  Status fold_choice(Value value, std::vector<Delta>& deltas);
  Status fold_delta(ChoiceState& state, Value delta, std::vector<Delta>& deltas);
  void fold_content(ChoiceState& state, Value content, Delta& delta);
  void fold_parts(ChoiceState& state, Value parts, Delta& delta);
  Status fold_calls(ChoiceState& state, Value calls, std::vector<Delta>& deltas);
  static std::size_t find_call(const ChoiceState& state, Value call);
  static void fold_logprobs(ChoiceState& state, Value logprobs);
  static void fold_rest(RawObject& rest, Value value);
  void write_choice(Writer& writer, const ChoiceState& state) const;
  static void write_call(Writer& writer, const Call& call);

  RawObject top_;
  chat::Usage usage_;
  std::string service_tier_;
  std::vector<ChoiceState> choices_;  // by index
  std::size_t calls_ = 0;             // of all choices
  bool has_content_ = false;
  // Of the event that is being folded: its one text, and that nothing else in it would add up if it came again.
  Value only_text_;
  bool adds_only_text_ = false;
  std::int64_t text_choice_ = 0;  // whose text it is
};

ChoiceState& Stream::choice(std::int64_t index) {
  auto place = std::lower_bound(choices_.begin(), choices_.end(), index,
                                [](const ChoiceState& state, std::int64_t wanted) { return state.index < wanted; });
  if (place == choices_.end() || place->index != index) {
    place = choices_.insert(place, ChoiceState{});
    place->index = index;
  }
  return *place;
}

Status Stream::fold(std::string_view name, Value event, std::vector<Delta>& deltas) {
  std::string scratch;
  Value error, object, choices, groq;
  only_text_ = Value();
  adds_only_text_ = true;
  for (auto [key, value] : event.members()) {
    const std::string_view member = member_name(key, scratch);
    if (member == "choices") {
      choices = value;
    } else if (member == "object") {
      object = value;
      top_.set(member, R"("chat.completion")");
    } else if (member == "usage") {
      if (!value.is_object()) continue;
      usage_ = read_usage(value);
      top_.set(member, value.raw());
    } else {
      if (member == "error") error = value;
      if (member == "x_groq") groq = value;
      if (member == "service_tier" && value.is_string()) service_tier_ = value.string_or();
      top_.set(member, value.raw());
    }
  }
  if (error || name == "error" || object.is("error")) return error_of_object(event, kErrorPaths);
  if (const Value usage = groq["usage"]; usage.is_object() && usage_.raw.empty()) usage_ = read_usage(usage);
  if (Status status = hold(top_.take_growth()); !status) return status;
  for (Value value : choices.elements()) {
    if (Status status = fold_choice(value, deltas); !status) return status;
  }
  if (adds_only_text_ && only_text_.exists() && choices.size() == 1) repeats_but_for(only_text_);
  return Done{};
}

Status Stream::fold_text(std::string_view text, std::vector<Delta>& deltas) {
  ChoiceState& state = choice(text_choice_);
  const std::string_view plain = text.substr(1, text.size() - 2);
  if (!plain.empty()) {
    has_content_ = true;
    if (state.index == 0 && !options_.forced_tool) {
      Delta& delta = deltas.emplace_back();
      json::flush_half(delta.text, state.content.half);
      delta.text += plain;
    } else {
      std::string other;
      json::flush_half(other, state.content.half);
    }
  }
  return hold(state.content.add(text));
}

Status Stream::fold_choice(Value value, std::vector<Delta>& deltas) {
  std::string scratch;
  Value error, position, delta, message, finish, logprobs;
  bool has_rest = false;
  for (auto [key, member] : value.members()) {
    const std::string_view name = member_name(key, scratch);
    if (name == "index") {
      position = member;
    } else if (name == "delta") {
      delta = member;
    } else if (name == "message") {
      message = member;
    } else if (name == "finish_reason") {
      finish = member;
    } else if (name == "logprobs") {
      logprobs = member;
    } else {
      if (name == "error") error = member;
      has_rest = true;
    }
  }
  if (error.is_object() && error["message"]) return error_of_object(value, kErrorPaths);
  constexpr std::int64_t kMostChoices = 1024;
  const std::int64_t index = position.integer().value_or(0);
  if (index < 0 || index >= kMostChoices) {
    return protocol_error("a choice of the stream has the index " + std::to_string(index));
  }
  ChoiceState& state = choice(index);
  // Perplexity sends the whole message so far beside each delta; a server that only pretends to stream, that alone.
  const bool whole = !delta.is_object() && state.content.json.empty() && state.calls.empty();
  if (Status status = fold_delta(state, whole ? message : delta, deltas); !status) return status;
  if (finish) {
    state.finish_reason = finish.raw();
    state.finish_word = finish.string_or();
  }
  fold_logprobs(state, logprobs);
  text_choice_ = index;
  adds_only_text_ = adds_only_text_ && !whole && !logprobs && state.parts.empty();
  if (has_rest) fold_rest(state.rest, value);
  return hold(state.rest.take_growth() + logprobs.raw().size());
}

// What nobody knows of a choice.
void Stream::fold_rest(RawObject& rest, Value value) {
  std::string scratch;
  for (auto [key, member] : value.members()) {
    const std::string_view name = member_name(key, scratch);
    const bool known =
        name == "index" || name == "delta" || name == "message" || name == "finish_reason" || name == "logprobs";
    if (!known) rest.set(name, member.raw());
  }
}

Status Stream::fold_delta(ChoiceState& state, Value delta, std::vector<Delta>& deltas) {
  Delta out;
  bool has_reasoning = false;
  std::size_t kept = 0;
  std::string scratch;
  Value calls;
  for (auto [key, value] : delta.members()) {
    const std::string_view name = member_name(key, scratch);
    if (name == "content") {
      adds_only_text_ = adds_only_text_ && value.is_string() && !only_text_.exists();
      only_text_ = value;
      fold_content(state, value, out);
      kept += value.raw().size();
    } else if (name == "tool_calls") {
      calls = value;
      adds_only_text_ = adds_only_text_ && !value;
    } else if (name == "refusal") {
      if (!value.is_string()) continue;
      adds_only_text_ = false;
      kept += state.refusal.add(value.raw());
      has_content_ = has_content_ || state.refusal.has_text();
    } else if (name == "reasoning_content" || name == "reasoning") {
      if (!value.is_string()) continue;
      adds_only_text_ = false;
      state.message_rest.append(name, value.raw());
      if (!has_reasoning) value.append_to(out.reasoning, state.reasoning_half);  // some servers send both
      has_reasoning = has_reasoning || value.raw().size() > 2;
    } else if (name == "id" || name == "type" || name == "name") {
      state.message_rest.set(name, value.raw());
    } else if (name != "role") {
      adds_only_text_ = adds_only_text_ && !value;
      state.message_rest.append(name, value.raw());
    }
  }
  if (Status status = hold(kept + state.message_rest.take_growth()); !status) return status;
  const bool first = state.index == 0;
  if (out.has_content()) {
    has_content_ = true;
    // The text beside a forced tool call is not the answer; it is given out at the end if no call came.
    if (options_.forced_tool) out.text.clear();
    if (first && out.has_content()) deltas.push_back(std::move(out));
  }
  return fold_calls(state, calls, deltas);
}

void Stream::fold_content(ChoiceState& state, Value content, Delta& delta) {
  if (content.is_array()) return fold_parts(state, content, delta);
  if (!content.is_string()) return;
  content.append_to(delta.text, state.content.half);
  if (state.parts.empty()) {
    state.content.add(content.raw());
  } else if (content.raw().size() > 2) {
    state.parts.append(R"(,{"type":"text","text":)").append(content.raw()).append("}");
  }
}

// Mistral's reasoning models: {"type": "thinking", "thinking": [{"type": "text", ...}]} and {"type": "text", ...}.
void Stream::fold_parts(ChoiceState& state, Value parts, Delta& delta) {
  if (state.parts.empty() && state.content.has_text()) {
    state.parts.append(R"({"type":"text","text":)").append(state.content.json).append("}");
  }
  for (Value part : parts.elements()) {
    if (!state.parts.empty()) state.parts += ',';
    state.parts += part.raw();
    if (part["type"].is("text")) {
      if (part["text"].is_string()) part["text"].append_to(delta.text, state.content.half);
    } else if (part["type"].is("thinking")) {
      const Value thinking = part["thinking"];
      if (thinking.is_string()) thinking.append_to(delta.reasoning, state.reasoning_half);
      for (Value piece : thinking.elements()) {
        if (piece["text"].is_string()) piece["text"].append_to(delta.reasoning, state.reasoning_half);
      }
    }
  }
}

// Which call of the choice the fragment continues; the number of calls when it begins one. Some servers send no index,
// repeat the id with each fragment, or send whole calls that all have the index 0.
std::size_t Stream::find_call(const ChoiceState& state, Value call) {
  const std::vector<Call>& calls = state.calls;
  const auto index = call["index"].integer();
  const std::string id = call["id"].string_or();
  const bool begins = call["function"]["name"].is_string() && call["function"]["name"].raw().size() > 2;
  for (std::size_t i = calls.size(); i-- > 0;) {
    const bool same_id = !id.empty() && calls[i].id == id;
    const bool other_id = !id.empty() && !calls[i].id.empty() && !same_id;
    if (index ? calls[i].wire_index == index && !(other_id && begins) : same_id) return i;
  }
  if (index || !id.empty() || begins || calls.empty()) return calls.size();
  return calls.size() - 1;
}

Status Stream::fold_calls(ChoiceState& state, Value calls, std::vector<Delta>& deltas) {
  std::string scratch;
  for (Value value : calls.elements()) {
    if (!value.is_object()) continue;
    const std::size_t place = find_call(state, value);
    const bool is_new = place == state.calls.size();
    if (is_new) {
      if (calls_++ >= options_.limits.tool_calls) {
        return over_limit("the reply has more tool calls", "tool_calls", options_.limits.tool_calls, "");
      }
      state.calls.emplace_back().wire_index = value["index"].integer();
    }
    Call& call = state.calls[place];
    chat::ToolFragment fragment;
    fragment.index = static_cast<std::int64_t>(place);
    for (auto [key, member] : value.members()) {
      const std::string_view name = member_name(key, scratch);
      if (name == "id") {
        if (call.id.empty()) call.id = fragment.id = member.string_or();
      } else if (name != "index" && name != "function") {
        call.rest.set(name, member.raw());
      }
    }
    std::size_t kept = call.rest.take_growth();
    for (auto [key, member] : value["function"].members()) {
      const std::string_view name = member_name(key, scratch);
      if (name == "name") {
        if (call.name.empty()) call.name = fragment.name = member.string_or();
      } else if (name != "arguments") {
        call.function_rest.set(name, member.raw());
      } else if (member.is_string()) {
        member.append_to(fragment.arguments, call.arguments.half);
        kept += call.arguments.add(member.raw());
      } else if (member.is_object()) {  // a whole object instead of its text
        fragment.arguments = member.raw();
        call.arguments.json.clear();
        Writer(call.arguments.json).string(fragment.arguments);
        kept += fragment.arguments.size();
      }
    }
    if (Status status = hold(kept + call.function_rest.take_growth()); !status) return status;
    has_content_ = true;
    if (state.index != 0) continue;
    Delta delta;
    if (options_.forced_tool) {
      if (place == 0) delta.text = std::move(fragment.arguments);
    } else if (is_new || !fragment.arguments.empty() || !fragment.id.empty() || !fragment.name.empty()) {
      delta.tool_call = std::move(fragment);
    }
    if (delta.has_content()) deltas.push_back(std::move(delta));
  }
  return Done{};
}

void Stream::fold_logprobs(ChoiceState& state, Value logprobs) {
  std::string scratch;
  for (auto [key, value] : logprobs.members()) {
    if (!value.is_array()) continue;
    const std::string_view name = member_name(key, scratch);
    auto list =
        std::find_if(state.logprobs.begin(), state.logprobs.end(), [&](const auto& l) { return l.first == name; });
    if (list == state.logprobs.end()) list = state.logprobs.insert(list, {std::string(name), std::string()});
    for (Value element : value.elements()) {
      if (!list->second.empty()) list->second += ',';
      list->second += element.raw();
    }
  }
}

void Stream::finish(std::vector<Delta>& deltas) {
  ChoiceState& state = choices_.front();
  const bool forced = options_.forced_tool && !state.calls.empty();
  Delta text;
  if (!options_.forced_tool) {
    json::flush_half(text.text, state.content.half);
  } else if (!forced) {  // no call came after all, so the text is the answer
    json::Document document;
    if (!document.parse(plain_body(), options_.limits.json_depth + kPlainBodyDepth))
      text.text = std::move(choices(document.root(), options_).front().text);
  }
  json::flush_half(text.reasoning, state.reasoning_half);
  if (text.has_content()) deltas.push_back(std::move(text));
  for (std::size_t i = 0; i < state.calls.size(); ++i) {
    std::string rest;
    json::flush_half(rest, state.calls[i].arguments.half);
    if (rest.empty() || (forced && i > 0)) continue;
    Delta& delta = deltas.emplace_back();
    if (forced) {
      delta.text = std::move(rest);
    } else {
      delta.tool_call = chat::ToolFragment{static_cast<std::int64_t>(i), {}, {}, std::move(rest)};
    }
  }
  Delta& last = deltas.emplace_back();
  last.finish = finish_of(state.finish_word, {!state.calls.empty(), state.refusal.has_text(), forced});
  last.usage = usage_;
  last.usage->service_tier = service_tier_;
}

std::string Stream::plain_body() const {
  std::string out;
  Writer writer(out);
  writer.begin_object();
  top_.write_members(writer);
  writer.key("choices").begin_array();
  for (const ChoiceState& state : choices_) write_choice(writer, state);
  if (choices_.empty()) write_choice(writer, ChoiceState{});
  writer.end_array().end_object();
  return out;
}

void Stream::write_choice(Writer& writer, const ChoiceState& state) const {
  writer.begin_object().member("index", state.index).key("message").begin_object().member("role", "assistant");
  writer.key("content");
  if (state.parts.empty()) {
    writer.raw(state.content.or_null());
  } else {
    writer.raw("[" + state.parts + "]");
  }
  if (!state.refusal.json.empty()) writer.key("refusal").raw(state.refusal.json);
  state.message_rest.write_members(writer);
  if (!state.calls.empty()) {
    writer.key("tool_calls").begin_array();
    for (const Call& call : state.calls) write_call(writer, call);
    writer.end_array();
  }
  writer.end_object();
  if (!state.logprobs.empty()) {
    writer.key("logprobs").begin_object();
    for (const auto& [name, list] : state.logprobs) writer.key(name).raw("[" + list + "]");
    writer.end_object();
  }
  writer.key("finish_reason").raw(state.finish_reason.empty() ? std::string_view("null") : state.finish_reason);
  state.rest.write_members(writer);
  writer.end_object();
}

void Stream::write_call(Writer& writer, const Call& call) {
  writer.begin_object().member("id", call.id);
  if (call.rest.get("type").empty()) writer.member("type", "function");
  call.rest.write_members(writer);
  writer.key("function").begin_object().member("name", call.name).key("arguments");
  writer.raw(call.arguments.json.empty() ? std::string_view("\"\"") : call.arguments.json);
  call.function_rest.write_members(writer);
  writer.end_object().end_object();
}

}  // namespace

std::unique_ptr<StreamDecoder> stream_decoder(const DecodeOptions& options) {
  return std::make_unique<Stream>(options);
}

}  // namespace orchestra::protocol::openai_chat
