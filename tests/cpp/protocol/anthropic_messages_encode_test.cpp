#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support.hpp"

namespace orchestra::protocol {
namespace {

using testing::body_of;
using ::testing::ElementsAre;
using testing::encode;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const Format& format() { return *find_format("anthropic-messages"); }

constexpr std::string_view kHi = R"("messages":[{"role":"user","content":"Hi"}])";

std::string call(std::string_view more) { return std::string("{").append(kHi).append(more).append("}"); }
// The `messages` of a body, which come last here.
std::string messages_of(std::string_view messages) {
  const std::string body = body_of(format(), std::string(R"({"messages":[)").append(messages).append("]}"));
  const std::size_t at = body.find(R"("messages":)");
  return at == std::string::npos ? body : body.substr(at + 11, body.size() - at - 12);
}

TEST(AnthropicEncode, sends_a_limit_because_the_service_requires_one) {
  EXPECT_EQ(body_of(format(), call("")),
            R"({"model":"m","max_tokens":4096,"messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_THAT(body_of(format(), call(R"(,"max_tokens":77)")), HasSubstr(R"("max_tokens":77)"));
}

TEST(AnthropicEncode, names_path_version_and_key) {
  const auto request = encode(format(), call(""));
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->head->path, "/messages");
  EXPECT_EQ(header(request->head->headers, "anthropic-version"), "2023-06-01");
  EXPECT_EQ(header(request->head->headers, "content-type"), "application/json");
  EXPECT_EQ(header(format().credentials("k"), "x-api-key"), "k");
}

TEST(AnthropicEncode, collects_system_texts_at_the_top) {
  EXPECT_THAT(body_of(format(), R"({"system":"S","messages":[{"role":"user","content":"Hi"}]})"),
              HasSubstr(R"("system":"S",)"));
  EXPECT_THAT(
      body_of(format(), R"({"system":"A","messages":[{"role":"system","content":"B"},{"role":"user","content":"Hi"},)"
                        R"({"role":"developer","content":"C","cache_control":{"type":"ephemeral"}}]})"),
      HasSubstr(R"("system":[{"type":"text","text":"A"},{"type":"text","text":"B"},)"
                R"({"type":"text","text":"C","cache_control":{"type":"ephemeral"}}],)"
                R"("messages":[{"role":"user","content":"Hi"}])"));
}

TEST(AnthropicEncode, merges_neighbours_of_one_role_and_tool_results_with_the_user_message_behind) {
  EXPECT_EQ(messages_of(R"({"role":"user","content":"a"},{"role":"user","content":"b"})"),
            R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])");
  EXPECT_EQ(
      messages_of(
          R"({"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":)"
          R"({"name":"f","arguments":"{\"a\": 1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},)"
          R"({"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":"r2","is_error":true},)"
          R"({"role":"user","content":"go on"})"),
      R"([{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"a": 1}},)"
      R"({"type":"tool_use","id":"c2","name":"g","input":{}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r1"},)"
      R"({"type":"tool_result","tool_use_id":"c2","content":"r2","is_error":true},{"type":"text","text":"go on"}]}])");
}

