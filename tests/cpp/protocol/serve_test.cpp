// The server direction: what each format writes, it reads back the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support.hpp"

namespace orchestra::protocol {
namespace {

using chat::Finish;
using testing::decode;
using testing::Decoded;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::stream;
using testing::Streamed;

class Serve : public ::testing::TestWithParam<std::string_view> {
 protected:
  [[nodiscard]] static const Format& format() { return *find_format(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Formats, Serve, ::testing::ValuesIn(format_names()), [](const auto& format) {
  std::string name(format.param);
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

ServerReply full_reply() {
  ServerReply reply;
  reply.id = "id-1";
  reply.model = "fake-1";
  reply.text = "Grüße 🙂 \"quoted\"\n\ttwo \\ lines";
  reply.reasoning = "six times seven";
  reply.tool_calls = {{"c1", "f", R"({"city":"Kyïv"})"}, {"c2", "g", "{}"}};
  reply.finish = Finish::ToolCalls;
  reply.usage.input_tokens = 100;
  reply.usage.output_tokens = 20;
  reply.usage.cached_tokens = 40;
  reply.usage.reasoning_tokens = 5;
  return reply;
}

void expect_same(const ServerReply& reply, const Decoded& got) {
  ASSERT_TRUE(got.summary.has_value()) << got.summary.error().message;
  const chat::Choice& choice = got.choices[0];
  EXPECT_EQ(choice.text, reply.text);
  EXPECT_EQ(choice.reasoning, reply.reasoning);
  ASSERT_EQ(choice.tool_calls.size(), reply.tool_calls.size());
  for (std::size_t i = 0; i < reply.tool_calls.size(); ++i) {
    EXPECT_EQ(choice.tool_calls[i].id, reply.tool_calls[i].id);
    EXPECT_EQ(choice.tool_calls[i].name, reply.tool_calls[i].name);
    EXPECT_EQ(choice.tool_calls[i].arguments, reply.tool_calls[i].arguments);
  }
  EXPECT_EQ(got.summary->finish, reply.finish);
  EXPECT_EQ(got.summary->served_model, reply.model);
  EXPECT_EQ(got.summary->usage.input_tokens, reply.usage.input_tokens);
  EXPECT_EQ(got.summary->usage.output_tokens, reply.usage.output_tokens);
  EXPECT_EQ(got.summary->usage.cached_tokens, reply.usage.cached_tokens);
  EXPECT_EQ(got.summary->usage.reasoning_tokens, reply.usage.reasoning_tokens);
}

TEST_P(Serve, reads_back_what_it_wrote) {
  expect_same(full_reply(), decode(format(), format().encode_reply(full_reply())));
}

TEST_P(Serve, reads_back_what_it_streamed_in_any_number_of_pieces) {
  for (const std::size_t pieces : {0, 1, 2, 5, 1000}) {
    std::string bytes;
    for (const auto& event : format().encode_stream(full_reply(), {}, pieces)) bytes += event.bytes;
    const Streamed got = stream(format(), bytes);
    ASSERT_TRUE(got.status.has_value()) << got.status.error().message;
    EXPECT_TRUE(got.done);
    EXPECT_EQ(got.text(), full_reply().text);
    expect_same(full_reply(), decode(format(), got.plain_body));
  }
}

TEST_P(Serve, tells_every_finish_that_it_has_a_word_for) {
  for (const Finish finish : {Finish::Stop, Finish::Length}) {
    ServerReply reply;
    reply.text = "x";
    reply.finish = finish;
    EXPECT_EQ(decode(format(), format().encode_reply(reply)).summary->finish, finish);
  }
}

TEST_P(Serve, leaves_counts_that_are_not_reported_unknown) {
  ServerReply reply;
  reply.text = "x";
  EXPECT_FALSE(decode(format(), format().encode_reply(reply)).summary->usage.reported());
}

TEST_P(Serve, marks_the_events_that_carry_content) {
  ServerReply reply;
  reply.text = "abcdefgh";
  std::size_t content = 0;
  for (const auto& event : format().encode_stream(reply, {}, 4)) content += event.content ? 1 : 0;
  EXPECT_EQ(content, 4u);
}

TEST_P(Serve, writes_errors_that_it_reads_back_by_class) {
  for (const auto& [status, kind] :
       {std::pair{400, chat::ErrorKind::InvalidRequest}, std::pair{401, chat::ErrorKind::Authentication},
        std::pair{404, chat::ErrorKind::NotFound}, std::pair{429, chat::ErrorKind::RateLimited},
        std::pair{500, chat::ErrorKind::Server}, std::pair{529, chat::ErrorKind::Overloaded}}) {
    const chat::Error error = format().error(status, {}, format().encode_error(status, "slow \"down\""));
    EXPECT_EQ(error.kind, kind) << status;
    EXPECT_EQ(error.message, "slow \"down\"");
  }
}

TEST_P(Serve, reads_model_and_stream_of_a_request) {
  json::Document document;
  ASSERT_FALSE(document.parse(R"({"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}})")
                   .has_value());
  const auto request = format().read_request(document.root());
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->model, "m");
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->include_usage);
  ASSERT_FALSE(document.parse("{}").has_value());
  EXPECT_FALSE(format().read_request(document.root()).has_value());
}

TEST_P(Serve, knows_its_own_path_behind_any_prefix) {
  EXPECT_FALSE(format().serves("/v1/embeddings"));
  const bool openai = GetParam() == "openai-chat";
  EXPECT_EQ(format().serves("/openai/v1/chat/completions?api-version=1"), openai);
  EXPECT_EQ(format().serves("/v1/messages?beta=true"), !openai);
}

TEST(ServeOpenAi, sends_usage_in_a_stream_only_when_asked) {
  const Format& format = *find_format("openai-chat");
  std::string bytes;
  for (const auto& event : format.encode_stream(full_reply(), {.include_usage = false}, 2)) bytes += event.bytes;
  EXPECT_THAT(bytes, Not(HasSubstr("usage")));
}

TEST(ServeOpenAi, has_a_field_for_a_refusal) {
  const Format& format = *find_format("openai-chat");
  ServerReply reply;
  reply.refusal = "No.";
  reply.finish = Finish::Refusal;
  const Decoded got = decode(format, format.encode_reply(reply));
  EXPECT_EQ(got.choices[0].refusal, "No.");
  EXPECT_EQ(got.summary->finish, Finish::Refusal);
}

}  // namespace
}  // namespace orchestra::protocol
