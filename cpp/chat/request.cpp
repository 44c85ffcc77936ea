#include "chat/request.hpp"

#include <algorithm>
#include <utility>

#include "chat/request_check.hpp"
#include "chat/request_path.hpp"

namespace orchestra::chat {
namespace {

constexpr std::array<std::string_view, kFieldCount> kFieldNames = {"messages",
                                                                   "system",
                                                                   "tools",
                                                                   "tool_choice",
                                                                   "response_format",
                                                                   "temperature",
                                                                   "top_p",
                                                                   "top_k",
                                                                   "max_tokens",
                                                                   "stop",
                                                                   "seed",
                                                                   "reasoning_effort",
                                                                   "n",
                                                                   "logprobs",
                                                                   "parallel_tool_calls",
                                                                   "service_tier",
                                                                   "frequency_penalty",
                                                                   "presence_penalty",
                                                                   "extra"};
static_assert(static_cast<std::size_t>(Field::Extra) + 1 == kFieldCount);

Error invalid(std::string message) { return make_error(ErrorKind::InvalidRequest, std::move(message)); }

Error unreadable(const std::string& text, const json::Problem& problem) {
  std::string path = path_of_byte(text, problem.offset);
  if (path.empty()) path = "the request";
  const std::string_view rest = std::string_view(text).substr(std::min(problem.offset, text.size()));
  // What Python's json module writes for numbers that JSON does not have.
  if (rest.starts_with("NaN") || rest.starts_with("Infinity")) return invalid(path + ": must be a finite number");
  return invalid(path + ": " + problem.message);
}

// The text of the keywords with messages as a list: a string is one user message, an object one message.
std::string with_message_list(const std::string& text, json::Value messages) {
  const std::string_view raw = messages.raw();
  const auto begin = static_cast<std::size_t>(raw.data() - text.data());
  std::string out;
  out.reserve(text.size() + 40);
  out.append(text, 0, begin);
  out += messages.is_string() ? R"([{"role":"user","content":)" : "[";
  out += raw;
  out += messages.is_string() ? "}]" : "]";
  out.append(text, begin + raw.size());
  return out;
}

// Bytes of a string as UTF-8; 0 of anything else.
std::size_t string_bytes(json::Value value) {
  if (!value.is_string()) return 0;
  const std::string_view text = value.raw().substr(1, value.raw().size() - 2);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t escape = std::min(text.find('\\', i), text.size());
    bytes += escape - i;
    i = escape;
    if (i == text.size()) break;
    if (text[i + 1] != 'u') {
      bytes += 1;
      i += 2;
      continue;
    }
    // \u00XX is mostly one byte, \u0[0-7]XX two, a half of a surrogate pair two of four, the rest three.
    const std::string_view digits = text.substr(i + 2, 4);
    const bool half = (digits[0] == 'd' || digits[0] == 'D') && (digits[1] > '7');
    if (digits.starts_with("00") && digits[2] < '8') {
      bytes += 1;
    } else {
      bytes += half || (digits[0] == '0' && digits[1] < '8') ? 2 : 3;
    }
    i += 6;
  }
  return bytes;
}

std::size_t content_bytes(json::Value content) {
  std::size_t bytes = string_bytes(content);
  for (json::Value part : content.elements()) bytes += string_bytes(part["text"]) + string_bytes(part["refusal"]);
  return bytes;
}

}  // namespace

std::string_view field_name(Field field) { return kFieldNames[static_cast<std::size_t>(field)]; }

Result<std::shared_ptr<const Request>> Request::parse(std::string json) {
  auto request = std::make_shared<Request>();
  json::Document& document = request->document_;
  if (const auto problem = document.parse(std::move(json))) return unreadable(document.text(), *problem);
  if (!document.root().is_object()) return invalid("the request: must be an object of keywords");
  if (const json::Value messages = document.root()["messages"]; messages.is_string() || messages.is_object()) {
    if (const auto problem = document.parse(with_message_list(document.text(), messages))) {
      return unreadable(document.text(), *problem);
    }
  }
  for (std::size_t i = 0; i < kFieldCount; ++i) {
    const json::Value value = document.root()[kFieldNames[i]];
    if (value) request->fields_[i] = value;
  }
  json::Value& tools = request->fields_[static_cast<std::size_t>(Field::Tools)];
  if (tools.is_array() && tools.size() == 0) tools = {};

  // Most texts have no \u at all and are spared the walk over their strings.
  if (document.text().find("\\u") != std::string::npos) {
    for (auto [key, member] : document.root().members()) {
      const std::string name = key.string_or();
      const Path path(name);
      if (Fault found = check_surrogates(key, path)) return invalid(*std::move(found));
      if (Fault found = check_surrogates(member, path)) return invalid(*std::move(found));
    }
  }
  if (Fault found = check_messages((*request)[Field::Messages])) return invalid(*std::move(found));
  if (Fault found = check_keywords(*request)) return invalid(*std::move(found));

  std::size_t bytes = content_bytes((*request)[Field::System]) + (*request)[Field::Tools].raw().size();
  for (json::Value message : (*request)[Field::Messages].elements()) {
    bytes += content_bytes(message["content"]);
    for (json::Value call : message["tool_calls"].elements()) {
      bytes += string_bytes(call["function"]["name"]) + string_bytes(call["function"]["arguments"]);
    }
  }
  request->text_bytes_ = bytes;
  return std::shared_ptr<const Request>(std::move(request));
}

}  // namespace orchestra::chat
