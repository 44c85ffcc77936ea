// Value: reads that are empty instead of failing, escapes, surrogates and numbers.
#include "json/value.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace orchestra::json {
namespace {

std::optional<std::string> string_of(std::string text) {
  Document document;
  EXPECT_FALSE(document.parse(std::move(text)));
  return document.root().string();
}

// The texts that a stream of strings gives, one after each string and one for the flush at the end.
std::vector<std::string> stream_of(const std::vector<std::string>& strings) {
  std::vector<std::string> pieces;
  std::uint16_t half = 0;
  for (const std::string& text : strings) {
    Document document;
    EXPECT_FALSE(document.parse(text)) << text;
    document.root().append_to(pieces.emplace_back(), half);
  }
  flush_half(pieces.emplace_back(), half);
  return pieces;
}

using Pieces = std::vector<std::string>;

TEST(Value, is_empty_all_the_way_when_it_does_not_exist) {
  Document document;
  ASSERT_FALSE(document.parse(R"({"a": [1, {"b": "x"}], "n": null})"));
  const Value root = document.root();
  EXPECT_EQ(root["a"][1]["b"].string(), "x");
  for (Value missing :
       {root["z"]["y"][3]["x"], root["a"][2], root["a"]["b"], root["a"][0][0], root[std::size_t{0}], Value()}) {
    EXPECT_FALSE(missing.exists());
    EXPECT_FALSE(missing);
    EXPECT_FALSE(missing.is_null());
    EXPECT_EQ(missing.type(), Type::Null);
    EXPECT_EQ(missing.size(), 0u);
    EXPECT_EQ(missing.raw(), "");
    EXPECT_FALSE(missing.string() || missing.integer() || missing.number() || missing.boolean());
    EXPECT_FALSE(missing.is(""));
    EXPECT_EQ(missing.string_or("default"), "default");
    for (Value element : missing.elements()) FAIL() << element.raw();
    for (auto [key, member] : missing.members()) FAIL() << key.raw() << member.raw();
  }
  EXPECT_TRUE(root["n"].exists());
  EXPECT_TRUE(root["n"].is_null());
  EXPECT_FALSE(root["n"]);
  EXPECT_TRUE(root["a"]);
}

TEST(Value, reads_the_first_member_of_a_name_and_sees_through_escapes) {
  Document document;
  ASSERT_FALSE(document.parse(R"({"k": 1, "k": 2, "\u006beys": 3, "a\"b": 4})"));
  EXPECT_EQ(document.root()["k"].integer(), 1);
  EXPECT_EQ(document.root()["keys"].integer(), 3);
  EXPECT_EQ(document.root()["a\"b"].integer(), 4);
  EXPECT_FALSE(document.root()["ke"].exists());
  EXPECT_EQ(document.root().size(), 4u);
}

TEST(Value, unescapes_every_escape) {
  EXPECT_EQ(string_of(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(string_of(R"("a\u0041\u00e9\u20ac\ud83d\ude42z")"), "aAé€🙂z");
  EXPECT_EQ(string_of(R"("\u0000")"), std::string(1, '\0'));
  EXPECT_EQ(string_of(R"("\uFFFF\uDBFF\uDFFF")"), "\xEF\xBF\xBF\xF4\x8F\xBF\xBF");
  EXPECT_EQ(string_of(R"("ü🙂")"), "ü🙂");
  EXPECT_EQ(string_of(R"("")"), "");
  EXPECT_EQ(string_of("1"), std::nullopt);
}

TEST(Value, replaces_a_lone_surrogate_half) {
  EXPECT_EQ(string_of(R"("a\ud83d")"), "a\uFFFD");
  EXPECT_EQ(string_of(R"("\ude42b")"), "\uFFFDb");
  EXPECT_EQ(string_of(R"("a\ud83dx")"), "a\uFFFDx");
  EXPECT_EQ(string_of(R"("\ud83d\ud83d\ude42")"), "\uFFFD🙂");
  EXPECT_EQ(string_of(R"("\ud83d\n\ude42")"), "\uFFFD\n\uFFFD");
  EXPECT_EQ(string_of(R"("\ud83d\u0041")"), "\uFFFDA");
}

TEST(Value, keeps_a_lone_surrogate_half_for_the_next_string) {
  EXPECT_EQ(stream_of({R"("a\ud83d")", R"("\ude42b")"}), (Pieces{"a", "🙂b", ""}));
  EXPECT_EQ(stream_of({R"("\ud83d")", R"("")", R"("\ude42")"}), (Pieces{"", "", "🙂", ""}));
  EXPECT_EQ(stream_of({R"("a\ud83d")", R"("b")"}), (Pieces{"a", "\uFFFDb", ""}));
  EXPECT_EQ(stream_of({R"("a\ud83d")", R"("\nb")"}), (Pieces{"a", "\uFFFD\nb", ""}));
  EXPECT_EQ(stream_of({R"("a\ud83d")", R"("\ud83d")", R"("\ude42")"}), (Pieces{"a", "\uFFFD", "🙂", ""}));
  EXPECT_EQ(stream_of({R"("\ud83d")"}), (Pieces{"", "\uFFFD"}));
  EXPECT_EQ(stream_of({R"("a")", R"("\ude42")"}), (Pieces{"a", "\uFFFD", ""}));
}

TEST(Value, compares_without_and_with_escapes) {
  Document document;
  ASSERT_FALSE(document.parse(R"(["stop", "st\u006fp", "", 5])"));
  EXPECT_TRUE(document.root()[0].is("stop"));
  EXPECT_FALSE(document.root()[0].is("sto"));
  EXPECT_TRUE(document.root()[1].is("stop"));
  EXPECT_FALSE(document.root()[1].is("stopp"));
  EXPECT_TRUE(document.root()[2].is(""));
  EXPECT_FALSE(document.root()[3].is("5"));
}

TEST(Value, reads_whole_numbers_exactly) {
  const std::vector<std::pair<std::string, std::optional<std::int64_t>>> cases = {
      {"0", 0},
      {"-0", 0},
      {"2.0", 2},
      {"2e0", 2},
      {"-1.50e1", -15},
      {"1e18", 1'000'000'000'000'000'000},
      {"9223372036854775807", std::numeric_limits<std::int64_t>::max()},
      {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()},
      {"9223372036854775807.0", std::numeric_limits<std::int64_t>::max()},
      {"9007199254740993.0", 9'007'199'254'740'993},
      {"9223372036854775808", std::nullopt},
      {"9223372036854775808.0", std::nullopt},
      {"1e19", std::nullopt},
      {"1.5", std::nullopt},
      {"1e-1", std::nullopt},
      {"10e-1", 1},
      {"0e999999999999999999999", 0},
      {"1e999999999999999999999", std::nullopt},
      {"1e-999999999999999999999", std::nullopt},
      {"1000000000000000000000000000000000000000e-39", 1},
      {"true", std::nullopt},
      {"\"1\"", std::nullopt},
      {"null", std::nullopt},
  };
  for (const auto& [text, wanted] : cases) {
    Document document;
    ASSERT_FALSE(document.parse(text));
    EXPECT_EQ(document.root().integer(), wanted) << text;
  }
}

TEST(Value, reads_numbers_that_fit_a_double) {
  const auto number_of = [](const char* text) {
    Document document;
    EXPECT_FALSE(document.parse(text));
    return document.root().number();
  };
  EXPECT_EQ(number_of("0.1"), 0.1);
  EXPECT_EQ(number_of("-1E2"), -100.0);
  EXPECT_EQ(number_of("1.7976931348623157e308"), std::numeric_limits<double>::max());
  EXPECT_EQ(number_of("5e-324"), std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(number_of("1e400"), std::nullopt);
  EXPECT_EQ(number_of("-1e400"), std::nullopt);
  EXPECT_EQ(number_of("1e-400"), 0.0);
  EXPECT_TRUE(std::signbit(*number_of("-1e-400")));
  EXPECT_EQ(number_of("12345678901234567890123456789012345678900"), 1.2345678901234568e40);
  EXPECT_EQ(number_of("\"1\""), std::nullopt);
  EXPECT_EQ(number_of("true"), std::nullopt);
}

TEST(Value, keeps_the_exact_text_of_a_subtree) {
  Document document;
  ASSERT_FALSE(document.parse(R"( {"a" : [ 1.50, "\u0041" ] , "b": 1e400} )"));
  EXPECT_EQ(document.root()["a"].raw(), R"([ 1.50, "\u0041" ])");
  EXPECT_EQ(document.root()["a"][1].raw(), R"("\u0041")");
  EXPECT_EQ(document.root()["b"].raw(), "1e400");
  EXPECT_EQ(document.root().raw(), R"({"a" : [ 1.50, "\u0041" ] , "b": 1e400})");
}

TEST(Value, tells_true_from_false) {
  Document document;
  ASSERT_FALSE(document.parse("[true,false,1]"));
  EXPECT_EQ(document.root()[0].boolean(), true);
  EXPECT_EQ(document.root()[1].boolean(), false);
  EXPECT_EQ(document.root()[2].boolean(), std::nullopt);
}

}  // namespace
}  // namespace orchestra::json
