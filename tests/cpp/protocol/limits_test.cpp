// Every limit at its value and one above, in both formats: what is over it is a Protocol error that names it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "protocol/errors.hpp"
#include "protocol/format.hpp"
#include "protocol/support.hpp"

namespace orchestra::protocol {
namespace {

using protocol::testing::decode;
using protocol::testing::events;
using protocol::testing::stream;
using protocol::testing::Streamed;
using ::testing::HasSubstr;

const Format& openai() { return *find_format("openai-chat"); }
const Format& anthropic() { return *find_format("anthropic-messages"); }

// "fine", or the message of a Protocol error.
std::string said(const Status& status) {
  if (status) return "fine";
  EXPECT_EQ(status.error().kind, chat::ErrorKind::Protocol);
  return status.error().message;
}

std::string said(const Result<chat::Summary>& summary) {
  if (summary) return "fine";
  EXPECT_EQ(summary.error().kind, chat::ErrorKind::Protocol);
  return summary.error().message;
}

std::string named(std::string_view name, std::size_t value) {
  return "limit `" + std::string(name) + "` of " + std::to_string(value);
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

const std::string kFinish = R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})";
const std::string kStop = R"({"type":"message_delta","delta":{"stop_reason":"end_turn"}})";

std::string text_chunk(std::string_view text) {
  return R"({"choices":[{"index":0,"delta":{"content":")" + std::string(text) + R"("}}]})";
}
std::string text_event(std::string_view text) {
  return R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")" + std::string(text) +
         R"("}})";
}

TEST(Limits, are_those_that_the_documentation_promises) {
  const Limits limits;
  EXPECT_EQ(limits.body, std::size_t{64} << 20);
  EXPECT_EQ(limits.line, std::size_t{8} << 20);
  EXPECT_EQ(limits.event, std::size_t{16} << 20);
  EXPECT_EQ(limits.text, std::size_t{64} << 20);
  EXPECT_EQ(limits.json_depth, 128u);
  EXPECT_EQ(limits.tool_calls, 256u);
  EXPECT_EQ(limits.request, std::size_t{64} << 20);
}

TEST(Limits, tell_a_sentence_that_names_them) {
  const chat::Error error = over_limit("the answer is larger", "body", 100, "bytes");
  EXPECT_EQ(error.kind, chat::ErrorKind::Protocol);
  EXPECT_EQ(error.message, "the answer is larger than the limit `body` of 100 bytes");
  EXPECT_EQ(over_limit("the reply has more tool calls", "tool_calls", 3, "").message,
            "the reply has more tool calls than the limit `tool_calls` of 3");
}

TEST(Limits, of_a_line_count_it_without_its_ending) {
  for (const Format* format : {&openai(), &anthropic()}) {
    const bool is_openai = format == &openai();
    const std::string data = is_openai ? text_chunk(std::string(200, 'x')) : text_event(std::string(200, 'x'));
    const std::string tail = events({is_openai ? kFinish : kStop});
    DecodeOptions options;
    for (const std::string ending : {"\n", "\r\n", "\r"}) {
      const std::string body = "data: " + data + ending + ending + tail;
      for (const std::size_t piece : {0u, 1u, 7u}) {
        options.limits.line = 6 + data.size();
        EXPECT_EQ(said(stream(*format, body, piece, options).status), "fine");
        options.limits.line -= 1;
        EXPECT_THAT(said(stream(*format, body, piece, options).status), HasSubstr(named("line", options.limits.line)));
      }
    }
    // A comment, and a field that nobody knows, are lines too.
    options.limits.line = 300;
    for (const std::string line : {":", "other:"}) {
      const auto body = [&](std::size_t size) { return line + std::string(size - line.size(), 'x') + "\n" + tail; };
      EXPECT_EQ(said(stream(*format, body(300), 0, options).status), "fine");
      EXPECT_THAT(said(stream(*format, body(301), 0, options).status), HasSubstr(named("line", 300)));
    }
  }
}

TEST(Limits, of_an_event_count_its_data_over_all_lines) {
  for (const Format* format : {&openai(), &anthropic()}) {
    const bool is_openai = format == &openai();
    // Data in three lines, joined by line feeds, which JSON takes for white space.
    const std::string inner = is_openai ? text_chunk(std::string(100, 'x')) : text_event(std::string(100, 'x'));
    const std::string tail = events({is_openai ? kFinish : kStop});
    const std::string body = "data: {\ndata:    \ndata: " + inner.substr(1) + "\n\n" + tail;
    const std::size_t size = 1 + 1 + 3 + 1 + inner.size() - 1;
    DecodeOptions options;
    for (const std::size_t piece : {0u, 1u, 5u}) {
      options.limits.event = size;
      EXPECT_EQ(said(stream(*format, body, piece, options).status), "fine");
      options.limits.event = size - 1;
      EXPECT_THAT(said(stream(*format, body, piece, options).status), HasSubstr(named("event", size - 1)));
    }
  }
}

