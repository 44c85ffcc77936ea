// Request: what a call may hold, the path in the message of what it may not, and the normal form.
#include "chat/request.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "chat/request_path.hpp"

namespace orchestra::chat {
namespace {

std::string error_of(std::string json) {
  auto request = Request::parse(std::move(json));
  if (request) return "";
  EXPECT_EQ(request.error().kind, ErrorKind::InvalidRequest);
  EXPECT_FALSE(request.error().message.empty());
  return request.error().message;
}

std::shared_ptr<const Request> request_of(std::string json) {
  auto request = Request::parse(std::move(json));
  if (request) return *request;
  ADD_FAILURE() << request.error().message;
  return nullptr;
}

// A call with one more keyword.
std::string with(const std::string& keyword, const std::string& value) {
  return R"({"messages":"Hi","model":"a/b",")" + keyword + "\":" + value + "}";
}
std::string with_messages(const std::string& messages) { return R"({"messages":)" + messages + "}"; }
std::string user_parts(const std::string& parts) {
  return with_messages(R"([{"role":"user","content":)" + parts + "}]");
}
// A conversation whose second message is this one.
std::string second(const std::string& message) {
  return with_messages(R"([{"role":"user","content":"x"},)" + message + "]");
}

constexpr const char* kTool = R"({"type":"function","function":{"name":"f","parameters":{"type":"object"}}})";

TEST(Request, refuses_what_is_wrong_with_its_path) {
  const std::string tool = kTool;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{}", "messages"},
      {with_messages("null"), "messages"},
      {with_messages("42"), "messages"},
      {with_messages("true"), "messages"},
      {with_messages("[]"), "messages"},
      {with_messages("[42]"), "messages[0]"},
      {with_messages("[\"x\"]"), "messages[0]"},
      {with_messages(R"([{"content":"x"}])"), "messages[0].role"},
      {with_messages(R"({"content":"x"})"), "messages[0].role"},
      {with_messages(R"([{"role":"wizard","content":"x"}])"), "messages[0].role"},
      {with_messages(R"([{"role":7,"content":"x"}])"), "messages[0].role"},
      {with_messages(R"([{"role":"user"}])"), "messages[0].content"},
      {with_messages(R"([{"role":"user","content":null}])"), "messages[0].content"},
      {with_messages(R"([{"role":"user","content":"x","name":5}])"), "messages[0].name"},
      {user_parts("3.5"), "messages[0].content"},
      {user_parts(R"({"type":"text","text":"x"})"), "messages[0].content"},
      {user_parts("[3]"), "messages[0].content[0]"},
      {with_messages(R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
                     R"({"role":"user","content":[{"type":"hologram"}]}])"),
       "messages[2].content[0].type"},
      {user_parts(R"([{"text":"x"}])"), "messages[0].content[0].type"},
      {user_parts(R"([{"type":"text","text":"x"},{"type":"text","text":7}])"), "messages[0].content[1].text"},
      {user_parts(R"([{"type":"text"}])"), "messages[0].content[0].text"},
      {user_parts(R"([{"type":"image_url"}])"), "messages[0].content[0].image_url"},
      {user_parts(R"([{"type":"image_url","image_url":{}}])"), "messages[0].content[0].image_url.url"},
      {user_parts(R"([{"type":"image_url","image_url":5}])"), "messages[0].content[0].image_url"},
      {user_parts(R"([{"type":"input_audio","input_audio":{"format":"wav"}}])"),
       "messages[0].content[0].input_audio.data"},
      {user_parts(R"([{"type":"input_audio","input_audio":{"data":"","format":1}}])"),
       "messages[0].content[0].input_audio.format"},
      {user_parts(R"([{"type":"file","file":{}}])"), "messages[0].content[0].file"},
      {user_parts(R"([{"type":"file","file":{"file_data":1}}])"), "messages[0].content[0].file.file_data"},
      {with_messages(R"([{"role":"system","content":[{"type":"image_url","image_url":"x"}]}])"),
       "messages[0].content[0].type"},
      {second(R"({"role":"tool","content":"r"})"), "messages[1].tool_call_id"},
      {second(R"({"role":"tool","tool_call_id":"c"})"), "messages[1].content"},
      {second(R"({"role":"tool","tool_call_id":"c","content":[{"type":"input_audio"}]})"),
       "messages[1].content[0].type"},
      {second(R"({"role":"assistant","tool_calls":{}})"), "messages[1].tool_calls"},
      {second(R"({"role":"assistant","tool_calls":[1]})"), "messages[1].tool_calls[0]"},
      {second(R"({"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":""}}]})"),
       "messages[1].tool_calls[0].id"},
      {second(R"({"role":"assistant","tool_calls":[{"id":"c","function":{"arguments":""}}]})"),
       "messages[1].tool_calls[0].function.name"},
      {second(R"({"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":{}}}]})"),
       "messages[1].tool_calls[0].function.arguments"},
      {second(R"({"role":"assistant","content":5})"), "messages[1].content"},
      {second(R"({"role":"assistant","content":[{"type":"text"}]})"), "messages[1].content[0].text"},
      {second(R"({"role":"assistant","content":[{"no":"type"}]})"), "messages[1].content[0].type"},
      {second(R"({"role":"assistant","refusal":5})"), "messages[1].refusal"},
      {with("system", "42"), "system"},
      {with("system", R"([{"type":"file","file":{"file_id":"x"}}])"), "system[0].type"},
      {with("temperature", R"("hot")"), "temperature"},
      {with("temperature", "-1"), "temperature"},
      {with("temperature", "true"), "temperature"},
      {with("temperature", "1e400"), "temperature"},
      {with("temperature", "NaN"), "temperature"},
      {with("temperature", "-Infinity"), "temperature"},
      {with("top_p", "1.5"), "top_p"},
      {with("top_p", "-0.1"), "top_p"},
      {with("top_k", "-1"), "top_k"},
      {with("max_tokens", "0"), "max_tokens"},
      {with("max_tokens", R"("10")"), "max_tokens"},
      {with("max_tokens", "1.5"), "max_tokens"},
      {with("max_tokens", "true"), "max_tokens"},
      {with("max_tokens", "1e30"), "max_tokens"},
      {with("n", "0"), "n"},
      {with("n", "true"), "n"},
      {with("seed", R"("lucky")"), "seed"},
      {with("seed", "false"), "seed"},
      {with("stop", "[1]"), "stop[0]"},
      {with("stop", "5"), "stop"},
      {with("reasoning_effort", "3.3"), "reasoning_effort"},
      {with("reasoning_effort", "-1"), "reasoning_effort"},
      {with("reasoning_effort", R"("lots")"), "reasoning_effort"},
      {with("reasoning_effort", "true"), "reasoning_effort"},
      {with("logprobs", R"("yes")"), "logprobs"},
      {with("logprobs", "-1"), "logprobs"},
      {with("parallel_tool_calls", "1"), "parallel_tool_calls"},
      {with("service_tier", "1"), "service_tier"},
      {with("frequency_penalty", "false"), "frequency_penalty"},
      {with("presence_penalty", R"("1")"), "presence_penalty"},
      {with("extra", R"("x")"), "extra"},
      {with("tools", R"("search")"), "tools"},
      {with("tools", R"({"a":1})"), "tools"},
      {with("tools", "[42]"), "tools[0]"},
      {with("tools", R"([{"type":"function"}])"), "tools[0].function"},
      {with("tools", R"([{}])"), "tools[0].function"},
      {with("tools", R"([{"type":5}])"), "tools[0].type"},
      {with("tools", "[" + tool + R"(,{"function":{}}])"), "tools[1].function.name"},
      {with("tools", R"([{"function":{"name":""}}])"), "tools[0].function.name"},
      {with("tools", R"([{"function":{"name":"f","parameters":"x"}}])"), "tools[0].function.parameters"},
      {with("tools", R"([{"function":{"name":"f","description":1}}])"), "tools[0].function.description"},
      {with("tools", "[" + tool + "," + tool + "]"), "tools[1]"},
      {with("tools", "[" + tool + R"(],"tool_choice":"g")"), "tool_choice"},
      {with("tools", "[" + tool + R"(],"tool_choice":5)"), "tool_choice"},
      {with("tools", "[" + tool + R"(],"tool_choice":{"type":"function","function":{"name":"g"}})"),
       "tool_choice.function.name"},
      {with("tools", "[" + tool + R"(],"tool_choice":{"type":"function"})"), "tool_choice.function"},
      {with("tools", "[" + tool + R"(],"tool_choice":{"type":"any"})"), "tool_choice.type"},
      {with("tool_choice", R"("f")"), "tool_choice"},
      {with("response_format", "42"), "response_format"},
      {with("response_format", R"({"type":"object"})"), "response_format.type"},
      {with("response_format", R"({"type":"json_schema"})"), "response_format.json_schema"},
      {with("response_format", R"({"type":"json_schema","json_schema":{"name":"x"}})"),
       "response_format.json_schema.schema"},
      {with("response_format", R"({"type":"json_schema","json_schema":{"schema":{},"name":1}})"),
       "response_format.json_schema.name"},
  };
  for (const auto& [json, path] : cases) {
    const std::string message = error_of(json);
    EXPECT_TRUE(message.starts_with(path + ": ")) << json << "\n  wanted " << path << "\n  got " << message;
  }
}

