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
using ::testing::HasSubstr;
using testing::stream;
using testing::Streamed;

const Format& format() { return *find_format("anthropic-messages"); }

std::string body(std::string_view content, std::string_view stop = "end_turn", std::string_view usage = "{}") {
  return std::string(R"({"type":"message","role":"assistant","model":"served","content":[)")
      .append(content)
      .append(R"(],"stop_reason":")")
      .append(stop)
      .append(R"(","usage":)")
      .append(usage)
      .append("}");
}

constexpr std::string_view kCall = R"({"type":"tool_use","id":"c","name":"f","input":{"a": 1}})";

TEST(AnthropicDecode, reads_text_as_a_plain_string) {
  const Decoded out =
      decode(format(), body(R"({"type":"text","text":"4"},{"type":"text","text":"2","citations":null})"));
  ASSERT_TRUE(out.summary.has_value());
  EXPECT_EQ(out.choices[0].text, "42");
  EXPECT_EQ(out.summary->served_model, "served");
  EXPECT_EQ(out.choices[0].message, R"({"role":"assistant","protocol":"anthropic-messages","content":"42"})");
}

TEST(AnthropicDecode, keeps_thinking_citations_and_unknown_blocks_in_the_message) {
  const Decoded out = decode(
      format(), body(R"({"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"d"},)"
                     R"({"type":"text","text":"x","citations":[{"c":1.50}]},{"type":"server_tool_use","id":"s"},)" +
                         std::string(kCall),
                     "tool_use"));
  EXPECT_EQ(out.choices[0].reasoning, "hm");
  ASSERT_EQ(out.choices[0].tool_calls.size(), 1u);
  EXPECT_EQ(out.choices[0].tool_calls[0].arguments, R"({"a": 1})");
  EXPECT_EQ(
      out.choices[0].message,
      R"({"role":"assistant","protocol":"anthropic-messages","content":[{"type":"thinking","thinking":"hm","signature":"s"},)"
      R"({"type":"redacted_thinking","data":"d"},{"type":"text","text":"x","citations":[{"c":1.50}]},)"
      R"({"type":"server_tool_use","id":"s"}],"tool_calls":[{"id":"c","type":"function","function":)"
      R"({"name":"f","arguments":"{\"a\": 1}"}}]})");
}

TEST(AnthropicDecode, has_one_vocabulary_of_finishes) {
  const auto finish = [](std::string_view word, std::string_view content = R"({"type":"text","text":"x"})") {
    return decode(format(), body(content, word)).summary->finish;
  };
  EXPECT_EQ(finish("end_turn"), Finish::Stop);
  EXPECT_EQ(finish("stop_sequence"), Finish::Stop);
  EXPECT_EQ(finish("max_tokens"), Finish::Length);
  EXPECT_EQ(finish("model_context_window_exceeded"), Finish::Length);
  EXPECT_EQ(finish("refusal"), Finish::Refusal);
  EXPECT_EQ(finish("pause_turn"), Finish::Other);
  EXPECT_EQ(finish("something_new"), Finish::Other);
  EXPECT_EQ(finish("end_turn", kCall), Finish::ToolCalls);
  EXPECT_EQ(finish("max_tokens", kCall), Finish::Length);
}

TEST(AnthropicDecode, counts_cache_reads_and_writes_as_input) {
  const auto usage =
      decode(format(),
             body("", "end_turn",
                  R"({"input_tokens":50,"cache_read_input_tokens":40,"cache_creation_input_tokens":10,)"
                  R"("cache_creation":{"ephemeral_1h_input_tokens":4},"output_tokens":20,"service_tier":"standard"})"))
          .summary->usage;
  EXPECT_EQ(usage.input_tokens, 100);
  EXPECT_EQ(usage.cached_tokens, 40);
  EXPECT_EQ(usage.cache_write_tokens, 10);
  EXPECT_EQ(usage.cache_write_1h_tokens, 4);
  EXPECT_EQ(usage.output_tokens, 20);
  EXPECT_EQ(usage.service_tier, "standard");
  EXPECT_EQ(
      decode(format(), body("", "end_turn", R"({"input_tokens":null,"output_tokens":2})")).summary->usage.input_tokens,
      std::nullopt);
}

TEST(AnthropicDecode, makes_the_arguments_of_a_forced_tool_the_text) {
  const Decoded out = decode(format(), body(kCall, "tool_use"), {.forced_tool = true});
  EXPECT_EQ(out.choices[0].text, R"({"a": 1})");
  EXPECT_TRUE(out.choices[0].tool_calls.empty());
  EXPECT_EQ(out.summary->finish, Finish::Stop);
}

