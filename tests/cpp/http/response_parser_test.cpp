#include "http/response_parser.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "http/response_samples.hpp"

namespace orchestra::http {
namespace {

std::string repeated(std::size_t count, std::string_view text) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) all.append(text);
  return all;
}

TEST(ResponseParser, reads_good_answers) {
  for (const GoodAnswer& answer : good_answers()) {
    SCOPED_TRACE(answer.name);
    const Told told = read_whole(answer.bytes);
    EXPECT_TRUE(told.is_complete);
    EXPECT_EQ(told.fault, std::nullopt);
    EXPECT_TRUE(told.has_begun && told.has_line);
    EXPECT_EQ(told.log, answer.body.empty() ? "head " : "head body ");
    EXPECT_EQ(told.status, answer.status);
    EXPECT_EQ(told.headers, answer.headers);
    EXPECT_EQ(told.body, answer.body);
    EXPECT_EQ(told.keeps_connection, answer.keeps_connection);
    EXPECT_EQ(told.unasked, answer.unasked.size());
  }
}

TEST(ResponseParser, ends_a_body_by_the_close_only_where_nothing_else_ends_it) {
  for (const GoodAnswer& answer : good_answers()) {
    SCOPED_TRACE(answer.name);
    ParserRun run;
    run.feed(answer.bytes);
    EXPECT_EQ(run.parser.is_complete(), !answer.ends_by_close);
    EXPECT_TRUE(run.end().is_complete);
  }
}

TEST(ResponseParser, refuses_malformed_answers) {
  const std::vector<BadAnswer> answers = bad_answers();
  for (const BadAnswer& answer : answers) {
    SCOPED_TRACE(answer.name);
    const Told told = read_whole(answer.bytes);
    EXPECT_FALSE(told.is_complete);
    EXPECT_EQ(told.fault, answer.fault);
    EXPECT_EQ(told.has_begun, !answer.bytes.empty());
  }
  EXPECT_GE(answers.size(), 49u);
}

TEST(ResponseParser, says_what_is_wrong_in_words_of_its_own) {
  std::vector<std::string> texts;
  for (const BadAnswer& answer : bad_answers()) {
    if (!answer.fault) continue;
    const std::string text(fault_text(*answer.fault));
    EXPECT_THAT(text, testing::HasSubstr("answer"));
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
  }
  EXPECT_EQ(texts.size(), 17u);
}

TEST(ResponseParser, names_the_limit_that_was_passed) {
  const auto message = [](std::string_view bytes) {
    ParserRun run({.bytes = 30, .lines = 2});
    run.feed(bytes);
    return run.parser.fault_message();
  };
  EXPECT_EQ(message(kOkLine + "A:\r\nB:\r\nC:\r\n"), "the head of the answer is over the limit `head_lines` of 2");
  EXPECT_EQ(message(kOkLine + "A: 012345678901"), "the head of the answer is over the limit `head_bytes` of 30");
  EXPECT_EQ(message("SSH-2.0"), "the answer is not HTTP/1.1 or 1.0");
  EXPECT_EQ(message(kOkLine), "");
}

TEST(ResponseParser, tells_the_same_however_the_bytes_are_cut) {
  const auto check = [](std::string_view name, std::string_view bytes) {
    SCOPED_TRACE(name);
    const Told whole = read_whole(bytes);
    EXPECT_EQ(read_bytewise(bytes), whole);
    const std::size_t step = bytes.size() > 1000 ? 97 : 1;
    for (std::size_t at = 0; at <= bytes.size(); at += step) {
      ParserRun run;
      run.feed(bytes.substr(0, at));
      run.feed(bytes.substr(at));
      ASSERT_EQ(run.end(), whole) << "cut at " << at;
    }
  };
  for (const GoodAnswer& answer : good_answers()) check(answer.name, answer.bytes);
  for (const BadAnswer& answer : bad_answers()) check(answer.name, answer.bytes);
}

