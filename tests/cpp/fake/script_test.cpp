#include "fake/script.hpp"

#include <gtest/gtest.h>

namespace orchestra::fake {
namespace {

using std::string;

Result<std::vector<ScriptItem>> read(string text) {
  json::Document document;
  EXPECT_FALSE(document.parse(std::move(text)));
  return read_script(document.root());
}

string problem(string text) {
  const auto items = read(std::move(text));
  if (items) return "";
  EXPECT_EQ(items.error().kind, chat::ErrorKind::Config);
  return items.error().message;
}

TEST(Script, reads_texts_faults_and_replies_in_order) {
  const auto items = read(R"(["one", {"fault": {"kind": "cut", "after_events": 2}}, {"text": "two"}])");
  ASSERT_TRUE(items) << items.error().message;
  ASSERT_EQ(items->size(), 3u);
  EXPECT_EQ(std::get<ScriptedReply>((*items)[0]).text, "one");
  EXPECT_EQ(std::get<Fault>((*items)[1]).after_events, 2u);
  EXPECT_EQ(std::get<ScriptedReply>((*items)[2]).text, "two");
}

TEST(Script, reads_everything_that_a_reply_can_say) {
  const auto items = read(R"([{"text": "t", "reasoning": "r", "finish_reason": "length",
      "usage": {"input_tokens": 5, "output_tokens": 0, "cached_tokens": 1, "cache_write_tokens": 2, "reasoning_tokens": 3},
      "tool_calls": [{"id": "c1", "name": "f", "arguments": {"a": [1]}}, {"name": "g", "arguments": "{broken"},
                     {"name": "h"}]}])");
  ASSERT_TRUE(items) << items.error().message;
  const auto& reply = std::get<ScriptedReply>(items->front());
  EXPECT_EQ(reply.reasoning, "r");
  EXPECT_EQ(reply.finish, chat::Finish::Length);
  ASSERT_EQ(reply.tool_calls.size(), 3u);
  EXPECT_EQ(reply.tool_calls[0].arguments, R"({"a": [1]})");
  EXPECT_EQ(reply.tool_calls[1].arguments, "{broken");
  EXPECT_EQ(reply.tool_calls[2].arguments, "{}");
  ASSERT_TRUE(reply.usage);
  EXPECT_EQ(reply.usage->input_tokens, 5);
  EXPECT_EQ(reply.usage->output_tokens, 0);
  EXPECT_EQ(reply.usage->cache_write_tokens, 2);
  EXPECT_EQ(reply.usage->reasoning_tokens, 3);
}

TEST(Script, the_finish_follows_from_what_is_there) {
  const auto items = read(R"([{"tool_calls": [{"name": "f"}]}, {"refusal": "no"}, {}])");
  ASSERT_TRUE(items) << items.error().message;
  EXPECT_EQ(std::get<ScriptedReply>((*items)[0]).finish, chat::Finish::ToolCalls);
  EXPECT_EQ(std::get<ScriptedReply>((*items)[1]).finish, chat::Finish::Refusal);
  EXPECT_EQ(std::get<ScriptedReply>((*items)[2]).finish, chat::Finish::Stop);
}

TEST(Script, usage_null_reports_none_and_no_usage_is_counted) {
  const auto items = read(R"([{"usage": null}, {}])");
  ASSERT_TRUE(items) << items.error().message;
  EXPECT_TRUE(std::get<ScriptedReply>((*items)[0]).usage);
  EXPECT_FALSE(std::get<ScriptedReply>((*items)[1]).usage);
}

TEST(Script, tells_the_path_of_what_is_wrong) {
  EXPECT_EQ(problem(R"(["ok", {"txt": "x"}])"),
            "script[1].txt: unknown key; known are text, tool_calls, finish_reason, usage, reasoning, refusal");
  EXPECT_EQ(problem("[1]"), "script[0]: a text, a Fault or an object like a Reply is needed");
  EXPECT_EQ(problem(R"([{"text": 1}])"), "script[0].text: a string is needed");
  EXPECT_EQ(problem(R"([{"finish_reason": "end"}])"),
            "script[0].finish_reason: one of stop, length, tool_calls, content_filter, refusal, other is needed");
  EXPECT_EQ(problem(R"([{"usage": {"tokens": 1}}])"), "script[0].usage.tokens: unknown key");
  EXPECT_EQ(problem(R"([{"usage": {"input_tokens": -1}}])"),
            "script[0].usage.input_tokens: a whole number of 0 or more is needed");
  EXPECT_EQ(problem(R"([{"tool_calls": [{"id": "x"}]}])"), "script[0].tool_calls[0].name: is needed");
  EXPECT_EQ(problem(R"([{"tool_calls": [{"name": "f", "arguments": 1}]}])"),
            "script[0].tool_calls[0].arguments: an object or a string is needed");
  EXPECT_EQ(problem(R"([{"tool_calls": [{"function": {}}]}])"), "script[0].tool_calls[0].function: unknown key");
  EXPECT_EQ(problem("{}"), "script: a list is needed");
}

TEST(Fault, wrong_arguments_are_told_with_their_path) {
  const auto fault = [](const string& text) { return problem(R"([{"fault": )" + text + "}]"); };
  EXPECT_EQ(fault(R"({"kind": "explode"})"), "script[0]: no such fault");
  EXPECT_EQ(fault(R"({"kind": "status"})"), "script[0].code: is needed");
  EXPECT_EQ(fault(R"({"kind": "status", "code": 200})"), "script[0].code: a status from 300 to 599 is needed");
  EXPECT_EQ(fault(R"({"kind": "status", "code": 600})"), "script[0].code: a status from 300 to 599 is needed");
  EXPECT_EQ(fault(R"({"kind": "status", "code": 500, "retry_after": -1})"),
            "script[0].retry_after: a number of 0 or more is needed");
  EXPECT_EQ(fault(R"({"kind": "drip", "bytes": 0})"), "script[0].bytes: a whole number of 1 or more is needed");
  EXPECT_EQ(fault(R"({"kind": "drip", "every": 0})"), "script[0].every: a whole number of 1 or more is needed");
  EXPECT_EQ(fault(R"({"kind": "drip", "times": true})"), "script[0].times: a whole number of 1 or more is needed");
  EXPECT_EQ(fault(R"({"kind": "cut", "after_events": 1.5})"),
            "script[0].after_events: a whole number of 0 or more is needed");
  EXPECT_EQ(fault(R"({"kind": "stall"})"), "script[0].seconds: is needed");
  EXPECT_EQ(fault(R"({"kind": "garbage", "seconds": 1})"), "script[0].seconds: unknown key");
  EXPECT_EQ(fault(R"({"kind": "garbage", "every": null, "times": 2})"), "");
}

}  // namespace
}  // namespace orchestra::fake