TEST(AnthropicDecode, refuses_what_is_no_reply) {
  for (const char* text : {"[]", "null", "{}", R"({"content":7})", R"({"content":"x"})"}) {
    EXPECT_EQ(decode(format(), text).summary.error().kind, ErrorKind::Protocol) << text;
  }
  EXPECT_EQ(
      decode(format(), R"({"type":"error","error":{"type":"overloaded_error","message":"m"}})").summary.error().kind,
      ErrorKind::Overloaded);
}

// ---- streams

std::string event(std::string_view type, std::string_view more) {
  return std::string("event: ")
      .append(type)
      .append("\ndata: {\"type\":\"")
      .append(type)
      .append("\"")
      .append(more)
      .append("}\n\n");
}
std::string start() {
  return event("message_start",
               R"(,"message":{"id":"m1","type":"message","role":"assistant","model":"served","content":[],)"
               R"("stop_reason":null,"usage":{"input_tokens":50,"cache_read_input_tokens":40,"output_tokens":1}})") +
         event("ping", "");
}
std::string block(int index, std::string_view content) {
  return event("content_block_start",
               R"(,"index":)" + std::to_string(index) + R"(,"content_block":)" + std::string(content));
}
std::string grow(int index, std::string_view delta) {
  return event("content_block_delta", R"(,"index":)" + std::to_string(index) + R"(,"delta":)" + std::string(delta));
}
std::string stop(int index) { return event("content_block_stop", R"(,"index":)" + std::to_string(index)); }
std::string finish(std::string_view reason) {
  return event("message_delta",
               R"(,"delta":{"stop_reason":")" + std::string(reason) + R"("},"usage":{"output_tokens":20})");
}
std::string text_block(int index, std::string_view text) {
  return block(index, R"({"type":"text","text":""})") +
         grow(index, R"({"type":"text_delta","text":")" + std::string(text) + "\"}") + stop(index);
}
std::string end() { return event("message_stop", ""); }

Streamed in_every_cutting(const std::string& bytes, const DecodeOptions& options = {}) {
  const Streamed whole = stream(format(), bytes, 0, options);
  for (const std::size_t size : {1, 2, 5, 64}) {
    const Streamed cut = stream(format(), bytes, size, options);
    EXPECT_EQ(cut.plain_body, whole.plain_body) << size;
    EXPECT_EQ(cut.deltas.size(), whole.deltas.size()) << size;
    EXPECT_EQ(cut.status.has_value(), whole.status.has_value()) << size;
  }
  return whole;
}

TEST(AnthropicStream, gives_the_text_and_merges_the_usage) {
  const Streamed out = in_every_cutting(start() + text_block(0, "Grüße 🙂") + finish("end_turn") + end());
  ASSERT_TRUE(out.status.has_value());
  EXPECT_EQ(out.text(), "Grüße 🙂");
  EXPECT_TRUE(out.done);
  EXPECT_EQ(out.deltas.back().finish, Finish::Stop);
  EXPECT_EQ(out.deltas.back().usage->input_tokens, 90);
  EXPECT_EQ(out.deltas.back().usage->output_tokens, 20);
  EXPECT_EQ(out.plain_body,
            R"({"id":"m1","type":"message","role":"assistant","model":"served","stop_reason":"end_turn",)"
            R"("content":[{"type":"text","text":"Grüße 🙂"}],)"
            R"("usage":{"input_tokens":50,"cache_read_input_tokens":40,"output_tokens":20}})");
}

TEST(AnthropicStream, reads_thinking_with_its_signature_and_citations) {
  const Streamed out = in_every_cutting(
      start() + block(0, R"({"type":"thinking","thinking":"","signature":""})") +
      grow(0, R"({"type":"thinking_delta","thinking":"h"})") + grow(0, R"({"type":"thinking_delta","thinking":"m"})") +
      grow(0, R"({"type":"signature_delta","signature":"sig"})") + stop(0) + block(1, R"({"type":"text","text":""})") +
      grow(1, R"({"type":"text_delta","text":"42"})") + grow(1, R"({"type":"citations_delta","citation":{"c":1}})") +
      grow(1, R"({"type":"citations_delta","citation":{"c":2}})") + stop(1) + finish("end_turn") + end());
  EXPECT_EQ(out.reasoning(), "hm");
  EXPECT_EQ(out.text(), "42");
  EXPECT_THAT(out.plain_body, HasSubstr(R"([{"type":"thinking","thinking":"hm","signature":"sig"},)"
                                        R"({"type":"text","text":"42","citations":[{"c":1},{"c":2}]}])"));
}

std::string call_block(int index, std::string_view id, const std::vector<std::string>& pieces) {
  std::string out = block(index, R"({"type":"tool_use","id":")" + std::string(id) + R"(","name":"f","input":{}})");
  for (const auto& piece : pieces) out += grow(index, R"({"type":"input_json_delta","partial_json":")" + piece + "\"}");
  return out + stop(index);
}

