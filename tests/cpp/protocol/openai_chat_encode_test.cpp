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

const Format& format() { return *find_format("openai-chat"); }

constexpr std::string_view kHi = R"("messages":[{"role":"user","content":"Hi"}])";

std::string call(std::string_view more) { return std::string("{").append(kHi).append(more).append("}"); }

TEST(OpenAiChatEncode, sends_what_is_given_and_nothing_else) {
  EXPECT_EQ(body_of(format(), call("")), R"({"model":"m","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(body_of(format(), call(""), {.stream = true}),
            R"({"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,)"
            R"("stream_options":{"include_usage":true}})");
}

TEST(OpenAiChatEncode, names_path_media_type_and_key) {
  const auto request = encode(format(), call(""));
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->head->path, "/chat/completions");
  EXPECT_EQ(header(request->head->headers, "content-type"), "application/json");
  EXPECT_EQ(header(format().credentials("k"), "authorization"), "Bearer k");
  EXPECT_TRUE(format().credentials("").empty());
}

TEST(OpenAiChatEncode, copies_scalars_as_they_stand) {
  const std::string body =
      body_of(format(), call(R"(,"temperature":0.10,"seed":0,"stop":["a","\n\n"],"n":2,"top_p":1,)"
                             R"("frequency_penalty":-1,"presence_penalty":2,"service_tier":"flex",)"
                             R"("parallel_tool_calls":false)"));
  for (const char* member : {R"("temperature":0.10)", R"("seed":0)", R"("stop":["a","\n\n"])", R"("n":2)",
                             R"("top_p":1)", R"("frequency_penalty":-1)", R"("presence_penalty":2)",
                             R"("service_tier":"flex")", R"("parallel_tool_calls":false)"}) {
    EXPECT_THAT(body, HasSubstr(member));
  }
}

TEST(OpenAiChatEncode, puts_system_before_every_system_message) {
  EXPECT_THAT(body_of(format(), R"({"system":"FIRST","messages":[{"role":"system","content":"SECOND"},)"
                                R"({"role":"user","content":"Hi"}]})"),
              HasSubstr(R"("messages":[{"role":"system","content":"FIRST"},{"role":"system","content":"SECOND"},)"));
}

TEST(OpenAiChatEncode, follows_the_dialect) {
  EXPECT_THAT(body_of(format(), call(R"(,"max_tokens":7)")), HasSubstr(R"("max_tokens":7)"));
  EXPECT_THAT(body_of(format(), call(R"(,"max_tokens":7)"), {.dialect = "openai"}),
              HasSubstr(R"("max_completion_tokens":7)"));
  EXPECT_THAT(body_of(format(), call(R"(,"reasoning_effort":900,"top_k":4)"), {.dialect = "openrouter"}),
              HasSubstr(R"("top_k":4,"reasoning":{"max_tokens":900})"));
}

TEST(OpenAiChatEncode, refuses_what_it_cannot_express_by_name) {
  for (const char* field : {"top_k", "reasoning_effort"}) {
    const auto request = encode(format(), call(std::string(",\"") + field + "\":900"));
    ASSERT_FALSE(request.has_value()) << field;
    EXPECT_EQ(request.error().kind, chat::ErrorKind::Unsupported);
    EXPECT_THAT(request.error().message, StartsWith(field));
    const auto dropped = encode(format(), call(std::string(",\"") + field + "\":900"), {.drop_unsupported = true});
    ASSERT_TRUE(dropped.has_value()) << field;
    EXPECT_THAT(dropped->dropped, ElementsAre(field));
    EXPECT_THAT(dropped->body, Not(HasSubstr(field)));
  }
}

TEST(OpenAiChatEncode, asks_for_logprobs_as_a_switch_or_a_number) {
  EXPECT_THAT(body_of(format(), call(R"(,"logprobs":true)")), HasSubstr(R"("logprobs":true})"));
  EXPECT_THAT(body_of(format(), call(R"(,"logprobs":3)")), HasSubstr(R"("logprobs":true,"top_logprobs":3)"));
}

