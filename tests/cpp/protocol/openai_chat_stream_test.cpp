#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support.hpp"

namespace orchestra::protocol {
namespace {

using chat::ErrorKind;
using chat::Finish;
using testing::decode;
using testing::Decoded;
using ::testing::ElementsAre;
using testing::events;
using ::testing::HasSubstr;
using testing::stream;
using testing::Streamed;

const Format& format() { return *find_format("openai-chat"); }

std::string chunk(std::string_view delta, std::string_view finish = "null", int index = 0) {
  return R"({"id":"x","object":"chat.completion.chunk","model":"served","choices":[{"index":)" + std::to_string(index) +
         R"(,"delta":)" + std::string(delta) + R"(,"finish_reason":)" + std::string(finish) + "}]}";
}
const std::string kUsage =
    R"({"id":"x","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}})";

Streamed in_every_cutting(const std::string& bytes, const DecodeOptions& options = {}) {
  const Streamed whole = stream(format(), bytes, 0, options);
  for (const std::size_t size : {1, 2, 3, 7, 64}) {
    const Streamed cut = stream(format(), bytes, size, options);
    EXPECT_EQ(cut.plain_body, whole.plain_body) << size;
    EXPECT_EQ(cut.deltas.size(), whole.deltas.size()) << size;
    EXPECT_EQ(cut.status.has_value(), whole.status.has_value()) << size;
  }
  return whole;
}

TEST(OpenAiChatStream, gives_text_as_it_comes_and_finish_and_usage_at_the_end) {
  const Streamed out =
      in_every_cutting(events({chunk(R"({"role":"assistant","content":""})"), chunk(R"({"content":"Grüße "})"),
                               chunk(R"({"content":"🙂"})"), chunk("{}", R"("stop")"), kUsage, "[DONE]"}));
  ASSERT_TRUE(out.status.has_value());
  EXPECT_EQ(out.text(), "Grüße 🙂");
  ASSERT_EQ(out.deltas.size(), 3u);
  EXPECT_EQ(out.deltas[1].finish, Finish::None);
  EXPECT_FALSE(out.deltas[1].usage.has_value());
  EXPECT_EQ(out.deltas[2].finish, Finish::Stop);
  EXPECT_EQ(out.deltas[2].usage->output_tokens, 7);
  EXPECT_TRUE(out.done);
  EXPECT_EQ(
      out.plain_body,
      R"({"id":"x","object":"chat.completion","model":"served","usage":{"prompt_tokens":5,"completion_tokens":7},)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"Grüße 🙂"},"finish_reason":"stop"}]})");
}

TEST(OpenAiChatStream, is_whole_without_end_marker_or_last_blank_line_once_a_finish_came) {
  const Streamed out = in_every_cutting("data: " + chunk(R"({"content":"a"})", R"("stop")"));
  ASSERT_TRUE(out.status.has_value());
  EXPECT_EQ(out.text(), "a");
  EXPECT_EQ(out.deltas.back().finish, Finish::Stop);
  EXPECT_FALSE(out.done);
  EXPECT_TRUE(out.finished);
}

TEST(OpenAiChatStream, is_interrupted_without_a_finish) {
  for (const std::string& end : {events({}), events({"[DONE]"}), std::string("data: {\"choi")}) {
    const Streamed out = in_every_cutting(events({chunk(R"({"content":"half"})")}) + end);
    ASSERT_FALSE(out.status.has_value()) << end;
    EXPECT_EQ(out.status.error().kind, ErrorKind::Interrupted);
    EXPECT_TRUE(out.status.error().retryable);
    EXPECT_EQ(out.text(), "half");
    EXPECT_THAT(out.plain_body, HasSubstr(R"("content":"half"},"finish_reason":null)"));
  }
  EXPECT_EQ(stream(format(), "").status.error().kind, ErrorKind::Interrupted);
}

TEST(OpenAiChatStream, ignores_what_comes_behind_the_end_marker) {
  const std::string body = events({chunk(R"({"content":"a"})", R"("stop")"), "[DONE]"});
  const Streamed out =
      in_every_cutting(body + "\n\n: bye\n\n" + events({"[DONE]", "garbage", chunk(R"({"content":"b"})")}));
  ASSERT_TRUE(out.status.has_value());
  EXPECT_EQ(out.text(), "a");
}

TEST(OpenAiChatStream, raises_an_error_event_as_its_own_code_says) {
  const Streamed out = in_every_cutting(events(
      {chunk(R"({"content":"half"})"), R"({"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}})"}));
  ASSERT_FALSE(out.status.has_value());
  EXPECT_EQ(out.status.error().kind, ErrorKind::RateLimited);
  EXPECT_EQ(out.status.error().message, "Rate limit reached");
  EXPECT_EQ(out.text(), "half");
}

