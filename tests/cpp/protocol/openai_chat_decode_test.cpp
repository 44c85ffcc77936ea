#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support.hpp"

namespace orchestra::protocol {
namespace {

using chat::Finish;
using testing::decode;
using testing::Decoded;

const Format& format() { return *find_format("openai-chat"); }

std::string with_message(std::string_view message, std::string_view finish = R"("stop")", std::string_view more = "") {
  return std::string(R"({"model":"served","choices":[{"index":0,"message":)")
      .append(message)
      .append(R"(,"finish_reason":)")
      .append(finish)
      .append("}]")
      .append(more)
      .append("}");
}

chat::Usage usage_of(std::string_view usage) {
  Decoded out =
      decode(format(), with_message(R"({"content":"x"})", R"("stop")", std::string(",\"usage\":").append(usage)));
  EXPECT_TRUE(out.summary.has_value());
  return out.summary->usage;
}

TEST(OpenAiChatDecode, reads_text_finish_and_served_model) {
  const Decoded out = decode(format(), with_message(R"({"role":"assistant","content":"Hi \ud83d\ude42","x":[1]})"));
  ASSERT_TRUE(out.summary.has_value());
  EXPECT_EQ(out.summary->served_model, "served");
  EXPECT_EQ(out.summary->finish, Finish::Stop);
  EXPECT_EQ(out.choices[0].text, "Hi 🙂");
  EXPECT_FALSE(out.choices[0].reasoning.has_value());
  EXPECT_FALSE(out.choices[0].refusal.has_value());
}

TEST(OpenAiChatDecode, keeps_the_message_as_it_came_and_adds_the_role) {
  EXPECT_EQ(decode(format(), with_message(R"({"role":"assistant","content":"a","reasoning_details":[{"d":1.50}]})"))
                .choices[0]
                .message,
            R"({"role":"assistant","content":"a","reasoning_details":[{"d":1.50}]})");
  EXPECT_EQ(decode(format(), with_message(R"({"tool_calls":[]})")).choices[0].message,
            R"({"role":"assistant","tool_calls":[],"content":null})");
}

TEST(OpenAiChatDecode, replaces_a_lone_surrogate_in_text_and_message) {
  const Decoded out = decode(format(), with_message(R"({"role":"assistant","content":"a\ud83d"})"));
  EXPECT_EQ(out.choices[0].text, "a\xEF\xBF\xBD");
  EXPECT_EQ(out.choices[0].message, "{\"role\":\"assistant\",\"content\":\"a\xEF\xBF\xBD\"}");
}

TEST(OpenAiChatDecode, reads_tool_calls_with_their_raw_arguments) {
  const Decoded out = decode(
      format(),
      with_message(
          R"({"content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\": 1}"}},)"
          R"({"id":"b","function":{"name":"g","arguments":{"y":2}}},{"id":"c","function":{"name":"h","arguments":null}}]})"));
  ASSERT_EQ(out.choices[0].tool_calls.size(), 3u);
  EXPECT_EQ(out.choices[0].tool_calls[0].arguments, R"({"x": 1})");
  EXPECT_EQ(out.choices[0].tool_calls[1].arguments, R"({"y":2})");
  EXPECT_EQ(out.choices[0].tool_calls[2].arguments, "");
  EXPECT_EQ(out.choices[0].text, "");
  EXPECT_EQ(out.summary->finish, Finish::ToolCalls) << "whatever the provider says";
}

TEST(OpenAiChatDecode, has_one_vocabulary_of_finishes) {
  const auto finish = [](std::string_view word, std::string_view message = R"({"content":"x"})") {
    const Decoded out = decode(format(), with_message(message, word));
    EXPECT_EQ(out.summary->finish, out.choices[0].finish == Finish::None ? Finish::Other : out.choices[0].finish);
    return out.summary->finish;
  };
  constexpr std::string_view kCall = R"({"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]})";
  EXPECT_EQ(finish(R"("length")"), Finish::Length);
  EXPECT_EQ(finish(R"("content_filter")"), Finish::ContentFilter);
  EXPECT_EQ(finish(R"("something_new")"), Finish::Other);
  EXPECT_EQ(finish("null"), Finish::Other);
  EXPECT_EQ(finish(R"("length")", kCall), Finish::Length);
  EXPECT_EQ(finish(R"("content_filter")", kCall), Finish::ToolCalls);
  EXPECT_EQ(finish(R"("stop")", R"({"content":null,"refusal":"No."})"), Finish::Refusal);
}