TEST(OpenAiChatEncode, lets_extra_come_last_and_override) {
  EXPECT_EQ(body_of(format(), call(R"(,"temperature":0.1,"extra":{"temperature":0.9,"special":{"a":[1,null]}})")),
            R"({"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":0.9,"special":{"a":[1,null]}})");
}

constexpr std::string_view kTool =
    R"({"type":"function","function":{"name":"lookup","parameters":{"type":"object"}},"cache_control":{"type":"e"}})";

TEST(OpenAiChatEncode, copies_tools_and_spells_the_choice_of_one) {
  const std::string tools = std::string(R"(,"tools":[)").append(kTool).append("]");
  EXPECT_THAT(body_of(format(), call(tools)), HasSubstr(tools.substr(1)));
  EXPECT_THAT(body_of(format(), call(tools + R"(,"tool_choice":"required")")),
              HasSubstr(R"("tool_choice":"required")"));
  EXPECT_THAT(body_of(format(), call(tools + R"(,"tool_choice":"lookup")")),
              HasSubstr(R"("tool_choice":{"type":"function","function":{"name":"lookup"}})"));
}

constexpr std::string_view kSchema =
    R"(,"response_format":{"type":"json_schema","json_schema":{"name":"My Point","schema":{"type":"object","x":1}}})";

TEST(OpenAiChatEncode, asks_for_a_schema_natively_unless_the_model_has_none) {
  EXPECT_THAT(body_of(format(), call(kSchema)), HasSubstr(kSchema.substr(1)));
  const auto forced = encode(format(), call(kSchema), {.json_schema = Known::No});
  ASSERT_TRUE(forced.has_value());
  EXPECT_TRUE(forced->forced_tool);
  EXPECT_THAT(forced->body, HasSubstr(R"("tool_choice":{"type":"function","function":{"name":"My_Point"}})"));
  EXPECT_THAT(forced->body, HasSubstr(R"("parameters":{"type":"object","x":1})"));
  EXPECT_THAT(forced->body, Not(HasSubstr("response_format")));
  const auto impossible = encode(format(), call(kSchema), {.json_schema = Known::No, .tools = Known::No});
  ASSERT_FALSE(impossible.has_value());
  EXPECT_THAT(impossible.error().message, StartsWith("response_format"));
}

TEST(OpenAiChatEncode, sends_a_reply_of_its_own_back_without_what_is_null_or_empty) {
  EXPECT_THAT(
      body_of(format(), R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":null,)"
                        R"("refusal":null,"annotations":[],"reasoning_details":[{"x":1}],)"
                        R"("tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":""}}]}]})"),
      HasSubstr(R"({"role":"assistant","content":null,"reasoning_details":[{"x":1}],"tool_calls":)"));
}

TEST(OpenAiChatEncode, drops_thinking_and_unknown_keys_of_a_foreign_message) {
  const std::string body = body_of(
      format(),
      R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","protocol":"anthropic-messages",)"
      R"("content":[{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"text","text":"4","citations":[1]},)"
      R"({"type":"text","text":"2"}],"tool_calls":[{"id":"c","type":"function","caller":1,)"
      R"("function":{"name":"f","arguments":"{}"}}]}]})");
  EXPECT_THAT(body, HasSubstr(R"({"role":"assistant","content":"42","tool_calls":[{"id":"c","type":"function",)"
                              R"("function":{"name":"f","arguments":"{}"}}]})"));
}

TEST(OpenAiChatEncode, gives_a_foreign_message_of_calls_alone_a_null_content) {
  EXPECT_THAT(body_of(format(), R"({"messages":[{"role":"assistant","protocol":"anthropic-messages","content":null,)"
                                R"("tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}]})"),
              HasSubstr(R"("content":null,"tool_calls")"));
}

}  // namespace
}  // namespace orchestra::protocol
