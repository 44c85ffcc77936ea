#include "protocol/framing/sse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace orchestra::protocol {
namespace {

using ::testing::ElementsAre;
using Events = std::vector<std::pair<std::string, std::string>>;

// All events of a body that is fed in pieces of `size` bytes.
Events read(std::string_view body, std::size_t size) {
  SseParser parser(100, 200);
  Events out;
  SseEvent event;
  for (std::size_t at = 0; at < body.size(); at += size) {
    const std::string piece(body.substr(at, size));
    parser.feed(piece);
    while (parser.next(event) == SseParser::Step::Event) out.emplace_back(event.name, event.data);
  }
  while (parser.end(event) == SseParser::Step::Event) out.emplace_back(event.name, event.data);
  return out;
}

Events read_in_every_cutting(std::string_view body) {
  const Events whole = read(body, body.size());
  for (std::size_t size = 1; size < body.size(); ++size) EXPECT_EQ(read(body, size), whole) << "pieces of " << size;
  return whole;
}

SseParser::Step last_step(std::string_view body, std::size_t size) {
  SseParser parser(100, 200);
  SseEvent event;
  for (std::size_t at = 0; at < body.size(); at += size) {
    parser.feed(body.substr(at, size));
    SseParser::Step step = SseParser::Step::Event;
    while (step == SseParser::Step::Event) step = parser.next(event);
    if (step != SseParser::Step::NeedBytes) return step;
  }
  return SseParser::Step::NeedBytes;
}

TEST(SseParser, reads_the_three_line_endings) {
  for (const std::string ending : {"\n", "\r\n", "\r"}) {
    const std::string body = "data: a" + ending + ending + "data: b" + ending + ending;
    EXPECT_THAT(read_in_every_cutting(body), ElementsAre(std::pair("", "a"), std::pair("", "b"))) << ending.size();
  }
}

TEST(SseParser, mixes_line_endings_in_one_body) {
  EXPECT_THAT(read_in_every_cutting("data: a\r\n\rdata: b\n\r\ndata: c\r\r"),
              ElementsAre(std::pair("", "a"), std::pair("", "b"), std::pair("", "c")));
}

TEST(SseParser, skips_comments_blank_lines_and_fields_that_nobody_knows) {
  EXPECT_THAT(read_in_every_cutting("\n\n: keepalive\n\n:\n\nid: 7\nretry: 3\ncolor: red\ndata: x\n\n\n"),
              ElementsAre(std::pair("", "x")));
}

TEST(SseParser, joins_the_data_lines_of_one_event) {
  EXPECT_THAT(read_in_every_cutting("event: e\ndata: a\ndata\ndata:b\n\n"), ElementsAre(std::pair("e", "a\n\nb")));
}

TEST(SseParser, gives_a_name_to_its_own_event_only) {
  EXPECT_THAT(read_in_every_cutting("event: one\ndata: a\n\ndata: b\n\nevent: lost\n\ndata: c\n\n"),
              ElementsAre(std::pair("one", "a"), std::pair("", "b"), std::pair("", "c")));
}

TEST(SseParser, removes_one_space_behind_the_colon) {
  EXPECT_THAT(read_in_every_cutting("data:  a\n\ndata:b\n\n"), ElementsAre(std::pair("", " a"), std::pair("", "b")));
}

TEST(SseParser, flushes_the_last_event_without_blank_line_or_line_ending) {
  EXPECT_THAT(read_in_every_cutting("data: a\n\ndata: b\n"), ElementsAre(std::pair("", "a"), std::pair("", "b")));
  EXPECT_THAT(read_in_every_cutting("data: a\n\ndata: b"), ElementsAre(std::pair("", "a"), std::pair("", "b")));
}

TEST(SseParser, skips_a_byte_order_mark) {
  EXPECT_THAT(read_in_every_cutting("\xEF\xBB\xBF"
                                    "data: a\n\n"),
              ElementsAre(std::pair("", "a")));
}

TEST(SseParser, hands_out_no_event_without_data) {
  EXPECT_TRUE(read_in_every_cutting("event: e\n\ndata:\n\n").empty());
}

TEST(SseParser, hands_out_an_event_that_lies_whole_in_the_bytes_in_place) {
  SseParser parser(100, 200);
  const std::string body = "data: abc\n\n";
  parser.feed(body);
  SseEvent event;
  ASSERT_EQ(parser.next(event), SseParser::Step::Event);
  EXPECT_EQ(event.data.data(), body.data() + 6);
}

TEST(SseParser, refuses_a_line_above_its_limit_complete_or_not) {
  const std::string fits = "data: " + std::string(94, 'x'), longer = fits + "x";
  for (const std::size_t size : {1, 7, 1000}) {
    EXPECT_EQ(last_step(fits + "\n", size), SseParser::Step::NeedBytes) << size;
    EXPECT_EQ(last_step(longer + "\n", size), SseParser::Step::LineTooLong) << size;
    EXPECT_EQ(last_step(longer, size), SseParser::Step::LineTooLong) << size;
  }
}

TEST(SseParser, refuses_an_event_above_its_limit) {
  const std::string line = "data: " + std::string(66, 'x') + "\n";
  for (const std::size_t size : {1, 7, 1000}) {
    EXPECT_EQ(last_step(line + line + line + "\n", size), SseParser::Step::NeedBytes) << size;  // 3 * 66 + 2 == 200
    EXPECT_EQ(last_step(line + line + line + "data: \n\n", size), SseParser::Step::EventTooLong) << size;
  }
}

}  // namespace
}  // namespace orchestra::protocol