TEST(Limits, of_the_text_bound_what_a_stream_holds) {
  for (const Format* format : {&openai(), &anthropic()}) {
    const bool is_openai = format == &openai();
    std::vector<std::string> data;
    for (int i = 0; i < 50; ++i) data.push_back(is_openai ? text_chunk("0123456789") : text_event("0123456789"));
    data.push_back(is_openai ? kFinish : kStop);
    DecodeOptions options;
    // The smallest limit that lets it pass; it is what the stream holds.
    std::size_t least = 0;
    std::size_t most = 100'000;
    while (most - least > 1) {
      options.limits.text = (least + most) / 2;
      (stream(*format, events(data), 0, options).status ? most : least) = options.limits.text;
    }
    EXPECT_GE(most, 500u);
    EXPECT_LT(most, 1000u);
    options.limits.text = most;
    EXPECT_EQ(said(stream(*format, events(data), 3, options).status), "fine");
    options.limits.text = most - 1;
    const Streamed out = stream(*format, events(data), 3, options);
    EXPECT_THAT(said(out.status), HasSubstr(named("text", most - 1)));
    EXPECT_THAT(out.text(), HasSubstr("0123456789"));  // what came before it is kept
    // Text, reasoning, arguments, unknown fields: none of them is free.
    options.limits.text = 2000;
    const std::string large(3000, 'x');
    const std::vector<std::string> others =
        is_openai
            ? std::vector<
                  std::
                      string>{R"({"choices":[{"delta":{"reasoning_content":")" + large + R"("}}]})",
                              R"({"choices":[{"delta":{"refusal":")" + large + R"("}}]})",
                              R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":")" +
                                  large + R"("}}]}}]})",
                              R"({"choices":[{"delta":{},"unknown":")" + large + R"("}]})",
                              R"({"choices":[{"delta":{},"logprobs":{"content":[")" + large + R"("]}}]})",
                              R"({"choices":[],"unknown":")" + large + R"("})"}
            : std::vector<std::string>{
                  R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":")" + large +
                      R"("}})",
                  R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","x":")" + large +
                      R"("}})",
                  R"({"type":"message_start","message":{"x":")" + large + R"("}})",
                  R"({"type":"message_delta","delta":{"x":")" + large + R"("}})",
                  R"({"type":"message_delta","delta":{},"usage":{"x":")" + large + R"("}})"};
    for (const std::string& event : others) {
      EXPECT_THAT(said(stream(*format, events({event}), 0, options).status), HasSubstr(named("text", 2000))) << event;
    }
  }
  DecodeOptions options;
  options.limits.text = 2000;
  const std::string call =
      R"({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}})";
  const std::string piece =
      R"({"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":")" +
      std::string(3000, ' ') + R"("}})";
  EXPECT_THAT(said(stream(anthropic(), events({call, piece}), 0, options).status), HasSubstr(named("text", 2000)));
}

TEST(Limits, of_the_body_bound_a_page_that_comes_instead_of_a_stream) {
  for (const Format* format : {&openai(), &anthropic()}) {
    DecodeOptions options;
    options.limits.body = 1000;
    for (const std::size_t piece : {0u, 1u, 300u}) {
      const std::string page = "<html>" + std::string(994, 'x');
      EXPECT_THAT(said(stream(*format, page, piece, options).status), HasSubstr("no event stream"));
      EXPECT_THAT(said(stream(*format, page + "x", piece, options).status), HasSubstr(named("body", 1000)));
    }
  }
}

TEST(Limits, of_the_depth_hold_in_a_field_that_nobody_knows) {
  DecodeOptions options;
  for (const std::size_t depth : {std::size_t{128}, std::size_t{20}}) {
    options.limits.json_depth = depth;
    const std::string limit = "deeper than " + std::to_string(depth) + " containers, the limit `json_depth`";
    // The event itself is the outermost container.
    for (const std::string event : {R"({"choices":[{"index":0,"delta":{"content":"a"}}],"unknown":)",
                                    R"({"type":"message_delta","delta":{},"x":)"}) {
      const Format& format = event.find("choices") < event.size() ? openai() : anthropic();
      const std::string end = events({&format == &openai() ? kFinish : kStop});
      EXPECT_EQ(said(stream(format, events({event + nested(depth - 1) + "}"}) + end, 0, options).status), "fine");
      EXPECT_THAT(said(stream(format, events({event + nested(depth) + "}"}) + end, 0, options).status),
                  HasSubstr(limit));
    }
  }
}

