#include "protocol/sse_stream.hpp"

namespace orchestra::protocol {

namespace {

std::string megabytes(std::size_t bytes) {
  return bytes >= (1u << 20) ? std::to_string(bytes >> 20) + " MB" : std::to_string(bytes) + " bytes";
}

}  // namespace

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
    page_ += bytes;
    return hold(bytes.size());
  }
  if (done_) return Done{};
  parser_.feed(bytes);
  SseEvent event;
  for (;;) {
    switch (parser_.next(event)) {
      case SseParser::Step::NeedBytes: return Done{};
      case SseParser::Step::LineTooLong:
        return protocol_error("a line of the stream is longer than " + megabytes(options_.limits.line));
      case SseParser::Step::EventTooLong:
        return protocol_error("an event of the stream is larger than " + megabytes(options_.limits.event));
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
  if (const auto problem = document_.parse_copy(event.data)) {
    if (torn) return Done{};
    chat::Error error = protocol_error("an event of the stream is no JSON: " + problem->message);
    error.body = excerpt(event.data);
    error.has_body = true;
    return error;
  }
  if (!document_.root().is_object()) {
    return torn ? Status(Done{}) : Status(protocol_error("an event of the stream is no JSON object"));
  }
  return fold(event.name, document_.root(), deltas);
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
  if (held_ <= options_.limits.body) return Done{};
  return protocol_error("the stream holds more than " + megabytes(options_.limits.body));
}

}  // namespace orchestra::protocol
