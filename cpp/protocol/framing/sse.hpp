// SseParser: a push parser of server-sent events (HTML standard, section 9.2). It knows no vendor.
//
//   parser.feed(bytes);
//   while (parser.next(event) == SseParser::Step::Event) ...
//
// Bytes may be cut anywhere. An event whose data is one line that lies whole in the bytes is handed out in place. The
// views of an event are valid until the next call of next(), feed() or end(). One thread at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace orchestra::protocol {

struct SseEvent {
  std::string_view name;  // of the `event` field; empty: none
  std::string_view data;  // the data lines, joined by line feeds; never empty
};

class SseParser {
 public:
  enum class Step { Event, NeedBytes, LineTooLong, EventTooLong };

  // `line_limit`: bytes of a line without its ending; `event_limit`: bytes of the data of an event.
  SseParser(std::size_t line_limit, std::size_t event_limit) : line_limit_(line_limit), event_limit_(event_limit) {}

  // REQUIRES: next() has said NeedBytes since the last feed(), and the bytes stay in place until it does again.
  void feed(std::string_view bytes);
  // After LineTooLong or EventTooLong nothing may be called any more.
  Step next(SseEvent& event);
  // The body ended: hands out an event that lacks its blank line or its last line ending. NeedBytes: there is none.
  Step end(SseEvent& event);

 private:
  static constexpr std::size_t kNone = std::string_view::npos;

  std::size_t line_end();
  Step take_line(std::string_view line, bool in_place);
  Step take_data(std::string_view value, bool in_place);
  Step dispatch(SseEvent& event);
  void keep_data();
  void reset_event();

  const std::size_t line_limit_;
  const std::size_t event_limit_;

  std::string_view input_;
  std::size_t position_ = 0;
  std::size_t next_lf_ = 0, next_cr_ = 0;  // the next ones at or behind position_, or the size of the input
  bool skip_lf_ = false;                   // the last line ended in CR, so a LF that follows belongs to it
  bool first_line_ = true;

  std::string line_;  // the beginning of a line that was cut
  std::string name_;
  std::string buffer_;     // the data, once it cannot stay in place
  std::string_view data_;  // the data, as long as it lies in input_
  std::size_t data_lines_ = 0;
  bool in_buffer_ = false;
  bool dispatched_ = false;  // the event was handed out, and goes away with the next call
};

}  // namespace orchestra::protocol
