#include "fake/generated_text.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace orchestra::fake {
namespace {

using std::string;

TEST(GeneratedText, has_20_to_60_words_in_sentences_and_follows_the_seed) {
  std::set<string> texts;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const string text = generate_text(seed);
    const auto words = std::count(text.begin(), text.end(), ' ') + 1;
    EXPECT_GE(words, 20);
    EXPECT_LE(words, 60);
    EXPECT_TRUE(text.ends_with('.') && std::isupper(static_cast<unsigned char>(text[0]))) << text;
    EXPECT_EQ(text, generate_text(seed));
    texts.insert(text);
  }
  EXPECT_EQ(texts.size(), 200u);
}

TEST(GeneratedText, a_conversation_gets_the_same_text_streamed_or_not) {
  json::Document plain, streamed, other;
  ASSERT_FALSE(plain.parse(R"({"model":"m","messages":[{"role":"user","content":"Hi"}]})"));
  ASSERT_FALSE(streamed.parse(R"({"messages":[{"role":"user","content":"Hi"}],"stream":true})"));
  ASSERT_FALSE(other.parse(R"({"messages":[{"role":"user","content":"Ho"}]})"));
  EXPECT_EQ(text_seed(1, plain.root()), text_seed(1, streamed.root()));
  EXPECT_NE(text_seed(1, plain.root()), text_seed(2, plain.root()));
  EXPECT_NE(text_seed(1, plain.root()), text_seed(1, other.root()));
}

TEST(GeneratedText, counts_the_bytes_of_texts_and_not_of_images) {
  json::Document body;
  ASSERT_FALSE(body.parse(R"({"model":"long-name","system":"1234","messages":[{"role":"user","content":[
      {"type":"text","text":"123456"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]})"));
  EXPECT_EQ(text_bytes(body.root()), 10u);
  EXPECT_EQ(estimate_tokens(10), 3);
  EXPECT_EQ(estimate_tokens(0), 0);
}

}  // namespace
}  // namespace orchestra::fake
