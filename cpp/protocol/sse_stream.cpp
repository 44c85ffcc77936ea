#include "protocol/sse_stream.hpp"

#include "json/plain_run.hpp"

namespace orchestra::protocol {

SseStream::SseStream(const DecodeOptions& options, const ErrorPaths& error_paths)
    : options_(options), error_paths_(error_paths), parser_(options.limits.line, options.limits.event) {}

Status SseStream::feed(std::string_view bytes, std::vector<chat::Delta>& deltas) {
  if (!begun_) {
    const std::size_t first = bytes.find_first_not_of(" \t\r\n");
    if (first != std::string_view::npos) {
      begun_ = true;
      is_page_ = bytes[first] == '{' || bytes[first] == '[' || bytes[first] == '<';
    }
  }
  if (is_page_) {
    if (bytes.size() > options_.limits.body - page_.size()) {
      return over_limit("the answer is larger", "body", options_.limits.body, "bytes");
    }
    page_ += bytes;
    return Done{};
  }
  if (done_) return Done{};
  parser_.feed(bytes);
  SseEvent event;
  for (;;) {
    switch (parser_.next(event)) {
      case SseParser::Step::NeedBytes: return Done{};
      case SseParser::Step::LineTooLong:
        return over_limit("a line of the stream is longer", "line", options_.limits.line, "bytes");
      case SseParser::Step::EventTooLong:
        return over_limit("an event of the stream is larger", "event", options_.limits.event, "bytes");
      case SseParser::Step::Event:
        if (Status status = take(event, false, deltas); !status) return status;
        if (done_) return take_end(deltas);
    }
  }
}

Status SseStream::end(std::vector<chat::Delta>& deltas) {
  if (is_page_) return end_of_page();
  if (done_) return Done{};
  SseEvent event;
  if (parser_.end(event) == SseParser::Step::Event) {
    if (Status status = take(event, true, deltas); !status) return status;
  }
  return take_end(deltas);
}

// `torn`: the body ended inside this event, so it may lack its end.
Status SseStream::take(const SseEvent& event, bool torn, std::vector<chat::Delta>& deltas) {
  if (event.data.starts_with("[DONE]")) {
    done_ = true;
    return Done{};
  }
  if (!torn && !before_text_.empty()) {
    const std::string_view text = repeated_text(event);
    if (!text.empty()) return fold_text(text, deltas);
  }
  before_text_.clear();
  if (const auto problem = document_.parse_copy(event.data, options_.limits.json_depth)) {
    if (torn) return Done{};
    chat::Error error = protocol_error("an event of the stream cannot be read: " + problem->message);
    error.body = excerpt(event.data);
    error.has_body = true;
    return error;
  }
  if (!document_.root().is_object()) {
    return torn ? Status(Done{}) : Status(protocol_error("an event of the stream is no JSON object"));
  }
  repeated_name_ = event.name;
  return fold(event.name, document_.root(), deltas);
}

void SseStream::repeats_but_for(json::Value text) {
  const std::string_view whole = document_.text(), raw = text.raw();
  const auto begin = static_cast<std::size_t>(raw.data() - whole.data());
  before_text_ = whole.substr(0, begin + 1);
  behind_text_ = whole.substr(begin + raw.size() - 1);
}

// The text of an event that repeats the last one but for it, with its quotes; empty: the event is another one.
std::string_view SseStream::repeated_text(const SseEvent& event) const {
  const std::string_view data = event.data;
  if (data.size() < before_text_.size() + behind_text_.size() || !data.starts_with(before_text_) ||
      !data.ends_with(behind_text_) || event.name != repeated_name_) {
    return {};
  }
  const std::string_view text =
      data.substr(before_text_.size() - 1, data.size() - before_text_.size() - behind_text_.size() + 2);
  const char* end = text.data() + text.size() - 1;
  const bool plain = json::end_of_plain(text.data() + 1, end) == end;
  return plain && json::is_utf8(text) ? text : std::string_view();
}

Status SseStream::take_end(std::vector<chat::Delta>& deltas) {
  if (ended_) return Done{};
  if (!is_finished()) return interrupted();
  ended_ = true;
  finish(deltas);
  return Done{};
}

Status SseStream::end_of_page() {
  json::Document document;
  if (!document.parse_copy(page_) && document.root()["error"]) return error_of_object(document.root(), error_paths_);
  chat::Error error = protocol_error("the answer to a streamed request is no event stream");
  error.body = excerpt(page_);
  error.has_body = true;
  return error;
}

Status SseStream::hold(std::size_t bytes) {
  held_ += bytes;
  if (held_ <= options_.limits.text) return Done{};
  return over_limit("the stream holds more", "text", options_.limits.text, "bytes");
}

}  // namespace orchestra::protocol