TEST(AnthropicEncode, wraps_arguments_that_are_no_object) {
  EXPECT_THAT(
      messages_of(R"({"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a"}}]})"),
      HasSubstr(R"("input":{"arguments":"{\"a"})"));
}

std::string part(std::string_view json) {
  return messages_of(std::string(R"({"role":"user","content":[)").append(json).append("]}"));
}

TEST(AnthropicEncode, turns_images_and_files_into_blocks) {
  EXPECT_THAT(
      part(R"({"type":"image_url","image_url":{"url":"data:image/png;base64,-_-_"},"cache_control":{"type":"e"}})"),
      HasSubstr(
          R"({"type":"image","source":{"type":"base64","media_type":"image/png","data":"+/+/"},"cache_control":{"type":"e"}})"));
  EXPECT_THAT(part(R"({"type":"image_url","image_url":{"url":"https://x/y.png"}})"),
              HasSubstr(R"({"type":"image","source":{"type":"url","url":"https://x/y.png"}})"));
  EXPECT_THAT(
      part(R"({"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBE"}})"),
      HasSubstr(
          R"({"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"},"title":"a.pdf"})"));
  EXPECT_THAT(part(R"({"type":"file","file":{"file_data":"data:text/plain;base64,aGk="}})"),
              HasSubstr(R"({"type":"document","source":{"type":"text","media_type":"text/plain","data":"hi"}})"));
}

TEST(AnthropicEncode, names_an_uploaded_file_and_asks_for_the_beta) {
  const auto request =
      encode(format(), R"({"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f1"}}]}]})");
  ASSERT_TRUE(request.has_value());
  EXPECT_THAT(request->body, HasSubstr(R"({"type":"document","source":{"type":"file","file_id":"f1"}})"));
  EXPECT_THAT(header(request->head->headers, "anthropic-beta"), StartsWith("files-api"));
}

TEST(AnthropicEncode, says_where_a_part_is_wrong) {
  const auto request = encode(
      format(), R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"ftp://x"}}]}]})");
  ASSERT_FALSE(request.has_value());
  EXPECT_EQ(request.error().kind, chat::ErrorKind::InvalidRequest);
  EXPECT_THAT(request.error().message, StartsWith("messages[0].content[0].image_url"));
}

TEST(AnthropicEncode, refuses_what_it_cannot_express_by_name) {
  for (const char* field : {"seed", "n", "logprobs", "frequency_penalty", "presence_penalty"}) {
    const std::string keywords = call(std::string(",\"") + field + "\":2,\"temperature\":0.5");
    const auto request = encode(format(), keywords);
    ASSERT_FALSE(request.has_value()) << field;
    EXPECT_EQ(request.error().kind, chat::ErrorKind::Unsupported);
    EXPECT_THAT(request.error().message, StartsWith(std::string(field) + ":"));
    const auto dropped = encode(format(), keywords, {.drop_unsupported = true});
    ASSERT_TRUE(dropped.has_value()) << field;
    EXPECT_THAT(dropped->dropped, ElementsAre(field));
    EXPECT_THAT(dropped->body, HasSubstr("temperature"));
  }
  EXPECT_TRUE(encode(format(), call(R"(,"n":1,"logprobs":false)")).has_value()) << "asks for what happens anyway";
}

TEST(AnthropicEncode, refuses_audio_by_name_or_drops_the_part) {
  constexpr std::string_view kAudio = R"({"messages":[{"role":"user","content":[{"type":"text","text":"x"},)"
                                      R"({"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}}]}]})";
  const auto request = encode(format(), std::string(kAudio));
  ASSERT_FALSE(request.has_value());
  EXPECT_THAT(request.error().message, StartsWith("input_audio"));
  const auto dropped = encode(format(), std::string(kAudio), {.drop_unsupported = true});
  ASSERT_TRUE(dropped.has_value());
  EXPECT_THAT(dropped->dropped, ElementsAre("input_audio"));
}

TEST(AnthropicEncode, translates_tools_and_the_choice_of_them) {
  const std::string tools =
      R"(,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},)"
      R"("strict":true},"cache_control":{"type":"e"}},{"type":"function","function":{"name":"g"}}])";
  EXPECT_THAT(
      body_of(format(), call(tools)),
      HasSubstr(
          R"("tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true,"cache_control":{"type":"e"}},)"
          R"({"name":"g","input_schema":{"type":"object","properties":{}}}])"));
  const auto choice = [&](std::string_view more) { return body_of(format(), call(tools + std::string(more))); };
  EXPECT_THAT(choice(R"(,"tool_choice":"required")"), HasSubstr(R"("tool_choice":{"type":"any"})"));
  EXPECT_THAT(choice(R"(,"tool_choice":"none")"), HasSubstr(R"("tool_choice":{"type":"none"})"));
  EXPECT_THAT(choice(R"(,"tool_choice":"f")"), HasSubstr(R"("tool_choice":{"type":"tool","name":"f"})"));
  EXPECT_THAT(choice(R"(,"parallel_tool_calls":false)"),
              HasSubstr(R"("tool_choice":{"type":"auto","disable_parallel_tool_use":true})"));
}

