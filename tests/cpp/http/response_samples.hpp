// Answers that a parser must take and answers that it must refuse, with what they say.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/response_parser.hpp"

namespace orchestra::http {

inline const std::string kOkLine = "HTTP/1.1 200 OK\r\n";
inline const std::string kChunkedHead = kOkLine + "Transfer-Encoding: chunked\r\n\r\n";

struct GoodAnswer {
  std::string_view name;
  std::string bytes;
  int status = 200;
  runtime::HeaderList headers{};
  std::string body{};
  bool keeps_connection = true;
  bool ends_by_close = false;
  std::string unasked{};  // the end of `bytes` that is not the answer's
};

struct BadAnswer {
  std::string_view name;
  std::string bytes;
  std::optional<ParseFault> fault{};  // none: it is cut
};

inline std::vector<GoodAnswer> good_answers() {
  const std::string ok = kOkLine, chunked = kChunkedHead;
  const runtime::HeaderList is_chunked = {{"Transfer-Encoding", "chunked"}};
  return {
      {.name = "length",
       .bytes = ok + "A: b\r\nContent-Length: 5\r\n\r\nhello",
       .headers = {{"A", "b"}, {"Content-Length", "5"}},
       .body = "hello"},
      {.name = "length of nothing", .bytes = ok + "content-length: 0\r\n\r\n", .headers = {{"content-length", "0"}}},
      {.name = "length with zeros",
       .bytes = ok + "Content-Length: 0002\r\n\r\nok",
       .headers = {{"Content-Length", "0002"}},
       .body = "ok"},
      {.name = "the same length twice",
       .bytes = ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
       .headers = {{"Content-Length", "2"}, {"Content-Length", "2"}},
       .body = "ok"},
      {.name = "chunks",
       .bytes = chunked + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
       .headers = is_chunked,
       .body = "hello world"},
      {.name = "no chunk", .bytes = chunked + "0\r\n\r\n", .headers = is_chunked},
      {.name = "chunk sizes of any spelling",
       .bytes = ok + "TRANSFER-ENCODING: Chunked\r\n\r\n00a\r\n0123456789\r\nB\r\n0123456789a\r\n000\r\n\r\n",
       .headers = {{"TRANSFER-ENCODING", "Chunked"}},
       .body = "01234567890123456789a"},
      {.name = "chunk extensions",
       .bytes = chunked + "2;a=b\r\nok\r\n1 ; c=\"d;\te\"\r\n!\r\n0;last\r\n\r\n",
       .headers = is_chunked,
       .body = "ok!"},
      {.name = "line breaks in chunks",
       .bytes = chunked + "4\r\n\r\n\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
       .headers = is_chunked,
       .body = "\r\n\r\n0\r\n\r\n"},
      {.name = "trailers",
       .bytes = chunked + "2\r\nok\r\n0\r\nX-Checksum: 1\r\nX-Empty:\r\n\r\n",
       .headers = is_chunked,
       .body = "ok"},
      {.name = "a length among the trailers",
       .bytes = chunked + "2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n",
       .headers = is_chunked,
       .body = "ok"},
      {.name = "to the end",
       .bytes = ok + "Date: now\r\n\r\nabc\r\n",
       .headers = {{"Date", "now"}},
       .body = "abc\r\n",
       .keeps_connection = false,
       .ends_by_close = true},
      {.name = "nothing to the end", .bytes = ok + "\r\n", .keeps_connection = false, .ends_by_close = true},
      {.name = "the server closes",
       .bytes = ok + "Connection: Keep-Alive , Close\r\nContent-Length: 1\r\n\r\nx",
       .headers = {{"Connection", "Keep-Alive , Close"}, {"Content-Length", "1"}},
       .body = "x",
       .keeps_connection = false},
      {.name = "options that do not matter",
       .bytes = ok + "Connection: closed,,x-close\r\nContent-Length: 1\r\n\r\nx",
       .headers = {{"Connection", "closed,,x-close"}, {"Content-Length", "1"}},
       .body = "x"},
      {.name = "HTTP/1.0",
       .bytes = "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
       .headers = {{"Content-Length", "1"}},
       .body = "x",
       .keeps_connection = false},
      {.name = "HTTP/1.0 kept alive",
       .bytes = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
       .headers = {{"connection", "keep-alive"}, {"Content-Length", "1"}},
       .body = "x"},
      {.name = "HTTP/1.0 to the end",
       .bytes = "HTTP/1.0 200 OK\r\n\r\nabc",
       .body = "abc",
       .keeps_connection = false,
       .ends_by_close = true},
      {.name = "204", .bytes = "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", .status = 204, .headers = {{"A", "b"}}},
      {.name = "204 with the length of nothing",
       .bytes = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
       .status = 204,
       .headers = {{"Content-Length", "0"}}},
      {.name = "interim heads",
       .bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: close\r\n\r\n" + ok +
                "Content-Length: 2\r\n\r\nok",
       .headers = {{"Content-Length", "2"}},
       .body = "ok"},
      {.name = "an empty reason",
       .bytes = "HTTP/1.1 429 \r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno",
       .status = 429,
       .headers = {{"Retry-After", "1"}, {"Content-Length", "2"}},
       .body = "no"},
      {.name = "no reason",
       .bytes = "HTTP/1.1 599\r\nContent-Length: 0\r\n\r\n",
       .status = 599,
       .headers = {{"Content-Length", "0"}}},
      {.name = "values of any spelling",
       .bytes = ok + "A:b\r\nBehind: v \t\r\nB: \t c \t d \t\r\nEmpty:\r\nBlank: \r\nC:: e:f\r\nLatin: \xe4\xff\r\n"
                     "!#$%&'*+-.^_`|~9z: g\r\nlonger_than_eight: \t12345678\t9\r\nContent-Length:  1 \r\n\r\nx",
       .headers = {{"A", "b"},
                   {"Behind", "v"},
                   {"B", "c \t d"},
                   {"Empty", ""},
                   {"Blank", ""},
                   {"C", ": e:f"},
                   {"Latin", "\xe4\xff"},
                   {"!#$%&'*+-.^_`|~9z", "g"},
                   {"longer_than_eight", "12345678\t9"},
                   {"Content-Length", "1"}},
       .body = "x"},
      {.name = "an encoded body",
       .bytes = ok + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
       .headers = {{"Content-Encoding", "gzip"}, {"Content-Length", "2"}},
       .body = "\x1f\x8b"},
      {.name = "bytes that nobody asked for",
       .bytes = ok + "Content-Length: 1\r\n\r\nx" + ok + "Content-Length: 0\r\n\r\n",
       .headers = {{"Content-Length", "1"}},
       .body = "x",
       .unasked = ok + "Content-Length: 0\r\n\r\n"},
  };
}

inline std::vector<BadAnswer> bad_answers() {
  const std::string ok = kOkLine, none = "Content-Length: 0\r\n\r\n", three = "Content-Length: 3\r\n\r\nabc";
  const std::string te = "Transfer-Encoding: chunked\r\n", chunked = kChunkedHead, last = "0\r\n\r\n";
  const auto times = [](int count, std::string_view text) {
    std::string all;
    for (int i = 0; i < count; ++i) all.append(text);
    return all;
  };
  const std::string nul(1, '\0');
  using enum ParseFault;
  return {
      // What ends the body.
      {"length, then chunked", ok + "Content-Length: 5\r\n" + te + "\r\n" + last, TwoLengths},
      {"chunked, then length", ok + te + "Content-Length: 5\r\n\r\n" + last, TwoLengths},
      {"two lengths", ok + "Content-Length: 4\r\n" + three, ContentLength},
      {"list of lengths", ok + "Content-Length: 3, 3\r\n\r\nabc", ContentLength},
      {"length with plus", ok + "Content-Length: +3\r\n\r\nabc", ContentLength},
      {"negative length", ok + "Content-Length: -3\r\n\r\nabc", ContentLength},
      {"hexadecimal length", ok + "Content-Length: 0x3\r\n\r\nabc", ContentLength},
      {"empty length", ok + "Content-Length:\r\n\r\n", ContentLength},
      {"length of 2^64 + 3", ok + "Content-Length: 18446744073709551619\r\n\r\nabc", ContentLength},
      {"gzip, chunked", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n" + last, TransferEncoding},
      {"identity", ok + "Transfer-Encoding: identity\r\n\r\n", TransferEncoding},
      {"chunked twice", ok + te + chunked.substr(ok.size()) + last, TransferEncoding},
      {"xchunked", ok + "Transfer-Encoding: xchunked\r\n\r\n" + last, TransferEncoding},
      {"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\n" + te + "\r\n" + last, TransferEncoding},
      // Header lines.
      {"blank before the colon", ok + "Content-Length : 3\r\n\r\nabc", FieldName},
      {"folded line", ok + "A: b\r\n c\r\n" + none, FoldedLine},
      {"line feeds alone", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", LineBreak},
      {"a line feed alone", ok + "A: b\n" + three, LineBreak},
      {"a carriage return alone", ok + "A: b\rContent-Length: 2\r\n" + three, ControlCharacter},
      {"NUL in a value", ok + "A: b" + nul + "c\r\n" + three, ControlCharacter},
      {"no colon", ok + "Abc\r\n" + none, NoColon},
      {"no name", ok + ": b\r\n" + none, FieldName},
      {"parenthesis in a name", ok + "A(b: c\r\n" + none, FieldName},
      // Status lines.
      {"HTTP/2.0", "HTTP/2.0 200 OK\r\n" + none, NotHttp},
      {"HTTP/1.10", "HTTP/1.10 200 OK\r\n" + none, NotHttp},
      {"status 20", "HTTP/1.1 20 OK\r\n" + none, NoStatus},
      {"status 2000", "HTTP/1.1 2000 OK\r\n" + none, NoStatus},
      {"status 999", "HTTP/1.1 999 X\r\n" + none, NoStatus},
      {"an empty line first", "\r\n" + ok + none, NotHttp},
      {"switched protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n", SwitchedProtocols},
      // Chunks.
      {"negative size", chunked + "-1\r\nx\r\n" + last, ChunkSize},
      {"size with 0x", chunked + "0x1\r\nx\r\n" + last, ChunkSize},
      {"no size", chunked + "\r\nx\r\n" + last, ChunkSize},
      {"size of 2^64 + 1", chunked + "10000000000000001\r\nx\r\n" + last, ChunkSize},
      {"a size ends with a line feed", chunked + "1\nx\r\n" + last, LineBreak},
      {"a chunk longer than its size", chunked + "1\r\nxy\r\n" + last, ChunkEnd},
      {"a chunk ends with a line feed", chunked + "1\r\nx\n" + last, ChunkEnd},
      {"something behind a size", chunked + "1 x\r\nx\r\n" + last, ChunkSize},
      {"a carriage return in an extension", chunked + "1;a\rb\r\nx\r\n" + last, ControlCharacter},
      {"an extension of 4 kB", chunked + "1;" + times(4096, "a") + "\r\nx\r\n" + last, ChunkLine},
      {"a trailer without a colon", chunked + "0\r\nabc\r\n\r\n", NoColon},
      // Cut short.
      {"cut in a body", ok + "Content-Length: 9\r\n\r\nabc"},
      {"cut in a chunk", chunked + "5\r\nab"},
      {"cut before the last line", chunked + "0\r\n"},
      {"cut in the head", ok + "Content-Le"},
      // Over the limits.
      {"a head of 70 kB", ok + "A: " + times(70'000, "x") + "\r\n\r\n", HeadBytes},
      {"201 header lines", ok + times(201, "A: b\r\n") + none, HeadLines},
      {"nine interim heads", times(9, "HTTP/1.1 100 Continue\r\n\r\n") + ok + none, InterimHeads},
      // Beyond the well-known ones.
      {"nothing"},
      {"cut in the status line", "HTTP/1.1 20"},
      {"cut behind the head", chunked},
      {"cut behind a chunk", chunked + "1\r\nx"},
      {"cut in an interim head", "HTTP/1.1 100 Continue\r\n"},
      {"cut behind an interim head", "HTTP/1.1 100 Continue\r\n\r\n"},
      {"another protocol", "SSH-2.0-OpenSSH_9.2", NotHttp},
      {"a TLS alert", "\x15\x03\x01\x02\x02\x16", NotHttp},
      {"HTTP/0.9", "<html></html>", NotHttp},
      {"lower case", "http/1.1 200 OK\r\n" + none, NotHttp},
      {"HTTP/1.2", "HTTP/1.2 200 OK\r\n" + none, NotHttp},
      {"two blanks before the status", "HTTP/1.1  200 OK\r\n" + none, NoStatus},
      {"a tab before the status", "HTTP/1.1\t200 OK\r\n" + none, NotHttp},
      {"no status", "HTTP/1.1\r\n" + none, NotHttp},
      {"a status with a letter", "HTTP/1.1 2x0 OK\r\n" + none, NoStatus},
      {"status 099", "HTTP/1.1 099 X\r\n" + none, NoStatus},
      {"status 600", "HTTP/1.1 600 X\r\n" + none, NoStatus},
      {"NUL in a reason", "HTTP/1.1 200 O" + nul + "K\r\n" + none, ControlCharacter},
      {"a carriage return more", "HTTP/1.1 200 OK\r\r\n" + none, ControlCharacter},
      {"a blank header line", ok + " \r\n" + none, FoldedLine},
      {"a folded line first", ok + "\tA: b\r\n" + none, FoldedLine},
      {"DEL in a value", ok + "A: 0123456\x7f\r\n" + none, ControlCharacter},
      {"a control character in a name", ok + "A\x01: b\r\n" + none, ControlCharacter},
      {"a name of bytes over 127", ok + "A\xc3\xa4: b\r\n" + none, FieldName},
      {"a tab before the colon", ok + "Connection\t: close\r\n" + none, FieldName},
      {"length with a letter", ok + "Content-Length: 3x\r\n\r\nabc", ContentLength},
      {"length with a blank", ok + "Content-Length: 1 2\r\n\r\nabc", ContentLength},
      {"length of 2^63", ok + "Content-Length: 9223372036854775808\r\n\r\nabc", ContentLength},
      {"no encoding", ok + "Transfer-Encoding: \r\n\r\n" + last, TransferEncoding},
      {"chunked with a parameter", ok + "Transfer-Encoding: chunked;a=b\r\n\r\n" + last, TransferEncoding},
      {"chunked with a comma", ok + "Transfer-Encoding: chunked,\r\n\r\n" + last, TransferEncoding},
      {"both lengths in an interim head", "HTTP/1.1 100 C\r\n" + te + none + ok + none, TwoLengths},
      {"a blank behind a size", chunked + "1 \r\nx\r\n" + last, ChunkSize},
      {"a blank before a size", chunked + " 1\r\nx\r\n" + last, ChunkSize},
      {"a chunk ends with a carriage return", chunked + "1\r\nx\rx" + last, ChunkEnd},
      {"a chunk shorter than its size", chunked + "3\r\nx\r\n" + last, ChunkEnd},
      {"a folded trailer", chunked + "0\r\nA: b\r\n c\r\n\r\n", FoldedLine},
      {"NUL in a trailer", chunked + "0\r\nA: " + nul + "\r\n\r\n", ControlCharacter},
  };
}

// What a parser told of an answer.
struct Told {
  std::string log{};  // "head ", then "body " once for all parts of it
  int status = 0;
  runtime::HeaderList headers{};
  std::string body{};
  bool has_begun = false, has_line = false, is_complete = false, keeps_connection = false;
  std::optional<ParseFault> fault{};
  std::size_t unasked = 0;  // of a complete answer
  bool operator==(const Told&) const = default;
};

class Recorder final : public ResponseEvents {
 public:
  void on_head(runtime::AnswerHead head) override {
    told.log.append("head ");
    told.status = head.status;
    told.headers = head.headers.list();
    if (stops_in != nullptr) stops_in->stop();
  }
  void on_body(std::span<char> bytes) override {
    if (bytes.empty()) told.log.append("empty ");
    if (!told.log.ends_with("body ")) told.log.append("body ");
    told.body.append(bytes.data(), bytes.size());
    std::fill(bytes.begin(), bytes.end(), '\0');  // the receiver may write there
    if (stops_in != nullptr) stops_in->stop();
  }

  Told told{};
  ResponseParser* stops_in = nullptr;  // stop() in every event
};

// Feeds pieces, each from memory of its own size, so that a read behind it is seen, and ends the input.
class ParserRun {
 public:
  explicit ParserRun(HeadLimits limits = {}) : parser(limits) {}

  void feed(std::string_view piece) {
    const std::unique_ptr<char[]> memory(new char[piece.size()]);
    piece.copy(memory.get(), piece.size());
    const std::size_t taken = parser.feed({memory.get(), piece.size()}, recorder);
    unasked_ += piece.size() - taken;
  }
  Told end() {
    parser.end_of_input();
    Told told = recorder.told;
    told.has_begun = parser.has_begun();
    told.has_line = parser.has_line();
    told.is_complete = parser.is_complete();
    told.keeps_connection = told.is_complete && parser.keeps_connection();
    told.fault = parser.fault();
    told.unasked = told.is_complete ? unasked_ : 0;
    return told;
  }

  ResponseParser parser;
  Recorder recorder;

 private:
  std::size_t unasked_ = 0;
};

inline Told read_whole(std::string_view bytes, HeadLimits limits = {}) {
  ParserRun run(limits);
  run.feed(bytes);
  return run.end();
}
inline Told read_bytewise(std::string_view bytes, HeadLimits limits = {}) {
  ParserRun run(limits);
  for (std::size_t i = 0; i < bytes.size(); ++i) run.feed(bytes.substr(i, 1));
  return run.end();
}

}  // namespace orchestra::http
