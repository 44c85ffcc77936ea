#include "http/response_head.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace orchestra::http {
namespace {

using Progress = ResponseHead::Progress;
using testing::ElementsAre;
using testing::Pair;

TEST(ResponseHead, gathers_status_and_headers_as_they_came) {
  ResponseHead head({});
  EXPECT_EQ(head.add("HTTP/1.1 429 Too Many Requests\r\n"), Progress::More);
  EXPECT_EQ(head.add("Retry-After:  3 \r\n"), Progress::More);
  EXPECT_EQ(head.add("X-Empty:\r\n"), Progress::More);
  EXPECT_EQ(head.add("a:b:c\n"), Progress::More);
  EXPECT_EQ(head.add("\r\n"), Progress::Complete);
  EXPECT_EQ(head.status(), 429);
  EXPECT_THAT(head.take().headers.list(), ElementsAre(Pair("Retry-After", "3"), Pair("X-Empty", ""), Pair("a", "b:c")));
}

TEST(ResponseHead, leaves_out_interim_heads) {
  ResponseHead head({});
  EXPECT_EQ(head.add("HTTP/1.1 103 Early Hints\r\n"), Progress::More);
  EXPECT_EQ(head.add("Link: x\r\n"), Progress::More);
  EXPECT_EQ(head.add("\r\n"), Progress::More);
  EXPECT_EQ(head.add("HTTP/1.1 200\r\n"), Progress::More);
  EXPECT_EQ(head.add("\r\n"), Progress::Complete);
  EXPECT_EQ(head.status(), 200);
  EXPECT_TRUE(head.take().headers.empty());
}

TEST(ResponseHead, joins_a_folded_line_to_its_value) {
  ResponseHead head({});
  for (const char* line : {"HTTP/1.1 200 OK\r\n", "A: one\r\n", "  two\r\n"}) EXPECT_EQ(head.add(line), Progress::More);
  EXPECT_EQ(head.add("\r\n"), Progress::Complete);
  EXPECT_THAT(head.take().headers.list(), ElementsAre(Pair("A", "one two")));
}

TEST(ResponseHead, takes_as_many_lines_and_bytes_as_the_limits_say_and_no_more) {
  const std::string status = "HTTP/1.1 200 OK\r\n";
  ResponseHead lines({.bytes = 10'000, .lines = 3});
  EXPECT_EQ(lines.add(status), Progress::More);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(lines.add("a: b\r\n"), Progress::More);
  EXPECT_EQ(lines.add("a: b\r\n"), Progress::Malformed);
  EXPECT_EQ(lines.fault(), "the head of the answer is over the limit `head_lines` of 3");

  ResponseHead bytes({.bytes = status.size() + 6, .lines = 3});
  EXPECT_EQ(bytes.add(status), Progress::More);
  EXPECT_EQ(bytes.add("a: b\r\n"), Progress::More);
  EXPECT_EQ(bytes.add("\r\n"), Progress::Malformed);
  EXPECT_EQ(bytes.fault(), "the head of the answer is over the limit `head_bytes` of 23");
}

TEST(ResponseHead, bounds_endless_interim_heads) {
  ResponseHead head({});
  Progress progress = Progress::More;
  for (int i = 0; i < 10'000 && progress == Progress::More; ++i) {
    progress = head.add(i % 2 == 0 ? "HTTP/1.1 100 Continue\r\n" : "\r\n");
  }
  EXPECT_EQ(progress, Progress::Malformed);
}

TEST(ResponseHead, refuses_what_is_no_head) {
  for (const char* line : {"HTTP/1.1\r\n", "HTTP/1.1 20\r\n", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1 099 \r\n", "SSH-2.0\r\n",
                           "HTTP/1.1 101 Switching Protocols\r\n"}) {
    ResponseHead head({});
    EXPECT_EQ(head.add(line), Progress::Malformed) << line;
    EXPECT_FALSE(head.fault().empty());
  }
  ResponseHead head({});
  EXPECT_EQ(head.add("HTTP/1.1 200 OK\r\n"), Progress::More);
  EXPECT_EQ(head.add("no colon\r\n"), Progress::Malformed);
}

TEST(ResponseHead, reads_lengths_strictly) {
  const auto takes = [](std::vector<std::string> lines) {
    ResponseHead head({});
    Progress progress = head.add("HTTP/1.1 200 OK\r\n");
    for (const std::string& line : lines) progress = head.add(line + "\r\n");
    return progress == Progress::More;
  };
  EXPECT_TRUE(takes({"Content-Length: 9223372036854775807"}));
  EXPECT_TRUE(takes({"content-length:  7 ", "CONTENT-LENGTH: 07"}));
  EXPECT_TRUE(takes({"Content-Lengths: x"}));
  EXPECT_FALSE(takes({"Content-Length: 9223372036854775808"}));
  EXPECT_FALSE(takes({"Content-Length: 7", "Content-Length: 8"}));
  for (const char* value : {"", "-0", "+7", "7,7", "7 7", "0x7", "7a"}) {
    EXPECT_FALSE(takes({std::string("Content-Length: ") + value})) << value;
  }
}

TEST(ResponseHead, a_length_of_an_interim_head_is_none_of_the_answer) {
  ResponseHead head({});
  for (const char* line : {"HTTP/1.1 103 Early Hints", "Content-Length: 7", "", "HTTP/1.1 200 OK"}) head.add(line);
  EXPECT_EQ(head.add("Content-Length: 8"), Progress::More);
}

TEST(ResponseHead, drops_trailers) {
  ResponseHead head({.bytes = 1000, .lines = 2});
  head.add("HTTP/1.1 200 OK\r\n");
  EXPECT_EQ(head.add("\r\n"), Progress::Complete);
  EXPECT_EQ(head.add("x-checksum: 1\r\n"), Progress::More);
  EXPECT_EQ(head.add("\r\n"), Progress::More);
  EXPECT_TRUE(head.take().headers.empty());
}

}  // namespace
}  // namespace orchestra::http