TEST(OpenAiChatStream, refuses_events_that_are_no_json_objects) {
  for (const char* data : {"hello", "[]", "null", "{\"a\":", "7"}) {
    const Streamed out = stream(format(), events({data}));
    ASSERT_FALSE(out.status.has_value()) << data;
    EXPECT_EQ(out.status.error().kind, ErrorKind::Protocol) << data;
  }
}

TEST(OpenAiChatStream, takes_a_json_body_for_an_error_and_a_page_for_a_protocol_error) {
  EXPECT_EQ(stream(format(), R"( {"error":{"message":"m","code":429}})", 3).status.error().kind,
            ErrorKind::RateLimited);
  EXPECT_EQ(stream(format(), R"({"choices":[]})", 3).status.error().kind, ErrorKind::Protocol);
  EXPECT_EQ(stream(format(), "<html></html>", 3).status.error().kind, ErrorKind::Protocol);
}

TEST(OpenAiChatStream, joins_the_halves_of_a_surrogate_pair) {
  const Streamed out =
      in_every_cutting(events({chunk(R"({"content":"a\ud83d"})"), chunk(R"({"content":"\ude42b"})", R"("stop")")}));
  EXPECT_EQ(out.deltas[0].text, "a");
  EXPECT_EQ(out.deltas[1].text, "🙂b");
  EXPECT_EQ(decode(format(), out.plain_body).choices[0].text, "a🙂b");
}

TEST(OpenAiChatStream, replaces_a_half_that_stays_alone) {
  const Streamed out = in_every_cutting(events({chunk(R"({"content":"a\ud83d"})", R"("stop")")}));
  EXPECT_EQ(out.text(), "a\xEF\xBF\xBD");
  EXPECT_EQ(decode(format(), out.plain_body).choices[0].text, out.text());
}

TEST(OpenAiChatStream, tells_reasoning_from_text_under_either_name) {
  const Streamed out =
      in_every_cutting(events({chunk(R"({"reasoning_content":"h"})"), chunk(R"({"reasoning_content":"m"})"),
                               chunk(R"({"content":"42"})", R"("stop")")}));
  EXPECT_EQ(out.reasoning(), "hm");
  EXPECT_EQ(out.text(), "42");
  EXPECT_EQ(decode(format(), out.plain_body).choices[0].reasoning, "hm");
  EXPECT_EQ(stream(format(), events({chunk(R"({"reasoning":"x","reasoning_details":[{"text":"x"}]})", R"("stop")")}))
                .reasoning(),
            "x");
}

TEST(OpenAiChatStream, keeps_fields_that_nobody_knows) {
  const Streamed out =
      in_every_cutting(events({chunk(R"({"reasoning_details":[{"d":1}],"content":null})"),
                               chunk(R"({"reasoning_details":[{"d":2.50}],"content":"x"})", R"("stop")")}));
  EXPECT_THAT(out.plain_body, HasSubstr(R"("reasoning_details":[{"d":1},{"d":2.50}])"));
}

TEST(OpenAiChatStream, numbers_alternating_fragments_of_two_calls) {
  const auto piece = [](int index, std::string_view more) {
    return chunk(R"({"tool_calls":[{"index":)" + std::to_string(index) + "," + std::string(more) + "}]}");
  };
  const Streamed out = in_every_cutting(
      events({piece(0, R"("id":"a","type":"function","function":{"name":"f","arguments":""})"),
              piece(1, R"("id":"b","type":"function","function":{"name":"g","arguments":""})"),
              piece(0, R"("function":{"arguments":"{\"x\":"})"), piece(1, R"("function":{"arguments":"{\"y\":"})"),
              piece(0, R"("function":{"arguments":"1}"})"), piece(1, R"("function":{"arguments":"2}"})"),
              chunk("{}", R"("tool_calls")")}));
  EXPECT_THAT(out.arguments(), ElementsAre(R"({"x":1})", R"({"y":2})"));
  EXPECT_EQ(out.deltas[0].tool_call->id, "a");
  EXPECT_EQ(out.deltas[0].tool_call->name, "f");
  const auto calls = decode(format(), out.plain_body).choices[0].tool_calls;
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[1].id, "b");
  EXPECT_EQ(calls[1].arguments, R"({"y":2})");
  EXPECT_EQ(out.deltas.back().finish, Finish::ToolCalls);
}

std::vector<std::string> call_ids(const std::vector<std::string>& entries) {
  std::vector<std::string> data;
  for (const std::string& entry : entries) data.push_back(chunk(R"({"tool_calls":[)" + entry + "]}"));
  data.push_back(chunk("{}", R"("tool_calls")"));
  std::vector<std::string> out;
  const Decoded decoded = decode(format(), stream(format(), events(data)).plain_body);
  for (const auto& call : decoded.choices[0].tool_calls) {
    out.push_back(call.id + call.arguments);
  }
  return out;
}

