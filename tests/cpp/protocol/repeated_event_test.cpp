// An event that repeats the one before but for its text is taken without being parsed. It must come to the same as
// parsing it: each stream here is also fed with a blank in every second event, so that none repeats its neighbour.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support.hpp"

namespace orchestra::protocol {
namespace {

using testing::stream;
using testing::Streamed;

// JSON strings without their quotes; the last ones are no JSON or no UTF-8.
constexpr std::array<std::string_view, 16> kTexts = {"a",
                                                     " b",
                                                     "",
                                                     "Grüße",
                                                     "🙂",
                                                     R"(\n)",
                                                     R"(\ud83d)",
                                                     R"(\ude42)",
                                                     "\\\"",
                                                     "long",
                                                     "tab",
                                                     "x",
                                                     "a\xff b",
                                                     "con\x01"
                                                     "trol",
                                                     "\"",
                                                     "\\"};
constexpr std::size_t kGoodTexts = 12;

class Events {
 public:
  Events(std::string_view format, unsigned seed, bool with_faults)
      : anthropic_(format == "anthropic-messages"), random_(seed), texts_(with_faults ? kTexts.size() : kGoodTexts) {}

  std::vector<std::string> make() {
    std::vector<std::string> out;
    if (anthropic_)
      out.push_back(R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})");
    for (std::size_t left = 3 + pick(12); left > 0; --left) out.push_back(anthropic_ ? anthropic() : openai());
    if (anthropic_) {
      out.push_back(R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}})");
      out.push_back(R"({"type":"message_stop"})");
    } else {
      out.push_back(R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},)"
                    R"("finish_reason":"stop"}]})");
    }
    return out;
  }

 private:
  std::size_t pick(std::size_t count) { return random_() % count; }
  std::string text() { return '"' + std::string(kTexts[pick(texts_)]) + '"'; }

  std::string openai() {
    static constexpr std::array<std::string_view, 11> kDeltas = {
        R"({"content":TEXT})",
        R"({"content":TEXT})",
        R"({"content":TEXT})",
        R"({"content":TEXT})",
        R"({"role":"assistant","content":TEXT})",
        R"({"content":TEXT,"refusal":null,"tool_calls":null})",
        R"({"content":TEXT,"reasoning_content":"r"})",
        R"({"content":TEXT,"content":TEXT})",
        R"({"content":TEXT,"more":"m"})",
        R"({"content":TEXT,"tool_calls":[{"index":0,"id":"i","function":{"name":"f","arguments":"1"}}]})",
        R"({"content":[{"type":"text","text":TEXT}]})"};
    static constexpr std::array<std::string_view, 7> kAround = {
        R"({"id":"x","choices":[{"index":0,"delta":DELTA,"logprobs":null,"finish_reason":null}]})",
        R"({"id":"x","choices":[{"index":0,"delta":DELTA,"logprobs":null,"finish_reason":null}]})",
        R"({"id":"x","choices":[{"index":0,"delta":DELTA,"logprobs":null,"finish_reason":null}]})",
        R"({"id":"x","choices":[{"index":1,"delta":DELTA,"finish_reason":null}]})",
        R"({"id":"x","choices":[{"index":0,"delta":DELTA,"logprobs":{"content":[{"token":"t"}]}}]})",
        R"({"id":"x","choices":[{"index":0,"delta":DELTA},{"index":1,"delta":DELTA}]})",
        R"({"id":"x","choices":[{"index":0,"delta":DELTA}],"usage":{"prompt_tokens":1,"completion_tokens":2}})"};
    return fill(kAround[repeat(pick(kAround.size()), shape_)], kDeltas[repeat(pick(kDeltas.size()), delta_)]);
  }

  std::string anthropic() {
    static constexpr std::array<std::string_view, 7> kShapes = {
        R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":TEXT}})",
        R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":TEXT}})",
        R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":TEXT}})",
        R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":TEXT}})",
        R"({"type":"content_block_delta","index":2,"delta":{"type":"thinking_delta","thinking":TEXT}})",
        R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":TEXT,"more":"m"}})",
        R"({"type":"content_block_stop","index":0})"};
    return fill(kShapes[repeat(pick(kShapes.size()), shape_)], "");
  }

  // Mostly the same as last time, so that there is something to repeat.
  std::size_t repeat(std::size_t chosen, std::size_t& last) {
    if (pick(3) == 0) last = chosen;
    return last;
  }
  std::string fill(std::string_view around, std::string_view delta) {
    std::string out(around);
    for (std::size_t at; (at = out.find("DELTA")) != std::string::npos;) out.replace(at, 5, delta);
    for (std::size_t at; (at = out.find("TEXT")) != std::string::npos;) out.replace(at, 4, text());
    return out;
  }

  bool anthropic_;
  std::mt19937 random_;
  std::size_t texts_;
  std::size_t shape_ = 0;
  std::size_t delta_ = 0;
};

void expect_same(const Streamed& repeated, const Streamed& parsed) {
  ASSERT_EQ(repeated.status.has_value(), parsed.status.has_value());
  if (!parsed.status.has_value()) {
    EXPECT_EQ(repeated.status.error().kind, parsed.status.error().kind);
    return;  // of what came before both have the same, but their quotes differ by a blank
  }
  EXPECT_EQ(repeated.plain_body, parsed.plain_body);
  EXPECT_EQ(repeated.arguments(), parsed.arguments());
  EXPECT_EQ(repeated.content, parsed.content);
  EXPECT_EQ(repeated.finished, parsed.finished);
  ASSERT_EQ(repeated.deltas.size(), parsed.deltas.size());
  for (std::size_t i = 0; i < parsed.deltas.size(); ++i) {
    EXPECT_EQ(repeated.deltas[i].text, parsed.deltas[i].text);
    EXPECT_EQ(repeated.deltas[i].reasoning, parsed.deltas[i].reasoning);
    EXPECT_EQ(repeated.deltas[i].finish, parsed.deltas[i].finish);
  }
}

class RepeatedEvent : public ::testing::TestWithParam<std::string_view> {};

TEST_P(RepeatedEvent, comes_to_the_same_as_parsing_it) {
  const Format& format = *find_format(GetParam());
  for (unsigned seed = 0; seed < 4000; ++seed) {
    Events source(GetParam(), seed, seed % 4 == 0);
    const std::vector<std::string> data = source.make();
    std::string repeated, parsed;
    for (std::size_t i = 0; i < data.size(); ++i) {
      repeated += "data: " + data[i] + "\n\n";
      parsed += "data: {" + std::string(i % 2, ' ') + data[i].substr(1) + "\n\n";
    }
    const DecodeOptions options{.forced_tool = seed % 5 == 0};
    SCOPED_TRACE(repeated);
    expect_same(stream(format, repeated, 0, options), stream(format, parsed, 0, options));
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, RepeatedEvent, ::testing::Values("openai-chat", "anthropic-messages"),
                         [](const auto& format) { return format.param == "openai-chat" ? "openai" : "anthropic"; });

}  // namespace
}  // namespace orchestra::protocol