TEST(Request, says_what_would_be_right) {
  EXPECT_EQ(error_of(user_parts(R"([{"type":"hologram"}])")),
            R"(messages[0].content[0].type: "hologram" is not one of text, image_url, input_audio, file)");
  EXPECT_EQ(error_of(with("max_tokens", "true")), "max_tokens: must be a whole number of at least 1, not a bool");
  EXPECT_EQ(error_of(with("temperature", "NaN")), "temperature: must be a finite number");
  EXPECT_EQ(error_of(with("tools", "[" + std::string(kTool) + "," + kTool + "]")),
            R"(tools[1]: there are two tools named "f")");
}

TEST(Request, cuts_a_long_value_in_its_message) {
  std::string word;
  for (int i = 0; i < 1000; ++i) word += "ü";
  const std::string message = error_of(with("reasoning_effort", "\"" + word + "\""));
  EXPECT_LT(message.size(), 250u);
  json::Document document;
  EXPECT_FALSE(document.parse("\"" + word.substr(0, 10) + "\""));
  EXPECT_NE(message.find("ü..."), std::string::npos) << message;
}

TEST(Request, accepts_what_some_provider_may_take) {
  for (const char* keyword :
       {R"("temperature":0)",
        R"("temperature":5)",
        R"("top_p":1)",
        R"("top_p":0)",
        R"("top_k":0)",
        R"("max_tokens":1)",
        R"("max_tokens":2.0)",
        R"("seed":-5)",
        R"("stop":"x")",
        R"("stop":["x","y"])",
        R"("stop":[])",
        R"("n":3)",
        R"("reasoning_effort":"minimal")",
        R"("reasoning_effort":"xhigh")",
        R"("reasoning_effort":0)",
        R"("reasoning_effort":4096)",
        R"("logprobs":true)",
        R"("logprobs":5)",
        R"("parallel_tool_calls":false)",
        R"("service_tier":"anything")",
        R"("frequency_penalty":-3.5)",
        R"("extra":{"a":[1,null]})",
        R"("response_format":{"type":"text"})",
        R"("response_format":{"type":"json_object"})",
        R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}})",
        R"("tool_choice":"auto")",
        R"("tools":[],"tool_choice":"none")",
        R"("tools":[{"function":{"name":"f"}}],"tool_choice":"f")",
        R"("tools":[{"function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}})",
        R"("tools":[{"type":"web_search_20250305","name":"search"}],"tool_choice":"search")",
        R"("system":"")",
        R"("system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}])",
        R"("timeout":"soon","retry":[],"model":5,"unknown":{})",
        R"("system":null,"temperature":null,"tools":null)"}) {
    EXPECT_EQ(error_of(R"({"messages":"Hi",)" + std::string(keyword) + "}"), "") << keyword;
  }
}