TEST(Limits, of_the_depth_let_no_plain_body_of_a_stream_grow_beyond_its_own) {
  // Two containers more than in the event, which is as deep as it may be.
  const std::string deep =
      R"({"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":)" + nested(126) + "}}";
  const std::string start = R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}})";
  const Streamed out = stream(anthropic(), events({start, deep, kStop}));
  ASSERT_EQ(said(out.status), "fine");
  json::Document document;
  EXPECT_FALSE(document.parse_copy(out.plain_body, json::kMaxDepth + kPlainBodyDepth));
  EXPECT_TRUE(document.parse_copy(out.plain_body, json::kMaxDepth + kPlainBodyDepth - 1));
}

TEST(Limits, of_the_depth_leave_arguments_that_are_too_deep_as_text) {
  for (const auto& [depth, is_object] : {std::pair(std::size_t{125}, true), {std::size_t{126}, false}}) {
    std::string input = R"({\"a\":)" + nested(depth - 1) + "}";
    const Streamed out = stream(
        anthropic(),
        events(
            {R"({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}})",
             R"({"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":")" + input +
                 R"("}})",
             kStop}));
    ASSERT_EQ(said(out.status), "fine");
    json::Document document;
    ASSERT_FALSE(document.parse_copy(out.plain_body));
    EXPECT_EQ(document.root()["content"][std::size_t{0}]["input"].is_object(), is_object);
    const auto choices = anthropic().choices(document.root(), {});
    std::erase(input, '\\');
    EXPECT_EQ(choices.at(0).tool_calls.at(0).arguments, input);
  }
}

std::string repeated(std::string_view item, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out.append(i == 0 ? "" : ",").append(item);
  return out;
}

TEST(Limits, of_tool_calls_hold_for_a_reply_with_all_its_choices) {
  const std::string call = R"({"id":"a","function":{"name":"f","arguments":"{}"}})";
  const auto choice = [&](std::size_t calls) {
    return R"({"message":{"tool_calls":[)" + repeated(call, calls) + R"(]},"finish_reason":"tool_calls"})";
  };
  const auto body = [](const std::string& choices) { return R"({"choices":[)" + choices + "]}"; };
  EXPECT_EQ(said(decode(openai(), body(choice(256))).summary), "fine");
  EXPECT_THAT(said(decode(openai(), body(choice(257))).summary), HasSubstr(named("tool_calls", 256)));
  EXPECT_EQ(said(decode(openai(), body(choice(100) + "," + choice(156))).summary), "fine");
  EXPECT_THAT(said(decode(openai(), body(choice(100) + "," + choice(157))).summary),
              HasSubstr(named("tool_calls", 256)));

  const std::string block = R"({"type":"tool_use","id":"a","name":"f","input":{}})";
  const auto message = [&](std::size_t calls) {
    return R"({"content":[{"type":"text","text":""},)" + repeated(block, calls) + R"(],"stop_reason":"tool_use"})";
  };
  EXPECT_EQ(said(decode(anthropic(), message(256)).summary), "fine");
  EXPECT_THAT(said(decode(anthropic(), message(257)).summary), HasSubstr(named("tool_calls", 256)));
}

TEST(Limits, of_tool_calls_hold_in_a_stream) {
  const auto chunks = [](std::size_t calls) {
    std::vector<std::string> data;
    for (std::size_t i = 0; i < calls; ++i) {
      data.push_back(R"({"choices":[{"index":)" + std::to_string(i % 2) + R"(,"delta":{"tool_calls":[{"index":)" +
                     std::to_string(i / 2) + R"(,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]})");
    }
    data.push_back(
        R"({"choices":[{"index":0,"delta":{},"finish_reason":"x"},{"index":1,"delta":{},"finish_reason":"x"}]})");
    return events(data);
  };
  EXPECT_EQ(said(stream(openai(), chunks(256)).status), "fine");
  EXPECT_THAT(said(stream(openai(), chunks(257)).status), HasSubstr(named("tool_calls", 256)));

  const auto blocks = [](std::size_t calls) {
    std::vector<std::string> data;
    for (std::size_t i = 0; i < calls; ++i) {
      data.push_back(R"({"type":"content_block_start","index":)" + std::to_string(i) +
                     R"(,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}})");
    }
    data.push_back(kStop);
    return events(data);
  };
  EXPECT_EQ(said(stream(anthropic(), blocks(256)).status), "fine");
  EXPECT_THAT(said(stream(anthropic(), blocks(257)).status), HasSubstr(named("tool_calls", 256)));
}

}  // namespace
}  // namespace orchestra::protocol