TEST(AnthropicStream, numbers_the_calls_and_joins_their_arguments) {
  const Streamed out = in_every_cutting(start() + text_block(0, "ok") + call_block(1, "a", {"", R"({\"x\":)", " 1}"}) +
                                        call_block(2, "b", {""}) + finish("tool_use") + end());
  EXPECT_THAT(out.arguments(), ElementsAre(R"({"x": 1})", "{}"));
  const auto calls = decode(format(), out.plain_body).choices[0].tool_calls;
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].arguments, R"({"x": 1})");
  EXPECT_EQ(calls[1].arguments, "{}");
  EXPECT_EQ(out.deltas.back().finish, Finish::ToolCalls);
}

TEST(AnthropicStream, keeps_arguments_that_broke_off_as_text) {
  const Streamed out =
      in_every_cutting(start() + call_block(0, "a", {R"({\"city\": \"Gr)"}) + finish("max_tokens") + end());
  const Decoded decoded = decode(format(), out.plain_body);
  EXPECT_EQ(decoded.choices[0].tool_calls[0].arguments, R"({"city": "Gr)");
  EXPECT_EQ(decoded.summary->finish, Finish::Length);
}

TEST(AnthropicStream, takes_the_same_event_twice_and_blocks_that_count_from_0_again) {
  const Streamed twice =
      in_every_cutting(start() + start() + block(0, R"({"type":"text","text":""})") +
                       block(0, R"({"type":"text","text":""})") + grow(0, R"({"type":"text_delta","text":"a"})") +
                       stop(0) + stop(0) + finish("end_turn") + finish("end_turn") + end() + end());
  EXPECT_EQ(twice.text(), "a");
  const Streamed again =
      in_every_cutting(start() + text_block(0, "a") + text_block(0, "b") + finish("end_turn") + end());
  EXPECT_EQ(again.text(), "ab");
  EXPECT_EQ(decode(format(), again.plain_body).choices[0].text, "ab");
}

TEST(AnthropicStream, is_whole_without_message_stop_and_ends_at_a_foreign_marker) {
  const Streamed cut = in_every_cutting(start() + text_block(0, "a") + finish("end_turn"));
  ASSERT_TRUE(cut.status.has_value());
  EXPECT_EQ(cut.deltas.back().finish, Finish::Stop);
  EXPECT_TRUE(
      in_every_cutting(start() + text_block(0, "a") + finish("end_turn") + end() + "event: data\ndata: [DONE]\n\n")
          .status.has_value());
}

TEST(AnthropicStream, is_interrupted_without_a_stop_reason) {
  for (const std::string& tail : {std::string(), end()}) {
    const Streamed out = in_every_cutting(start() + text_block(0, "half") + tail);
    ASSERT_FALSE(out.status.has_value());
    EXPECT_EQ(out.status.error().kind, ErrorKind::Interrupted);
    EXPECT_EQ(decode(format(), out.plain_body).choices[0].text, "half");
    EXPECT_EQ(decode(format(), out.plain_body).choices[0].finish, Finish::None);
  }
}

TEST(AnthropicStream, raises_an_error_event_as_its_own_type_says) {
  const Streamed out =
      in_every_cutting(start() + event("error", R"(,"error":{"type":"overloaded_error","message":"Overloaded"})"));
  ASSERT_FALSE(out.status.has_value());
  EXPECT_EQ(out.status.error().kind, ErrorKind::Overloaded);
  EXPECT_TRUE(out.status.error().retryable);
}

TEST(AnthropicStream, joins_the_halves_of_a_surrogate_pair) {
  const Streamed out = in_every_cutting(
      start() + block(0, R"({"type":"text","text":""})") + grow(0, R"({"type":"text_delta","text":"a\ud83d"})") +
      grow(0, R"({"type":"text_delta","text":"\ude42b"})") + stop(0) + finish("end_turn") + end());
  EXPECT_EQ(out.text(), "a🙂b");
  EXPECT_EQ(decode(format(), out.plain_body).choices[0].text, "a🙂b");
}

TEST(AnthropicStream, gives_the_arguments_of_a_forced_tool_as_text) {
  const DecodeOptions options{.forced_tool = true};
  const Streamed out = in_every_cutting(
      start() + text_block(0, "Sure.") + call_block(1, "a", {R"({\"x\":)", "1}"}) + finish("tool_use") + end(),
      options);
  EXPECT_EQ(out.text(), R"({"x":1})");
  EXPECT_EQ(out.deltas.back().finish, Finish::Stop);
  EXPECT_EQ(in_every_cutting(start() + text_block(0, "{}") + finish("end_turn") + end(), options).text(), "{}");
}

}  // namespace
}  // namespace orchestra::protocol