TEST(Request, accepts_every_kind_of_message) {
  for (
      const char* message :
      {R"({"role":"developer","content":"x"})", R"({"role":"assistant"})", R"({"role":"assistant","content":null})",
       R"({"role":"assistant","content":null,"tool_calls":null,"refusal":null})",
       R"({"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"refusal","refusal":"no"}]})",
       R"({"role":"assistant","content":"","reasoning":"hm","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{"}}]})",
       R"({"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]})",
       R"({"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":"data:,"}],"is_error":true})",
       R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"x","detail":"low"}},{"type":"input_audio","input_audio":{"data":"x"}},{"type":"file","file":{"file_id":"x"},"citations":{"enabled":true}}]})",
       R"({"role":"user","content":"x","name":"Ann","cache_control":{"type":"ephemeral"}})"}) {
    EXPECT_EQ(error_of(second(message)), "") << message;
    EXPECT_EQ(error_of(with_messages(message)), "") << message;
  }
}

TEST(Request, makes_a_list_of_a_string_and_of_one_message) {
  for (const char* json : {R"({"system":"s","messages":"Hi \ud83d\ude42\n","n":2})",
                           R"({"system":"s","messages": {"role":"user","content":"Hi \ud83d\ude42\n"} ,"n":2})",
                           R"({"system":"s","messages":[{"role":"user","content":"Hi \ud83d\ude42\n"}],"n":2})"}) {
    const auto request = request_of(json);
    ASSERT_TRUE(request);
    const json::Value messages = (*request)[Field::Messages];
    ASSERT_TRUE(messages.is_array());
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_TRUE(messages[0]["role"].is("user"));
    EXPECT_EQ(messages[0]["content"].string(), "Hi 🙂\n");
    EXPECT_EQ((*request)[Field::System].string(), "s");
    EXPECT_EQ((*request)[Field::N].integer(), 2);
  }
}

