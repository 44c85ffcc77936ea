#include "protocol/errors.hpp"

#include <gtest/gtest.h>

#include <string>

#include "protocol/format.hpp"
#include "support.hpp"

namespace orchestra::protocol {
namespace {

using chat::ErrorKind;

const Format& openai() { return *find_format("openai-chat"); }
const Format& anthropic() { return *find_format("anthropic-messages"); }

chat::Error openai_error(int status, std::string_view type, std::string_view code, std::string_view message) {
  std::string body = R"({"error":{"message":")";
  body.append(message).append(R"(","type":")").append(type).append(R"(","param":null,"code":)");
  body.append(code.empty() ? "null" : "\"" + std::string(code) + "\"").append("}}");
  return openai().error(status, {}, body);
}

TEST(Errors, have_the_class_and_retry_of_their_status) {
  struct Row {
    int status;
    ErrorKind kind;
    bool retryable;
  };
  for (const Row& row :
       {Row{400, ErrorKind::InvalidRequest, false}, Row{401, ErrorKind::Authentication, false},
        Row{402, ErrorKind::RateLimited, false}, Row{403, ErrorKind::PermissionDenied, false},
        Row{404, ErrorKind::NotFound, false}, Row{405, ErrorKind::InvalidRequest, false},
        Row{408, ErrorKind::Server, true}, Row{409, ErrorKind::Server, true},
        Row{413, ErrorKind::InvalidRequest, false}, Row{422, ErrorKind::InvalidRequest, false},
        Row{425, ErrorKind::Server, true}, Row{429, ErrorKind::RateLimited, true}, Row{500, ErrorKind::Server, true},
        Row{502, ErrorKind::Server, true}, Row{503, ErrorKind::Overloaded, true}, Row{529, ErrorKind::Overloaded, true},
        Row{302, ErrorKind::Protocol, false}}) {
    const chat::Error error = openai_error(row.status, "some_type", "", "Some sentence.");
    EXPECT_EQ(error.kind, row.kind) << row.status;
    EXPECT_EQ(error.retryable, row.retryable) << row.status;
    EXPECT_EQ(error.status, row.status);
    EXPECT_EQ(error.message, "Some sentence.");
  }
}

TEST(Errors, of_407_come_from_the_proxy_whatever_its_page_says) {
  for (const std::string_view body : {R"({"error":{"message":"Denied."}})", "<h1>Denied</h1>", ""}) {
    const chat::Error error = openai().error(407, {}, body);
    EXPECT_EQ(error.kind, ErrorKind::Connect);
    EXPECT_FALSE(error.retryable);
    EXPECT_EQ(error.message, "the proxy asks for a user and a password: http://user:password@host:port");
    EXPECT_EQ(error.status, 407);
  }
}

TEST(Errors, of_400_look_at_code_and_message) {
  EXPECT_EQ(openai_error(400, "invalid_request_error", "context_length_exceeded", "x").kind, ErrorKind::ContextTooLong);
  EXPECT_EQ(openai_error(400, "exceed_context_size_error", "", "x").kind, ErrorKind::ContextTooLong);
  EXPECT_EQ(openai_error(400, "x", "", "This model's maximum context length is 8192 tokens.").kind,
            ErrorKind::ContextTooLong);
  EXPECT_EQ(openai_error(422, "x", "content_filter", "x").kind, ErrorKind::ContentFiltered);
  EXPECT_EQ(openai_error(400, "content_policy_violation", "", "x").kind, ErrorKind::ContentFiltered);
  EXPECT_EQ(openai_error(400, "rate_limit_error", "", "x").kind, ErrorKind::InvalidRequest);
}

TEST(Errors, of_a_used_up_quota_are_rate_limits_that_no_retry_helps) {
  const chat::Error error = openai_error(429, "insufficient_quota", "insufficient_quota", "You exceeded your quota.");
  EXPECT_EQ(error.kind, ErrorKind::RateLimited);
  EXPECT_FALSE(error.retryable);
}

TEST(Errors, of_a_request_that_a_server_answers_with_500_are_not_retried) {
  EXPECT_FALSE(openai_error(500, "invalid_request_error", "", "x").retryable);
  EXPECT_FALSE(openai_error(501, "not_supported_error", "", "x").retryable);
  EXPECT_EQ(openai_error(501, "not_supported_error", "", "x").kind, ErrorKind::Server);
}

TEST(Errors, keep_the_provider_s_sentence_from_any_shape) {
  EXPECT_EQ(openai().error(404, {}, R"({"error": "Specified model not found"})").message, "Specified model not found");
  EXPECT_EQ(openai().error(404, {}, R"({"detail": "Not Found"})").message, "Not Found");
  EXPECT_EQ(openai().error(422, {}, R"({"detail": [{"msg": "field required"}]})").message, "field required");
  EXPECT_EQ(openai().error(404, {}, R"({"message": "nope", "code": 404})").message, "nope");
  EXPECT_EQ(
      anthropic().error(404, {}, R"({"type":"error","error":{"type":"not_found_error","message":"model: x"}})").message,
      "model: x");
}

TEST(Errors, of_unknown_shape_name_the_status_and_show_an_excerpt) {
  EXPECT_EQ(openai().error(404, {}, "<h1>404</h1>").message, "HTTP 404: <h1>404</h1>");
  EXPECT_EQ(openai().error(502, {}, "").message, "HTTP 502");
  EXPECT_EQ(openai().error(404, {}, "null").message, "HTTP 404: null");
  EXPECT_EQ(openai().error(404, {}, "[]").body, "[]");
  EXPECT_NE(openai().error(308, {}, "").message.find("redirect"), std::string::npos);
}

TEST(Errors, cut_the_excerpt_at_a_code_point_and_replace_what_is_no_utf_8) {
  const std::string text = std::string(chat::kBodyExcerpt - 1, 'a') + "\xC3\xA9";
  EXPECT_EQ(excerpt(text), std::string(chat::kBodyExcerpt - 1, 'a'));
  EXPECT_EQ(excerpt("a\xFF"
                    "b\xED\xA0\x80"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Errors, inside_a_200_mean_what_their_own_code_says) {
  const auto kind = [](std::string body) {
    const auto decoded = testing::decode(openai(), std::move(body));
    EXPECT_FALSE(decoded.summary.has_value());
    return decoded.summary ? ErrorKind::Config : decoded.summary.error().kind;
  };
  EXPECT_EQ(kind(R"({"error": {"message": "Rate limit exceeded", "code": 429}})"), ErrorKind::RateLimited);
  EXPECT_EQ(kind(R"({"error": {"message": "Provider returned error", "code": 502}})"), ErrorKind::Server);
  EXPECT_EQ(kind(R"({"error": {"message": "x", "code": "400", "type": "context_length_exceeded"}})"),
            ErrorKind::ContextTooLong);
  EXPECT_EQ(kind(R"({"error": {"message": "x", "type": "authentication_error"}})"), ErrorKind::Authentication);
  EXPECT_EQ(kind(R"({"error": {"message": "x"}})"), ErrorKind::Server);
  EXPECT_EQ(kind(R"({"choices": [{"error": {"message": "x", "code": 503}, "message": {}}]})"), ErrorKind::Overloaded);
}

}  // namespace
}  // namespace orchestra::protocol
