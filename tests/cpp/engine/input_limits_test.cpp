#include "engine/input_limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace orchestra::engine {
namespace {

Result<InputLimits> read(const std::string& json) {
  json::Document document;
  EXPECT_FALSE(document.parse(json)) << json;
  return read_input_limits(document.root()["limits"], "input_limits");
}

std::string problem(const std::string& json) {
  const auto limits = read(json);
  EXPECT_FALSE(limits) << json;
  if (limits) return "";
  EXPECT_EQ(limits.error().kind, chat::ErrorKind::Config);
  return limits.error().message;
}

TEST(InputLimits, keep_their_defaults_when_they_are_left_out) {
  for (const char* json : {"{}", R"({"limits": null})", R"({"limits": {}})", R"({"limits": {"body": null}})"}) {
    const auto limits = read(json);
    ASSERT_TRUE(limits);
    EXPECT_EQ(limits->head.bytes, 64u << 10);
    EXPECT_EQ(limits->head.lines, 128u);
    EXPECT_EQ(limits->head.decompression_ratio, 100u);
    EXPECT_EQ(limits->reply.body, 64u << 20);
    EXPECT_EQ(limits->reply.json_depth, 128u);
  }
}

TEST(InputLimits, are_read_each_by_its_name) {
  const auto limits = read(
      R"({"limits": {"head_bytes": 1, "head_lines": 2, "body": 3, "decompression_ratio": 4, "line": 5, "event": 6,
          "text": 7, "json_depth": 8, "tool_calls": 9, "request": 10}})");
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->head.bytes, 1u);
  EXPECT_EQ(limits->head.lines, 2u);
  EXPECT_EQ(limits->reply.body, 3u);
  EXPECT_EQ(limits->head.decompression_ratio, 4u);
  EXPECT_EQ(limits->reply.line, 5u);
  EXPECT_EQ(limits->reply.event, 6u);
  EXPECT_EQ(limits->reply.text, 7u);
  EXPECT_EQ(limits->reply.json_depth, 8u);
  EXPECT_EQ(limits->reply.tool_calls, 9u);
  EXPECT_EQ(limits->reply.request, 10u);
}

TEST(InputLimits, say_what_is_wrong_and_where) {
  EXPECT_EQ(problem(R"({"limits": {"bodi": 3}})"), "input_limits.bodi: unknown key; did you mean \"body\"?");
  EXPECT_EQ(problem(R"({"limits": {"body": 0}})"), "input_limits.body: must be at least 1");
  EXPECT_EQ(problem(R"({"limits": {"body": -1}})"), "input_limits.body: must be at least 1");
  EXPECT_EQ(problem(R"({"limits": {"line": "8 MB"}})"), "input_limits.line: must be a whole number");
  EXPECT_EQ(problem(R"({"limits": {"line": true}})"), "input_limits.line: must be a whole number");
  EXPECT_EQ(problem(R"({"limits": {"json_depth": 1001}})"), "input_limits.json_depth: must be at most 1000");
  EXPECT_EQ(problem(R"({"limits": {"head_bytes": 102401}})"), "input_limits.head_bytes: must be at most 102400");
  EXPECT_EQ(problem(R"({"limits": 7})"), "input_limits: must be an object");
  EXPECT_TRUE(read(R"({"limits": {"json_depth": 1000, "head_bytes": 102400, "body": 536870911}})"));
}

}  // namespace
}  // namespace orchestra::engine
