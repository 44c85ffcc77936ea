#include "http/response_parser.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

namespace orchestra::http {
namespace {

constexpr std::size_t kInterimHeads = 8;
constexpr std::size_t kChunkLineBytes = 256;  // size, extensions and line break
constexpr std::size_t kKeptBytes = 4096;      // of memory that one answer leaves to the next
constexpr std::string_view kStart = "HTTP/1.";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }

// The characters of a name (RFC 9110, section 5.6.2).
constexpr std::array<bool, 256> kIsToken = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 'a' + 'A'] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

// In any case. REQUIRES: no control character in `text`, and only small letters and "-" in `lower`.
bool same_token(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) { return (a | 0x20) == b; });
}

// Not shorter than "Connection", not longer than "Transfer-Encoding".
bool is_framing_size(std::ptrdiff_t name_size) { return name_size >= 10 && name_size <= 17; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Eight characters at once, in the order of their addresses from the lowest bits up.
constexpr std::uint64_t kOnes = 0x0101010101010101, kTops = 0x80 * kOnes;
constexpr bool kLittleEndian = std::endian::native == std::endian::little;

std::uint64_t eight_at(const char* at) {
  std::uint64_t eight = 0;
  std::memcpy(&eight, at, sizeof eight);
  return eight;
}
std::ptrdiff_t first_of(std::uint64_t tops) { return std::countr_zero(tops) / 8; }

// The first character from `at` on that is no letter, digit or "-", or an earlier one.
const char* end_of_usual_name(const char* at, const char* end) {
  // The top bit of every one of `seven` (its own is zero) that lies between the two.
  const auto between = [](std::uint64_t seven, char low, char high) {
    return (seven + (0x80 - low) * kOnes) & ~(seven + (0x7f - high) * kOnes);
  };
  while (kLittleEndian && end - at >= 8) {
    const std::uint64_t eight = eight_at(at), seven = eight & ~kTops;
    const std::uint64_t usual =
        between(seven | (0x20 * kOnes), 'a', 'z') | between(seven, '0', '9') | between(seven, '-', '-');
    if (const std::uint64_t others = (~usual | eight) & kTops; others != 0) return at + first_of(others);
    at += 8;
  }
  return at;
}

// The first control character from `at` on, or `end`.
const char* end_of_text(const char* at, const char* end) {
  while (kLittleEndian && end - at >= 8) {
    const std::uint64_t eight = eight_at(at), deleted = eight ^ (0x7f * kOnes);
    // A borrow runs upwards only, so the lowest bit that is set is right.
    const std::uint64_t found = (((eight - 0x20 * kOnes) & ~eight) | ((deleted - kOnes) & ~deleted)) & kTops;
    if (found == 0) {
      at += 8;
    } else {
      at += first_of(found);
      if (*at != '\t') return at;
      ++at;
    }
  }
  while (at != end && !is_control(*at)) ++at;
  return at;
}

bool holds_control(std::string_view text) {
  const char* const end = text.data() + text.size();
  return end_of_text(text.data(), end) != end;
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void give_back_memory(std::string& text) {
  text.clear();
  if (text.capacity() > kKeptBytes) text.shrink_to_fit();
}

}  // namespace

std::string_view fault_text(ParseFault fault) {
  switch (fault) {
    case ParseFault::NotHttp: return "the answer is not HTTP/1.1 or 1.0";
    case ParseFault::NoStatus: return "the answer has no status";
    case ParseFault::SwitchedProtocols: return "the answer switches protocols";
    case ParseFault::LineBreak: return "a line of the answer ends without a carriage return";
    case ParseFault::ControlCharacter: return "a line of the answer holds a control character";
    case ParseFault::NoColon: return "a header of the answer has no colon";
    case ParseFault::FieldName: return "a header of the answer has no valid name";
    case ParseFault::FoldedLine: return "a header of the answer is folded";
    case ParseFault::HeadBytes: return "the head of the answer is over the limit `head_bytes`";
    case ParseFault::HeadLines: return "the head of the answer is over the limit `head_lines`";
    case ParseFault::InterimHeads: return "the answer has too many interim heads";
    case ParseFault::ContentLength: return "the answer has no valid Content-Length";
    case ParseFault::TransferEncoding: return "the Transfer-Encoding of the answer is not chunked alone";
    case ParseFault::TwoLengths: return "the answer has a Content-Length and a Transfer-Encoding";
    case ParseFault::ChunkSize: return "a chunk of the answer has no valid size";
    case ParseFault::ChunkLine: return "a chunk of the answer begins with too long a line";
    case ParseFault::ChunkEnd: return "a chunk of the answer does not end where its size says";
  }
  return "";
}

std::string ResponseParser::fault_message() const {
  if (!fault_) return {};
  std::string text(fault_text(*fault_));
  if (fault_ == ParseFault::HeadBytes) text.append(" of ").append(std::to_string(limits_.bytes));
  if (fault_ == ParseFault::HeadLines) text.append(" of ").append(std::to_string(limits_.lines));
  return text;
}

struct ResponseParser::Field {
  std::string_view name, value;
};

void ResponseParser::reset() {
  state_ = State::StatusLine;
  has_begun_ = has_line_ = has_head_ = keeps_connection_ = false;
  fault_.reset();
  give_back_memory(partial_);
  head_bytes_ = interim_heads_ = 0;
  begin_head();
  give_back_memory(headers_.text());
}

void ResponseParser::begin_head() {
  headers_.clear();
  lines_ = 0;
  length_.reset();
  is_http10_ = is_chunked_ = is_encoded_ = says_close_ = says_keep_alive_ = false;
}

void ResponseParser::fail(ParseFault fault) {
  fault_ = fault;
  state_ = State::Malformed;
}

std::size_t ResponseParser::feed(std::span<char> bytes, ResponseEvents& events) {
  stopped_ = false;
  if (!bytes.empty()) has_begun_ = true;
  std::size_t taken = 0;
  while (taken < bytes.size() && !stopped_) {
    const std::span<char> rest = bytes.subspan(taken);
    switch (state_) {
      case State::HeaderLine:
        if (const std::size_t size = feed_usual_fields({rest.data(), rest.size()}); size != 0) {
          taken += size;
          break;
        }
        [[fallthrough]];
      case State::StatusLine:
      case State::ChunkLine:
      case State::TrailerLine: taken += feed_line({rest.data(), rest.size()}, events); break;
      case State::Body:
      case State::BodyToEnd:
      case State::ChunkData: taken += feed_body(rest, events); break;
      case State::ChunkCr:
      case State::ChunkLf: taken += feed_chunk_end(rest.front()); break;
      case State::Complete:
      case State::Malformed: return taken;
    }
  }
  return taken;
}

void ResponseParser::end_of_input() {
  if (state_ == State::BodyToEnd) state_ = State::Complete;
}

std::size_t ResponseParser::feed_body(std::span<char> bytes, ResponseEvents& events) {
  if (state_ != State::BodyToEnd) {
    bytes = bytes.first(std::min<std::uint64_t>(left_, bytes.size()));
    left_ -= bytes.size();
    if (left_ == 0) state_ = state_ == State::Body ? State::Complete : State::ChunkCr;
  }
  events.on_body(bytes);
  return bytes.size();
}

std::size_t ResponseParser::feed_chunk_end(char byte) {
  if (byte != (state_ == State::ChunkCr ? '\r' : '\n')) {
    fail(ParseFault::ChunkEnd);
    return 0;
  }
  state_ = state_ == State::ChunkCr ? State::ChunkLf : State::ChunkLine;
  return 1;
}

std::size_t ResponseParser::feed_line(std::string_view bytes, ResponseEvents& events) {
  const bool is_chunk = state_ == State::ChunkLine;
  const std::size_t limit = is_chunk ? kChunkLineBytes : limits_.bytes - head_bytes_;
  const std::string_view allowed = bytes.substr(0, limit - partial_.size());
  if (state_ == State::StatusLine && partial_.size() < kStart.size()) {
    // Whoever speaks something else may never end a line.
    const std::string_view wanted = kStart.substr(partial_.size(), allowed.size());
    if (!allowed.starts_with(wanted)) {
      fail(ParseFault::NotHttp);
      return 0;
    }
  }
  const std::size_t end = allowed.find('\n');
  if (end == std::string_view::npos) {
    if (allowed.size() < bytes.size()) {
      fail(is_chunk ? ParseFault::ChunkLine : ParseFault::HeadBytes);
    } else {
      partial_.append(bytes);
    }
    return allowed.size();
  }
  const std::string_view line = allowed.substr(0, end + 1);
  if (partial_.empty()) {
    take_line(line, events);
  } else {
    partial_.append(line);
    take_line(partial_, events);
    partial_.clear();
  }
  return line.size();
}

// Header lines that are all there and spelled as most are, "Name: value"; anything else is left to feed_line().
std::size_t ResponseParser::feed_usual_fields(std::string_view bytes) {
  if (!partial_.empty()) return 0;
  std::string& text = headers_.text();
  const char* const end = bytes.data() + bytes.size();
  const char* line = bytes.data();
  while (lines_ < limits_.lines && state_ == State::HeaderLine) {
    const char* colon = end_of_usual_name(line, end);
    while (colon != end && kIsToken[static_cast<unsigned char>(*colon)]) ++colon;
    if (colon == line || end - colon < 5 || colon[0] != ':' || colon[1] != ' ' || is_blank(colon[2])) break;
    const char* const value = colon + 2;
    const char* const value_end = end_of_text(value, end);
    if (end - value_end < 2 || value_end[0] != '\r' || value_end[1] != '\n' || is_blank(value_end[-1])) break;
    const auto size = static_cast<std::size_t>(value_end + 2 - line);
    if (size > limits_.bytes - head_bytes_) break;
    head_bytes_ += size;
    ++lines_;
    text.append(line, size - 1);
    text.back() = '\n';
    if (is_framing_size(colon - line)) interpret({line, colon}, {value, value_end});
    line += size;
  }
  return static_cast<std::size_t>(line - bytes.data());
}

void ResponseParser::take_line(std::string_view line, ResponseEvents& events) {
  if (state_ != State::ChunkLine) head_bytes_ += line.size();
  line.remove_suffix(1);
  if (!line.ends_with('\r')) return fail(ParseFault::LineBreak);
  line.remove_suffix(1);
  switch (state_) {
    case State::StatusLine: return take_status_line(line);
    case State::HeaderLine: return take_header_line(line, events);
    case State::TrailerLine: return take_trailer_line(line);
    default: return take_chunk_line(line);
  }
}

// "HTTP/1.1 200 OK": the reason may be missing, and the blank before it.
void ResponseParser::take_status_line(std::string_view line) {
  constexpr std::size_t kVersion = kStart.size(), kStatus = kVersion + 2, kReason = kStatus + 3;
  if (line.size() < kStatus || (line[kVersion] != '1' && line[kVersion] != '0') || line[kVersion + 1] != ' ') {
    return fail(ParseFault::NotHttp);
  }
  is_http10_ = line[kVersion] == '0';
  status_ = 0;
  for (const char c : line.substr(kStatus, 3)) {
    if (!is_digit(c)) return fail(ParseFault::NoStatus);
    status_ = status_ * 10 + (c - '0');
  }
  if (status_ < 100 || status_ > 599) return fail(ParseFault::NoStatus);
  if (line.size() > kReason && line[kReason] != ' ') return fail(ParseFault::NoStatus);
  if (holds_control(line.substr(kReason))) return fail(ParseFault::ControlCharacter);
  has_line_ = true;
  // Nobody asked to speak another protocol, so no answer follows.
  if (status_ == 101) return fail(ParseFault::SwitchedProtocols);
  state_ = State::HeaderLine;
}

std::optional<ResponseParser::Field> ResponseParser::read_field(std::string_view line) {
  const auto refused = [&](ParseFault fault) {
    fail(fault);
    return std::nullopt;
  };
  if (++lines_ > limits_.lines) return refused(ParseFault::HeadLines);
  if (is_blank(line.front())) return refused(ParseFault::FoldedLine);
  if (holds_control(line)) return refused(ParseFault::ControlCharacter);
  std::size_t colon = 0;
  while (colon < line.size() && kIsToken[static_cast<unsigned char>(line[colon])]) ++colon;
  if (colon == 0 || colon == line.size() || line[colon] != ':') {
    const bool has_colon = line.find(':') != std::string_view::npos;
    return refused(has_colon ? ParseFault::FieldName : ParseFault::NoColon);
  }
  const std::string_view value = trimmed(line.substr(colon + 1));
  return Field{line.substr(0, colon), value};
}

void ResponseParser::take_header_line(std::string_view line, ResponseEvents& events) {
  if (line.empty()) return end_head(events);
  const auto field = read_field(line);
  if (!field) return;
  headers_.add(field->name, field->value);
  interpret(field->name, field->value);
}

void ResponseParser::take_trailer_line(std::string_view line) {
  if (line.empty()) {
    state_ = State::Complete;
  } else {
    static_cast<void>(read_field(line));
  }
}

void ResponseParser::interpret(std::string_view name, std::string_view value) {
  if (same_token(name, "content-length")) {
    add_length(value);
  } else if (same_token(name, "transfer-encoding")) {
    if (is_chunked_ || !same_token(value, "chunked")) return fail(ParseFault::TransferEncoding);
    is_chunked_ = true;
  } else if (same_token(name, "content-encoding")) {
    is_encoded_ = true;
  } else if (same_token(name, "connection")) {
    for (std::string_view rest = value; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view option = trimmed(rest.substr(0, comma));
      if (same_token(option, "close")) says_close_ = true;
      if (same_token(option, "keep-alive")) says_keep_alive_ = true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
}

// The same length may be said twice.
void ResponseParser::add_length(std::string_view digits) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::uint64_t length = 0;
  for (const char c : digits) {
    if (!is_digit(c) || length > (kMost - 9) / 10) return fail(ParseFault::ContentLength);
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (digits.empty() || length_.value_or(length) != length) return fail(ParseFault::ContentLength);
  length_ = length;
}

void ResponseParser::end_head(ResponseEvents& events) {
  if (is_chunked_ && length_) return fail(ParseFault::TwoLengths);
  if (is_chunked_ && is_http10_) return fail(ParseFault::TransferEncoding);
  if (status_ < 200) {
    if (++interim_heads_ > kInterimHeads) return fail(ParseFault::InterimHeads);
    begin_head();
    state_ = State::StatusLine;
    return;
  }
  const bool is_bodiless = status_ == 204 || status_ == 304;
  const bool announces_body = is_chunked_ || length_.value_or(0) > 0;
  left_ = length_.value_or(0);
  if (is_bodiless || length_ == 0) {
    state_ = State::Complete;
  } else if (is_chunked_) {
    state_ = State::ChunkLine;
  } else {
    state_ = length_ ? State::Body : State::BodyToEnd;
  }
  // A body that was announced where none can be may still come.
  keeps_connection_ = state_ != State::BodyToEnd && !(is_bodiless && announces_body) && !says_close_ &&
                      (says_keep_alive_ || !is_http10_);
  lines_ = 0;
  has_head_ = true;
  events.on_head({status_, headers_});
}

void ResponseParser::take_chunk_line(std::string_view line) {
  std::uint64_t size = 0;
  std::size_t digits = 0;
  for (; digits < line.size(); ++digits) {
    const int value = hex_value(line[digits]);
    if (value < 0) break;
    if (size >> 60 != 0) return fail(ParseFault::ChunkSize);
    size = size * 16 + static_cast<std::uint64_t>(value);
  }
  if (digits == 0) return fail(ParseFault::ChunkSize);
  if (const std::string_view rest = line.substr(digits); !rest.empty()) {
    if (!trimmed(rest).starts_with(';')) return fail(ParseFault::ChunkSize);
    if (holds_control(rest)) return fail(ParseFault::ControlCharacter);
  }
  left_ = size;
  state_ = size > 0 ? State::ChunkData : State::TrailerLine;
}

}  // namespace orchestra::http
