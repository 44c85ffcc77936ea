// ResponseParser: an HTTP/1.1 answer (RFC 9112) read in place as its bytes come, strictly: what could be read in two
// ways is refused. Trailers are counted and dropped, and the body is handed up as it came, in whatever encoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/response_head.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::http {

enum class ParseFault : std::uint8_t {
  NotHttp,
  NoStatus,
  SwitchedProtocols,
  LineBreak,
  ControlCharacter,
  NoColon,
  FieldName,
  FoldedLine,
  HeadBytes,
  HeadLines,
  InterimHeads,
  ContentLength,
  TransferEncoding,
  TwoLengths,
  ChunkSize,
  ChunkLine,
  ChunkEnd,
};

// What is wrong, without any content of the answer.
[[nodiscard]] std::string_view fault_text(ParseFault fault);

class ResponseEvents {
 public:
  virtual ~ResponseEvents() = default;
  // Interim 1xx answers are left out.
  virtual void on_head(runtime::AnswerHead head) = 0;
  // Never empty; a part of what feed() was given.
  virtual void on_body(std::span<char> bytes) = 0;
};

// One answer after another. Events come from feed() alone; inside them only stop() and the questions below are allowed.
class ResponseParser {
 public:
  explicit ResponseParser(HeadLimits limits) : limits_(limits) {}

  // Begins the next answer.
  void reset();

  // Takes bytes and returns how many: all of them, but for three cases. The answer is complete: the rest belongs to
  // nobody. It is malformed: nothing more is taken. stop() was called: the rest is to be fed later, as it is, and more
  // may be left of the answer even if there is no rest.
  std::size_t feed(std::span<char> bytes, ResponseEvents& events);
  // Inside an event: feed() returns after it.
  void stop() { stopped_ = true; }
  // The peer closed, and all that it sent was fed: a body without a length ends here, any other answer stays
  // incomplete.
  void end_of_input();

  // Anything at all came, and a whole status line, be it of an interim answer.
  [[nodiscard]] bool has_begun() const { return has_begun_; }
  [[nodiscard]] bool has_line() const { return has_line_; }
  // on_head was called.
  [[nodiscard]] bool has_head() const { return has_head_; }
  // REQUIRES: has_head(). It names a Content-Encoding.
  [[nodiscard]] bool is_encoded() const { return is_encoded_; }
  [[nodiscard]] bool is_complete() const { return state_ == State::Complete; }
  // REQUIRES: is_complete(). The connection may carry another answer.
  [[nodiscard]] bool keeps_connection() const { return keeps_connection_; }
  // Set once the answer is malformed.
  [[nodiscard]] std::optional<ParseFault> fault() const { return fault_; }
  // Its text, with the limit that was passed.
  [[nodiscard]] std::string fault_message() const;

 private:
  enum class State : std::uint8_t {
    StatusLine,
    HeaderLine,
    Body,       // left_ bytes of it
    BodyToEnd,  // until the peer closes
    ChunkLine,
    ChunkData,  // left_ bytes of it
    ChunkCr,
    ChunkLf,
    TrailerLine,
    Complete,
    Malformed,
  };
  struct Field;

  std::size_t feed_body(std::span<char> bytes, ResponseEvents& events);
  std::size_t feed_chunk_end(char byte);
  std::size_t feed_line(std::string_view bytes, ResponseEvents& events);
  std::size_t feed_usual_fields(std::string_view bytes);
  void take_line(std::string_view line, ResponseEvents& events);
  void take_status_line(std::string_view line);
  void take_header_line(std::string_view line, ResponseEvents& events);
  void take_trailer_line(std::string_view line);
  void take_chunk_line(std::string_view line);
  [[nodiscard]] std::optional<Field> read_field(std::string_view line);
  void interpret(std::string_view name, std::string_view value);
  void add_length(std::string_view digits);
  void begin_head();
  void end_head(ResponseEvents& events);
  void fail(ParseFault fault);

  const HeadLimits limits_;
  State state_ = State::StatusLine;
  bool stopped_ = false;
  bool has_begun_ = false;
  bool has_line_ = false;
  bool has_head_ = false;
  bool keeps_connection_ = false;
  std::optional<ParseFault> fault_;
  std::string partial_;         // the beginning of a line whose end has not come
  std::size_t head_bytes_ = 0;  // lines of all heads and trailers
  std::size_t lines_ = 0;       // of this head, or trailers
  std::size_t interim_heads_ = 0;
  std::uint64_t left_ = 0;  // of a body or chunk

  // Of the head that is being read.
  int status_ = 0;
  runtime::HeaderText headers_;  // its memory is kept from one answer to the next
  std::optional<std::uint64_t> length_;
  bool is_http10_ = false;
  bool is_chunked_ = false;
  bool is_encoded_ = false;
  bool says_close_ = false;
  bool says_keep_alive_ = false;
};

}  // namespace orchestra::http