TEST(OpenAiChatStream, tells_calls_apart_without_index_with_repeated_ids_and_with_index_0_alone) {
  EXPECT_THAT(call_ids({R"({"id":"a","function":{"name":"f","arguments":"1"}})", R"({"function":{"arguments":"2"}})",
                        R"({"id":"b","function":{"name":"f","arguments":"3"}})"}),
              ElementsAre("a12", "b3"));
  EXPECT_THAT(call_ids({R"({"index":0,"id":"a","function":{"name":"f","arguments":"1"}})",
                        R"({"index":0,"id":"a","function":{"name":"f","arguments":"2"}})"}),
              ElementsAre("a12"));
  EXPECT_THAT(call_ids({R"({"index":0,"id":"a","function":{"name":"f","arguments":"1"}})",
                        R"({"index":0,"id":"b","function":{"name":"g","arguments":"2"}})"}),
              ElementsAre("a1", "b2"));
}

TEST(OpenAiChatStream, keeps_all_choices_and_gives_deltas_of_the_first) {
  const Streamed out = in_every_cutting(events({chunk(R"({"content":"one"})"), chunk(R"({"content":"two"})", "null", 1),
                                                chunk("{}", R"("stop")", 0), chunk("{}", R"("length")", 1)}));
  ASSERT_TRUE(out.status.has_value());
  EXPECT_EQ(out.text(), "one");
  const auto choices = decode(format(), out.plain_body).choices;
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[1].text, "two");
  EXPECT_EQ(choices[1].finish, Finish::Length);
}

TEST(OpenAiChatStream, takes_the_last_usage) {
  const Streamed out = in_every_cutting(events({R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}})",
                                                chunk(R"({"content":"a"})", R"("stop")"), kUsage}));
  EXPECT_EQ(out.deltas.back().usage->input_tokens, 5);
  EXPECT_EQ(decode(format(), out.plain_body).summary->usage.output_tokens, 7);
}

TEST(OpenAiChatStream, reads_a_refusal) {
  const Streamed out =
      in_every_cutting(events({chunk(R"({"refusal":"No"})"), chunk(R"({"refusal":"."})", R"("stop")")}));
  EXPECT_TRUE(out.content);
  EXPECT_EQ(out.deltas.back().finish, Finish::Refusal);
  EXPECT_EQ(decode(format(), out.plain_body).choices[0].refusal, "No.");
}

TEST(OpenAiChatStream, gives_the_arguments_of_a_forced_tool_as_text) {
  const DecodeOptions options{.forced_tool = true};
  const Streamed out = in_every_cutting(
      events({chunk(R"({"content":"Sure: "})"),
              chunk(R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]})"),
              chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]})", R"("tool_calls")")}),
      options);
  EXPECT_EQ(out.text(), R"({"x":1})");
  EXPECT_TRUE(out.arguments().empty());
  EXPECT_EQ(out.deltas.back().finish, Finish::Stop);
  EXPECT_EQ(decode(format(), out.plain_body, options).choices[0].text, out.text());
}

TEST(OpenAiChatStream, gives_the_text_when_a_forced_tool_was_not_called) {
  const DecodeOptions options{.forced_tool = true};
  const Streamed out = in_every_cutting(events({chunk(R"({"content":"{}"})", R"("stop")")}), options);
  EXPECT_EQ(out.text(), "{}");
}

TEST(OpenAiChatStream, refuses_more_than_its_limits) {
  DecodeOptions options;
  options.limits.tool_calls = 1;
  EXPECT_FALSE(
      stream(
          format(),
          events({chunk(R"({"tool_calls":[{"id":"a","function":{"name":"f"}},{"id":"b","function":{"name":"f"}}]})")}),
          0, options)
          .status.has_value());
  options.limits.text = 1000;
  std::vector<std::string> data(100, chunk(R"({"content":"0123456789abcdef"})"));
  const Streamed out = stream(format(), events(data), 0, options);
  ASSERT_FALSE(out.status.has_value());
  EXPECT_EQ(out.status.error().kind, ErrorKind::Protocol);
  options.limits.line = 50;
  EXPECT_THAT(stream(format(), events(data), 0, options).status.error().message, HasSubstr("line"));
}

TEST(OpenAiChatStream, is_not_misled_by_the_whole_message_that_perplexity_sends_beside_each_delta) {
  const auto both = [](std::string_view delta, std::string_view whole) {
    return R"({"choices":[{"index":0,"delta":{"content":")" + std::string(delta) + R"("},"message":{"content":")" +
           std::string(whole) + R"("},"finish_reason":"stop"}]})";
  };
  const Streamed out = in_every_cutting(events({both("a", "a"), both("b", "ab")}));
  EXPECT_EQ(out.text(), "ab");
  EXPECT_EQ(decode(format(), out.plain_body).choices[0].text, "ab");
}

}  // namespace
}  // namespace orchestra::protocol