TEST(ResponseParser, tells_the_same_of_every_three_pieces) {
  for (const GoodAnswer& answer : good_answers()) {
    SCOPED_TRACE(answer.name);
    const std::string_view bytes = answer.bytes;
    const Told whole = read_whole(bytes);
    for (std::size_t first = 0; first <= bytes.size(); ++first) {
      for (std::size_t second = first; second <= bytes.size(); second += 1 + bytes.size() / 80) {
        ParserRun run;
        run.feed(bytes.substr(0, first));
        run.feed(bytes.substr(first, second - first));
        run.feed(bytes.substr(second));
        ASSERT_EQ(run.end(), whole) << "cut at " << first << " and " << second;
      }
    }
  }
}

TEST(ResponseParser, joins_chunks_of_any_size_from_pieces_of_any_size) {
  std::mt19937 random(20261201);
  const auto below = [&](std::size_t bound) { return random() % bound; };
  constexpr std::string_view kHex = "0123456789abcdefABCDEF";
  for (int round = 0; round < 20'000; ++round) {
    std::string body, bytes = kChunkedHead;
    for (std::size_t chunks = below(6); chunks > 0; --chunks) {
      std::string chunk(1 + below(round % 3 == 0 ? 70 : 6), 'x');
      for (char& c : chunk) c = "\r\n0;a"[below(5)];
      if (chunk.size() >= 16) bytes.push_back(kHex[chunk.size() / 16]);
      const std::size_t low = chunk.size() % 16;
      bytes.push_back(kHex[low >= 10 && below(2) == 0 ? low + 6 : low]);
      if (below(4) == 0) bytes.append(";x=y");
      bytes.append("\r\n").append(chunk).append("\r\n");
      body.append(chunk);
    }
    bytes.append(below(2) == 0 ? "0\r\n\r\n" : "0\r\nA: b\r\n\r\n");
    ParserRun run;
    for (std::string_view rest = bytes; !rest.empty();) {
      const std::size_t size = std::min(rest.size(), 1 + below(round % 2 == 0 ? 7 : 90));
      run.feed(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    const Told told = run.end();
    ASSERT_TRUE(told.is_complete) << bytes;
    ASSERT_EQ(told.body, body);
    ASSERT_EQ(told.unasked, 0u);
  }
}

TEST(ResponseParser, hands_the_body_up_in_place) {
  class Places final : public ResponseEvents {
   public:
    void on_head(runtime::AnswerHead /*head*/) override {}
    void on_body(std::span<char> bytes) override { parts.push_back(bytes); }
    std::vector<std::span<char>> parts;
  };
  std::string bytes = kChunkedHead + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  Places places;
  ResponseParser parser({});
  EXPECT_EQ(parser.feed(bytes, places), bytes.size());
  ASSERT_EQ(places.parts.size(), 2u);
  EXPECT_EQ(places.parts[0].data(), bytes.data() + bytes.find("abc"));
  EXPECT_EQ(places.parts[1].data(), bytes.data() + bytes.find("de"));
}

TEST(ResponseParser, stops_after_an_event_and_goes_on_with_the_rest) {
  for (const GoodAnswer& answer : good_answers()) {
    SCOPED_TRACE(answer.name);
    const Told whole = read_whole(answer.bytes);
    ParserRun run;
    run.recorder.stops_in = &run.parser;
    std::string bytes = answer.bytes;
    std::size_t at = 0, calls = 0, parts = 0;
    for (std::size_t taken = 1; taken > 0; at += taken, ++calls) {
      const Told before = run.recorder.told;
      taken = run.parser.feed({bytes.data() + at, bytes.size() - at}, run.recorder);
      const bool new_head = run.recorder.told.status != before.status;
      const bool new_body = run.recorder.told.body.size() != before.body.size();
      EXPECT_FALSE(new_head && new_body);
      if (new_body) ++parts;
    }
    Told told = run.end();
    told.unasked = told.is_complete ? bytes.size() - at : 0;
    EXPECT_EQ(told, whole);
    EXPECT_GE(calls, 1 + parts);
  }
}

TEST(ResponseParser, takes_nothing_behind_the_event_that_stopped_it) {
  std::string bytes = kChunkedHead + "1\r\nx\r\n0\r\n\r\n";
  ParserRun run;
  run.recorder.stops_in = &run.parser;
  EXPECT_EQ(run.parser.feed(bytes, run.recorder), kChunkedHead.size());
  EXPECT_TRUE(run.parser.has_head());
  EXPECT_EQ(run.parser.feed(std::span(bytes).subspan(kChunkedHead.size()), run.recorder), 4u);
  EXPECT_FALSE(run.parser.is_complete());
  EXPECT_EQ(run.parser.feed(std::span(bytes).subspan(kChunkedHead.size() + 4), run.recorder), 7u);
  EXPECT_TRUE(run.parser.is_complete());
}

TEST(ResponseParser, knows_how_far_an_answer_came) {
  ParserRun run;
  EXPECT_FALSE(run.parser.has_begun());
  run.feed("HTTP/1.1 100 Continue\r");
  EXPECT_TRUE(run.parser.has_begun());
  EXPECT_FALSE(run.parser.has_line());
  run.feed("\n");
  EXPECT_TRUE(run.parser.has_line());
  run.feed("\r\n" + kOkLine + "Content-Length: 1\r\n\r");
  EXPECT_FALSE(run.parser.has_head());
  run.feed("\n");
  EXPECT_TRUE(run.parser.has_head());
  EXPECT_FALSE(run.parser.is_complete());
  run.feed("x");
  EXPECT_TRUE(run.parser.is_complete());
}

TEST(ResponseParser, takes_nothing_more_once_it_is_done) {
  ParserRun run;
  run.feed(kOkLine + "Content-Length: 0\r\n\r\n");
  std::string more = kOkLine;
  EXPECT_EQ(run.parser.feed(more, run.recorder), 0u);
  ParserRun refused;
  refused.feed("x");
  EXPECT_EQ(refused.parser.feed(more, refused.recorder), 0u);
  EXPECT_EQ(refused.parser.fault(), ParseFault::NotHttp);
}

TEST(ResponseParser, forgets_the_last_answer) {
  for (const GoodAnswer& first : good_answers()) {
    for (const GoodAnswer& second : good_answers()) {
      ParserRun run;
      run.feed(first.bytes);
      run.parser.reset();
      EXPECT_FALSE(run.parser.has_begun() || run.parser.has_line() || run.parser.has_head());
      run.recorder.told = {};
      run.feed(second.bytes.substr(0, second.bytes.size() - second.unasked.size()));
      Told told = run.end(), wanted = read_whole(second.bytes);
      told.unasked = wanted.unasked = 0;
      EXPECT_EQ(told, wanted) << first.name << ", " << second.name;
    }
  }
  for (const BadAnswer& first : bad_answers()) {
    ParserRun run;
    run.feed(first.bytes);
    run.parser.reset();
    EXPECT_EQ(run.parser.fault(), std::nullopt);
    run.recorder.told = {};
    run.feed(kOkLine + "Content-Length: 0\r\n\r\n");
    EXPECT_TRUE(run.parser.is_complete()) << first.name;
  }
}

TEST(ResponseParser, knows_whether_a_body_is_encoded) {
  ParserRun run;
  const auto is_encoded = [&](const std::string& headers) {
    run.parser.reset();
    run.feed("HTTP/1.1 200 OK\r\n" + headers + "Content-Length: 0\r\n\r\n");
    EXPECT_TRUE(run.parser.is_complete()) << headers;
    return run.parser.is_encoded();
  };
  for (const char* header : {"Content-Encoding: gzip\r\n", "content-encoding:gzip\r\n", "CONTENT-ENCODING: br\r\n"}) {
    EXPECT_TRUE(is_encoded(header)) << header;
    EXPECT_FALSE(is_encoded("")) << "after " << header;
  }
  EXPECT_FALSE(is_encoded("Content-Encodings: gzip\r\n"));
  EXPECT_FALSE(is_encoded("X-Content-Encoding: gzip\r\n"));
  run.parser.reset();
  run.feed("HTTP/1.1 103 Early Hints\r\nContent-Encoding: gzip\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_TRUE(run.parser.is_complete());
  EXPECT_FALSE(run.parser.is_encoded());
}

TEST(ResponseParser, counts_each_answer_by_itself) {
  const std::string bytes = repeated(8, "HTTP/1.1 100 Continue\r\n\r\n") + kOkLine + "Content-Length: 0\r\n\r\n";
  ParserRun run({.bytes = bytes.size(), .lines = 1});
  for (int i = 0; i < 3; ++i) {
    run.parser.reset();
    run.feed(bytes);
    EXPECT_TRUE(run.parser.is_complete());
  }
}

TEST(ResponseParser, closes_when_a_body_was_announced_where_none_can_be) {
  for (const char* headers : {"Content-Length: 2\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"}) {
    for (const char* line : {"HTTP/1.1 204 No Content\r\n", "HTTP/1.1 304 Not Modified\r\n"}) {
      const Told told = read_whole(std::string(line) + headers);
      EXPECT_TRUE(told.is_complete);
      EXPECT_FALSE(told.keeps_connection);
    }
  }
  EXPECT_TRUE(read_whole("HTTP/1.1 304 Not Modified\r\n\r\n").keeps_connection);
}

// The limits: as much as they say, and no byte more; cut or not.

void expect_limit(const std::string& bytes, HeadLimits taken, HeadLimits refused, ParseFault fault) {
  for (const auto read : {read_whole, read_bytewise}) {
    const Told good = read(bytes, taken), bad = read(bytes, refused);
    EXPECT_TRUE(good.is_complete) << (good.fault ? fault_text(*good.fault) : "incomplete");
    EXPECT_FALSE(bad.is_complete);
    EXPECT_EQ(bad.fault, fault);
  }
}

TEST(ResponseParser, counts_the_bytes_of_a_head_up_to_its_empty_line) {
  for (const char* field : {"A: b\r\n", "A:b\r\n", "A: \r\n"}) {
    const std::string head = kOkLine + field + "Content-Length: 5\r\n\r\n";
    expect_limit(head + "hello", {.bytes = head.size()}, {.bytes = head.size() - 1}, ParseFault::HeadBytes);
    expect_limit(head + "hello", {.bytes = head.size()}, {.bytes = kOkLine.size() + 3}, ParseFault::HeadBytes);
    expect_limit(head + "hello", {.bytes = head.size()}, {.bytes = kOkLine.size() - 1}, ParseFault::HeadBytes);
    expect_limit(head + "hello", {.bytes = head.size()}, {.bytes = 0}, ParseFault::HeadBytes);
  }
}

TEST(ResponseParser, counts_the_bytes_of_interim_heads_and_trailers_but_no_chunk) {
  const std::string interim = "HTTP/1.1 100 Continue\r\nA: b\r\n\r\n", trailers = "B: c\r\n\r\n";
  const std::size_t size = interim.size() + kChunkedHead.size() + trailers.size();
  expect_limit(interim + kChunkedHead + "5;extension\r\nhello\r\n0\r\n" + trailers, {.bytes = size},
               {.bytes = size - 1}, ParseFault::HeadBytes);
}

TEST(ResponseParser, counts_the_lines_of_one_head_and_of_the_trailers) {
  const std::string interim = "HTTP/1.1 103 Hints\r\n" + repeated(3, "A: b\r\n") + "\r\n";
  const std::string head = kOkLine + "A: b\r\nA:b\r\nContent-Length: 0\r\n\r\n";
  expect_limit(interim + interim + head, {.lines = 3}, {.lines = 2}, ParseFault::HeadLines);
  expect_limit(kChunkedHead + "0\r\n" + repeated(3, "A: b\r\n") + "\r\n", {.lines = 3}, {.lines = 2},
               ParseFault::HeadLines);
  expect_limit(head, {.lines = 3}, {.lines = 0}, ParseFault::HeadLines);
}

TEST(ResponseParser, takes_64_kB_and_128_lines_unless_told_otherwise) {
  const std::string end = "Content-Length: 0\r\n\r\n";
  EXPECT_TRUE(read_whole(kOkLine + repeated(127, "A: b\r\n") + end).is_complete);
  EXPECT_EQ(read_whole(kOkLine + repeated(128, "A: b\r\n") + end).fault, ParseFault::HeadLines);
  const std::size_t left = 65536 - kOkLine.size() - end.size() - 5;
  EXPECT_TRUE(read_whole(kOkLine + "A: " + std::string(left, 'x') + "\r\n" + end).is_complete);
  EXPECT_EQ(read_whole(kOkLine + "A: " + std::string(left + 1, 'x') + "\r\n" + end).fault, ParseFault::HeadBytes);
}

TEST(ResponseParser, bounds_interim_heads_and_the_lines_of_chunks) {
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n", ok = kOkLine + "Content-Length: 0\r\n\r\n";
  const auto chunk = [](std::size_t line) {
    return kChunkedHead + "1;" + std::string(line - 4, 'a') + "\r\nx\r\n0\r\n\r\n";
  };
  for (const auto read : {read_whole, read_bytewise}) {
    EXPECT_TRUE(read(repeated(8, interim) + ok, {}).is_complete);
    EXPECT_EQ(read(repeated(9, interim) + ok, {}).fault, ParseFault::InterimHeads);
    EXPECT_TRUE(read(chunk(256), {}).is_complete);
    EXPECT_EQ(read(chunk(257), {}).fault, ParseFault::ChunkLine);
  }
}

TEST(ResponseParser, takes_the_largest_numbers_that_can_be_counted) {
  EXPECT_EQ(read_whole(kOkLine + "Content-Length: 9223372036854775799\r\n\r\nabc").body, "abc");
  EXPECT_EQ(read_whole(kChunkedHead + "ffffffffffffffff\r\nabc").body, "abc");
  EXPECT_EQ(read_whole(kChunkedHead + "00000000000000000000000001\r\nx").body, "x");
}

TEST(ResponseParser, refuses_what_is_not_http_at_its_first_wrong_byte) {
  for (std::size_t size = 0; size < 7; ++size) {
    ParserRun run;
    run.feed(std::string_view("HTTP/1.").substr(0, size));
    EXPECT_EQ(run.parser.fault(), std::nullopt);
    run.feed("?");
    EXPECT_EQ(run.parser.fault(), ParseFault::NotHttp);
  }
}

// Every character in a name and in a value, at every place of a word of eight.
TEST(ResponseParser, knows_the_characters_of_names_and_values) {
  constexpr std::string_view kOthersOfNames = "!#$%&'*+-.^_`|~";
  for (int code = 0; code < 256; ++code) {
    const char c = static_cast<char>(code);
    const bool is_word = (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
    const bool of_name = is_word || (code != 0 && kOthersOfNames.find(c) != std::string_view::npos);
    const bool of_value = code == '\t' || (code >= 0x20 && code != 0x7f);
    for (std::size_t place = 0; place < 10; ++place) {
      std::string name(10, 'n'), value(12, 'v');
      name[place] = c;
      value[place + 1] = c;
      const std::string end = "\r\nContent-Length: 0\r\n\r\n";
      // A colon ends the name, and what is left of it begins the value.
      EXPECT_EQ(read_whole(kOkLine + name + ": v" + end).is_complete, of_name || (c == ':' && place > 0))
          << code << " at " << place;
      EXPECT_EQ(read_whole(kOkLine + "Name: " + value + end).is_complete, of_value) << code << " at " << place;
    }
  }
}

}  // namespace
}  // namespace orchestra::http