TEST(OpenAiChatDecode, reads_reasoning_under_either_name_and_out_of_parts) {
  EXPECT_EQ(decode(format(), with_message(R"({"content":"x","reasoning_content":"a"})")).choices[0].reasoning, "a");
  EXPECT_EQ(decode(format(), with_message(R"({"content":"x","reasoning":"b"})")).choices[0].reasoning, "b");
  const Decoded parts =
      decode(format(), with_message(R"({"content":[{"type":"thinking","thinking":[{"type":"text","text":"c"}]},)"
                                    R"({"type":"text","text":"x"},{"type":"text","text":"y"}]})"));
  EXPECT_EQ(parts.choices[0].reasoning, "c");
  EXPECT_EQ(parts.choices[0].text, "xy");
}

TEST(OpenAiChatDecode, puts_choice_0_first) {
  const Decoded out =
      decode(format(), R"({"choices":[{"index":1,"message":{"content":"two"},"finish_reason":"length"},)"
                       R"({"index":0,"message":{"content":"one"},"finish_reason":"stop","logprobs":{"content":[]}}]})");
  ASSERT_EQ(out.choices.size(), 2u);
  EXPECT_EQ(out.choices[0].text, "one");
  EXPECT_EQ(out.choices[0].logprobs, R"({"content":[]})");
  EXPECT_EQ(out.choices[1].finish, Finish::Length);
  EXPECT_EQ(out.summary->finish, Finish::Stop);
}

TEST(OpenAiChatDecode, normalises_usage) {
  const chat::Usage usage = usage_of(
      R"({"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":40},)"
      R"("completion_tokens_details":{"reasoning_tokens":15}})");
  EXPECT_EQ(usage.input_tokens, 100);
  EXPECT_EQ(usage.output_tokens, 20);
  EXPECT_EQ(usage.cached_tokens, 40);
  EXPECT_EQ(usage.reasoning_tokens, 15);
  EXPECT_EQ(usage.cache_write_tokens, std::nullopt);
}

TEST(OpenAiChatDecode, reads_the_dialects_names_of_cached_tokens) {
  EXPECT_EQ(usage_of(R"({"prompt_tokens":9,"prompt_cache_hit_tokens":4})").cached_tokens, 4);
  EXPECT_EQ(usage_of(R"({"prompt_tokens":9,"cache_read_input_tokens":5,"prompt_tokens_details":{"cached_tokens":0}})")
                .cached_tokens,
            5);
  EXPECT_EQ(usage_of(R"({"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":0}})").cached_tokens, 0);
  EXPECT_EQ(usage_of(R"({"prompt_tokens":9})").cached_tokens, std::nullopt);
}

TEST(OpenAiChatDecode, adds_reasoning_that_the_total_counts_beside_the_completion) {
  const char* body =
      R"({"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}})";
  EXPECT_EQ(usage_of(body).output_tokens, 105);
}

TEST(OpenAiChatDecode, calls_a_strange_count_unknown) {
  for (const char* number : {"-1", "1.5", "1e300", "99999999999999999999999", "\"12\"", "true", "[]", "{}", "null"}) {
    EXPECT_EQ(
        usage_of(std::string(R"({"completion_tokens":1,"prompt_tokens":)").append(number).append("}")).input_tokens,
        std::nullopt)
        << number;
  }
  EXPECT_FALSE(decode(format(), with_message(R"({"content":"x"})")).summary->usage.reported());
}

TEST(OpenAiChatDecode, makes_the_arguments_of_a_forced_tool_the_text) {
  const DecodeOptions options{.forced_tool = true};
  const Decoded out = decode(
      format(),
      with_message(R"({"content":"","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\": 7}"}}]})",
                   R"("tool_calls")"),
      options);
  EXPECT_EQ(out.choices[0].text, R"({"x": 7})");
  EXPECT_TRUE(out.choices[0].tool_calls.empty());
  EXPECT_EQ(out.summary->finish, Finish::Stop);
  EXPECT_EQ(out.choices[0].message, R"({"role":"assistant","content":"{\"x\": 7}"})");
}

TEST(OpenAiChatDecode, refuses_what_is_no_reply) {
  for (const char* body :
       {"[]", "null", "{}", R"({"choices":7})", R"({"choices":[]})", R"({"choices":[{"message":7}]})"}) {
    const Decoded out = decode(format(), body);
    ASSERT_FALSE(out.summary.has_value()) << body;
    EXPECT_EQ(out.summary.error().kind, chat::ErrorKind::Protocol) << body;
  }
}

TEST(OpenAiChatDecode, refuses_more_tool_calls_than_the_limit) {
  const std::string call = R"({"id":"a","function":{"name":"f","arguments":"{}"}})";
  DecodeOptions options;
  options.limits.tool_calls = 2;
  const auto decoded = [&](const std::string& calls) {
    return decode(format(), with_message(R"({"tool_calls":[)" + calls + "]}"), options).summary.has_value();
  };
  EXPECT_TRUE(decoded(call + "," + call));
  EXPECT_FALSE(decoded(call + "," + call + "," + call));
}

}  // namespace
}  // namespace orchestra::protocol