TEST(AnthropicEncode, asks_for_thinking_by_word_or_budget) {
  EXPECT_THAT(body_of(format(), call(R"(,"reasoning_effort":"high")")),
              HasSubstr(R"("thinking":{"type":"adaptive"},"output_config":{"effort":"high"})"));
  EXPECT_THAT(body_of(format(), call(R"(,"reasoning_effort":"none")")), HasSubstr(R"("thinking":{"type":"disabled"})"));
  const std::string budget = body_of(format(), call(R"(,"reasoning_effort":2048)"));
  EXPECT_THAT(budget, HasSubstr(R"("thinking":{"type":"enabled","budget_tokens":2048})"));
  EXPECT_THAT(budget, HasSubstr(R"("max_tokens":6144)")) << "above the budget";
}

TEST(AnthropicEncode, asks_for_a_schema_natively_or_by_a_forced_tool) {
  const std::string schema = R"(,"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}})";
  EXPECT_THAT(body_of(format(), call(schema)),
              HasSubstr(R"("output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}})"));
  const auto forced = encode(format(), call(schema), {.json_schema = Known::No});
  ASSERT_TRUE(forced.has_value());
  EXPECT_TRUE(forced->forced_tool);
  EXPECT_THAT(forced->body, HasSubstr(R"("tool_choice":{"type":"tool","name":"respond"})"));
  EXPECT_FALSE(encode(format(), call(schema), {.json_schema = Known::No, .tools = Known::No}).has_value());
  EXPECT_FALSE(encode(format(), call(R"(,"response_format":{"type":"json_object"})")).has_value());
}

TEST(AnthropicEncode, renames_stop_and_keeps_the_rest) {
  EXPECT_THAT(body_of(format(), call(R"(,"stop":"END","top_k":4,"service_tier":"auto")")),
              HasSubstr(R"("stop_sequences":["END"])"));
  EXPECT_THAT(body_of(format(), call(R"(,"stop":["a","b"],"top_k":4)")), HasSubstr(R"("stop_sequences":["a","b"])"));
}

TEST(AnthropicEncode, lets_extra_override) {
  const std::string body =
      body_of(format(), call(R"(,"max_tokens":5,"extra":{"max_tokens":9,"metadata":{"user_id":"u"}})"));
  EXPECT_THAT(body, HasSubstr(R"("max_tokens":9)"));
  EXPECT_THAT(body, Not(HasSubstr(R"("max_tokens":5)")));
}

TEST(AnthropicEncode, writes_its_own_message_back_with_thinking_first_and_unchanged) {
  EXPECT_EQ(
      messages_of(
          R"({"role":"assistant","protocol":"anthropic-messages","content":[{"type":"thinking","thinking":"hm","signature":"s"},)"
          R"({"type":"text","text":"4","citations":[1.50]},{"type":"web_search_tool_result","x":1}],)"
          R"("tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"caller":{"type":"direct"}}]})"),
      R"([{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},)"
      R"({"type":"text","text":"4","citations":[1.50]},{"type":"web_search_tool_result","x":1},)"
      R"({"type":"tool_use","id":"c","name":"f","input":{},"caller":{"type":"direct"}}]}])");
}

TEST(AnthropicEncode, takes_text_calls_and_refusal_of_an_openai_message) {
  EXPECT_EQ(
      messages_of(R"({"role":"assistant","content":"42","reasoning_content":"hm","annotations":[],"refusal":null,)"
                  R"("tool_calls":[{"id":"c","function":{"name":"f","arguments":"null"}}]})"),
      R"([{"role":"assistant","content":[{"type":"text","text":"42"},{"type":"tool_use","id":"c","name":"f","input":{}}]}])");
  EXPECT_EQ(messages_of(R"({"role":"assistant","content":null,"refusal":"No."})"),
            R"([{"role":"assistant","content":"No."}])");
}

TEST(AnthropicEncode, leaves_an_empty_assistant_message_out) {
  EXPECT_EQ(messages_of(R"({"role":"user","content":"a"},{"role":"assistant","content":""})"),
            R"([{"role":"user","content":"a"}])");
}

}  // namespace
}  // namespace orchestra::protocol
