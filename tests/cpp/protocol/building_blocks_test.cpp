// The small parts that the formats are made of: base64, raw objects, pieces, the registry.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "protocol/data_url.hpp"
#include "protocol/format.hpp"
#include "protocol/pieces.hpp"
#include "protocol/raw_object.hpp"

namespace orchestra::protocol {
namespace {

using ::testing::ElementsAre;

TEST(Base64, is_read_in_either_alphabet_with_or_without_padding) {
  EXPECT_EQ(encode_base64(""), "");
  EXPECT_EQ(encode_base64("a"), "YQ==");
  EXPECT_EQ(encode_base64("ab"), "YWI=");
  EXPECT_EQ(encode_base64("\xfb\xff\xbf"), "+/+/");
  EXPECT_EQ(standard_base64("-_-_"), "+/+/");
  EXPECT_EQ(standard_base64("YWI"), "YWI=");
  EXPECT_EQ(standard_base64("YQ"), "YQ==");
  EXPECT_EQ(standard_base64("YW\r\nI=\n"), "YWI=");
  EXPECT_EQ(standard_base64("Y"), std::nullopt);
  EXPECT_EQ(standard_base64("YW*I"), std::nullopt);
  EXPECT_EQ(decode_base64("aGVsbG8="), "hello");
}

TEST(DataUrl, has_a_media_type_and_base64) {
  const auto url = parse_data_url("data:image/png;charset=x;base64,YWI");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ(url->media_type, "image/png");
  EXPECT_EQ(url->base64, "YWI=");
  EXPECT_FALSE(parse_data_url("https://example.org/a.png").has_value());
  EXPECT_FALSE(parse_data_url("data:image/png,abc").has_value());
  EXPECT_FALSE(parse_data_url("data:image/png;base64").has_value());
}

TEST(Pieces, are_cut_at_code_points_and_join_to_the_text) {
  const std::string text = "Grüße 🙂🚀 終";
  for (std::size_t pieces = 0; pieces < 20; ++pieces) {
    std::string joined;
    const auto cut = cut_into_pieces(text, pieces);
    EXPECT_LE(cut.size(), std::max<std::size_t>(pieces, 1));
    for (const auto piece : cut) {
      EXPECT_NE(static_cast<unsigned char>(piece.front()) & 0xC0, 0x80);
      joined += piece;
    }
    EXPECT_EQ(joined, text);
  }
  EXPECT_TRUE(cut_into_pieces("", 4).empty());
  EXPECT_THAT(cut_into_pieces("abcd", 2), ElementsAre("ab", "cd"));
}

TEST(RawObject, joins_strings_and_lists_and_replaces_the_rest) {
  RawObject object;
  object.append("text", R"("a\ud83d")");
  object.append("text", R"("\ude42")");
  object.append("list", "[1]");
  object.append("list", "[ ]");
  object.append("list", "[2,3]");
  object.append("number", "1");
  object.append("number", "2");
  object.append("number", "null");
  EXPECT_EQ(object.get("text"), R"("a\ud83d\ude42")");
  EXPECT_EQ(object.get("list"), "[1,2,3]");
  EXPECT_EQ(object.get("number"), "2");
  EXPECT_EQ(object.get("absent"), "");
  std::string out;
  json::Writer writer(out);
  writer.begin_object();
  object.write_members(writer, "number");
  writer.end_object();
  EXPECT_EQ(out, R"({"text":"a\ud83d\ude42","list":[1,2,3]})");
}

TEST(WriteClean, replaces_lone_surrogates_at_any_depth_and_keeps_the_rest) {
  json::Document document;
  ASSERT_FALSE(document.parse(R"({"a": [1.50, "\ud83d"], "b": "\ud83d\ude42"})").has_value());
  std::string out;
  json::Writer writer(out);
  write_clean(writer, document.root());
  EXPECT_EQ(out, "{\"a\":[1.50,\"\xEF\xBF\xBD\"],\"b\":\"🙂\"}");
}

TEST(Registry, knows_its_formats_and_the_providers_whose_format_comes_later) {
  EXPECT_THAT(format_names(), ElementsAre("anthropic-messages", "openai-chat"));
  for (const auto name : format_names()) EXPECT_EQ(find_format(name)->name(), name);
  EXPECT_EQ(find_format("telepathy"), nullptr);
  ASSERT_NE(find_builtin("gemini"), nullptr);
  EXPECT_EQ(find_format(find_builtin("gemini")->protocol), nullptr);
  EXPECT_EQ(find_builtin("nobody"), nullptr);
}

TEST(Registry, names_address_and_key_of_each_provider) {
  for (const BuiltinProvider* provider : builtin_providers()) {
    EXPECT_EQ(find_builtin(provider->name), provider);
    EXPECT_FALSE(provider->protocol.empty()) << provider->name;
    EXPECT_TRUE(provider->key_variable.ends_with("_API_KEY")) << provider->name;
    EXPECT_FALSE(provider->base_url.ends_with("/")) << provider->name;
  }
  EXPECT_EQ(find_builtin("qwen")->key_variable, "DASHSCOPE_API_KEY");
  EXPECT_EQ(find_builtin("azure")->base_url, "");
  EXPECT_EQ(find_builtin("openai")->base_url, "https://api.openai.com/v1");
  EXPECT_EQ(find_builtin("anthropic")->path_prefix, "/v1");
}

}  // namespace
}  // namespace orchestra::protocol