TEST(Request, has_no_value_for_null_and_for_an_empty_list_of_tools) {
  const auto request = request_of(R"({"messages":"Hi","temperature":null,"tools":[],"model":"a/b"})");
  ASSERT_TRUE(request);
  EXPECT_FALSE((*request)[Field::Temperature].exists());
  EXPECT_FALSE((*request)[Field::Tools].exists());
  EXPECT_TRUE(request->root()["model"].is("a/b"));
}

TEST(Request, refuses_half_of_a_surrogate_pair_with_its_path) {
  EXPECT_TRUE(error_of(with_messages(R"("bad \ud83d")")).starts_with("messages[0].content: "));
  EXPECT_TRUE(error_of(second(R"({"role":"user","content":"bad \ude42"})")).starts_with("messages[1].content: "));
  EXPECT_TRUE(error_of(second(R"({"role":"user","content":"\ud83d \ude42"})")).starts_with("messages[1].content: "));
  EXPECT_TRUE(error_of(second(R"({"role":"user","content":"\ud83d\ud83d\ude42"})")).starts_with("messages[1]."));
  EXPECT_TRUE(error_of(with("extra", R"({"a":[1,"\uD83D"]})")).starts_with("extra.a[1]: "));
  EXPECT_TRUE(error_of(with("extra", R"({"\ud83d":1})")).starts_with("extra."));
  EXPECT_EQ(error_of(with("extra", R"({"a":["\ud83d\ude42","\\ud83d","\u0041"]})")), "");
}

TEST(Request, names_the_keyword_that_is_nested_too_deep) {
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += R"({"a":)";
  const std::string message = error_of(R"({"messages":"Hi [{\"","extra":{"x":)" + deep);
  EXPECT_TRUE(message.starts_with("extra.x.a.a...: ")) << message;
}

TEST(Request, refuses_what_is_no_object_of_keywords) {
  for (const char* text : {"", "[]", "5", "\"x\"", "{", "{\"messages\":\"a\xFF\"}"})
    EXPECT_NE(error_of(text), "") << text;
}

TEST(Request, counts_the_bytes_that_a_model_reads) {
  const auto bytes = [](const std::string& json) { return request_of(json)->text_bytes(); };
  EXPECT_EQ(bytes(with_messages(R"("Hello")")), 5u);
  EXPECT_EQ(bytes(with_messages(R"("\u00e9\n\u20ac\ud83d\ude42\u0041\u0000ü")")), 2u + 1 + 3 + 4 + 1 + 1 + 2);
  EXPECT_EQ(bytes(R"({"system":"abc","messages":[{"role":"user","content":[{"type":"text","text":"de"},)"
                  R"({"type":"image_url","image_url":"data:image/png;base64,AAAA"}]},{"role":"assistant","tool_calls":)"
                  R"([{"id":"c","function":{"name":"fg","arguments":"{}"}}]}]})"),
            3u + 2 + 2 + 2);
  EXPECT_EQ(bytes(with("tools", "[" + std::string(kTool) + "]")), 2 + std::string(kTool).size() + 2);
}

TEST(FieldName, is_the_keyword_of_a_call) {
  EXPECT_EQ(field_name(Field::Messages), "messages");
  EXPECT_EQ(field_name(Field::ToolChoice), "tool_choice");
  EXPECT_EQ(field_name(Field::MaxTokens), "max_tokens");
  EXPECT_EQ(field_name(Field::ReasoningEffort), "reasoning_effort");
  EXPECT_EQ(field_name(Field::PresencePenalty), "presence_penalty");
  EXPECT_EQ(field_name(Field::Extra), "extra");
}

TEST(PathOfByte, finds_its_way_through_strings_and_closed_containers) {
  const std::string json = R"({"a":{"b":[1,"],}\"{",{"c":2}]},"d":[[],x]})";
  EXPECT_EQ(path_of_byte(json, json.find("2}")), "a.b[2].c");
  EXPECT_EQ(path_of_byte(json, json.find("x]")), "d[1]");
  EXPECT_EQ(path_of_byte(json, 0), "");
  EXPECT_EQ(path_of_byte("{1", 1), "");
}

}  // namespace
}  // namespace orchestra::chat
