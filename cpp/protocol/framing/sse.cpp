#include "protocol/framing/sse.hpp"

#include <algorithm>

namespace orchestra::protocol {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::size_t find(std::string_view text, char wanted, std::size_t from) {
  return std::min(text.find(wanted, from), text.size());
}

}  // namespace

void SseParser::feed(std::string_view bytes) {
  input_ = bytes;
  position_ = 0;
  next_lf_ = find(input_, '\n', 0);
  next_cr_ = find(input_, '\r', 0);
}

// Each ending is searched for once, so that a body with CR alone, or with LF alone, costs no second pass.
std::size_t SseParser::line_end() {
  if (next_lf_ < position_) next_lf_ = find(input_, '\n', position_);
  if (next_cr_ < position_) next_cr_ = find(input_, '\r', position_);
  const std::size_t end = std::min(next_lf_, next_cr_);
  return end == input_.size() ? kNone : end;
}

SseParser::Step SseParser::next(SseEvent& event) {
  if (dispatched_) reset_event();
  for (;;) {
    if (skip_lf_ && position_ < input_.size()) {
      if (input_[position_] == '\n') ++position_;
      skip_lf_ = false;
    }
    if (position_ >= input_.size()) {
      keep_data();
      return Step::NeedBytes;
    }
    const std::size_t end = line_end();
    if (end == kNone) {
      const std::string_view rest = input_.substr(position_);
      if (line_.size() + rest.size() > line_limit_) return Step::LineTooLong;
      line_.append(rest);
      position_ = input_.size();
      keep_data();
      return Step::NeedBytes;
    }
    std::string_view line = input_.substr(position_, end - position_);
    skip_lf_ = input_[end] == '\r';
    position_ = end + 1;
    if (line_.size() + line.size() > line_limit_) return Step::LineTooLong;
    const bool in_place = line_.empty();
    if (!in_place) {
      line_.append(line);
      line = line_;
    }
    const Step step = take_line(line, in_place);
    line_.clear();
    if (step == Step::Event) return dispatch(event);
    if (step != Step::NeedBytes) return step;
  }
}

SseParser::Step SseParser::end(SseEvent& event) {
  if (dispatched_) reset_event();
  if (!line_.empty()) {
    const Step step = take_line(line_, false);
    line_.clear();
    if (step != Step::NeedBytes) return step;
  }
  return take_line({}, false) == Step::Event ? dispatch(event) : Step::NeedBytes;
}

// Event: the line was blank and ends an event that has data.
SseParser::Step SseParser::take_line(std::string_view line, bool in_place) {
  if (first_line_) {
    first_line_ = false;
    if (line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  }
  if (line.empty()) {
    if (in_buffer_ ? !buffer_.empty() : !data_.empty()) return Step::Event;
    reset_event();
    return Step::NeedBytes;
  }
  const std::size_t colon = std::min(line.find(':'), line.size());
  const std::string_view field = line.substr(0, colon);
  std::string_view value = line.substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") return take_data(value, in_place);
  if (field == "event") name_ = value;
  return Step::NeedBytes;  // a comment (an empty field name), id, retry, or a field that nobody knows
}

SseParser::Step SseParser::take_data(std::string_view value, bool in_place) {
  ++data_lines_;
  if (data_lines_ == 1 && in_place) {
    data_ = value;
  } else {
    keep_data();
    if (data_lines_ > 1) buffer_ += '\n';
    buffer_ += value;
    in_buffer_ = true;
  }
  return (in_buffer_ ? buffer_.size() : data_.size()) > event_limit_ ? Step::EventTooLong : Step::NeedBytes;
}

SseParser::Step SseParser::dispatch(SseEvent& event) {
  event = {name_, in_buffer_ ? std::string_view(buffer_) : data_};
  dispatched_ = true;
  return Step::Event;
}

// The input goes away, or more data comes: what lies in it is copied.
void SseParser::keep_data() {
  if (in_buffer_ || data_lines_ == 0) return;
  buffer_.assign(data_);
  data_ = {};
  in_buffer_ = true;
}

void SseParser::reset_event() {
  name_.clear();
  buffer_.clear();
  data_ = {};
  data_lines_ = 0;
  in_buffer_ = false;
  dispatched_ = false;
}

}  // namespace orchestra::protocol
