// Document::parse: what is JSON and what is not.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "json/value.hpp"

namespace orchestra::json {
namespace {

std::string problem_of(std::string text) {
  Document document;
  const auto problem = document.parse(std::move(text));
  return problem ? problem->message : "";
}

bool is_json(std::string text) { return problem_of(std::move(text)).empty(); }

const std::string kSample =
    R"({"a": [1, -2.5e+10, true, false, null, "x\u00e9\ud83d\ude42\n"], "b": {"c": {}, "d": [], "": "ü🙂"}, "long": "0123456789abcdef0123456789abcdef\\\""})";

TEST(Document, accepts_every_kind_of_value_at_the_top) {
  for (const char* text : {"0", "-0", "1e400", "-1.5E-7", "true", "false", "null", "\"\"", "[]", "{}", "[[]]", "[{}]",
                           R"({"a":1})", R"(["a"])", "1234567890123456789012345678901234567890", kSample.c_str()}) {
    EXPECT_TRUE(is_json(text)) << text;
  }
}

TEST(Document, accepts_space_and_blank_lines_around_and_inside) {
  EXPECT_TRUE(is_json(" \t\r\n1\n\n"));
  EXPECT_TRUE(is_json(std::string(5000, '\n') + "{ \"a\"\t:\r[ 1 , 2 ] , \"b\" : { } }" + std::string(5000, '\n')));
  EXPECT_FALSE(is_json("\f1"));
  EXPECT_FALSE(
      is_json("\xC2\xA0"
              "1"));
}

TEST(Document, says_what_is_wrong) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"", "empty"},
      {" \n", "empty"},
      {"\xEF\xBB\xBF{}", "byte order mark"},
      {"[1 2]", "comma"},
      {R"({"a":1 "b":2})", "comma"},
      {"[1,]", "value is missing"},
      {"[,1]", "value is missing"},
      {R"({"a":1,})", "key"},
      {"{1:2}", "key"},
      {R"({"a" 1})", "colon"},
      {R"({"a":})", "value is missing"},
      {"[1}", "comma"},
      {R"({"a":1])", "comma"},
      {"nulx", "unknown word"},
      {"True", "value is missing"},
      {"NaN", "value is missing"},
      {"-Infinity", "minus"},
      {"01", "leading zero"},
      {"[-01]", "leading zero"},
      {"[1.]", "point"},
      {"[1.e5]", "point"},
      {"[.5]", "value is missing"},
      {"[+1]", "value is missing"},
      {"[1e]", "exponent"},
      {"[1e+]", "exponent"},
      {"1 2", "follows"},
      {"{}}", "follows"},
      {"nullx", "follows"},
      {"0x10", "follows"},
      {R"("\q")", "escape"},
      {R"("\u12g4")", "hexadecimal"},
      {"\"a\nb\"", "control"},
      {std::string("\"a\0b\"", 5), "control"},
      {"\"0123456789abcdef0123\tx\"", "control"},
      {"'a'", "value is missing"},
      {"[1] // x", "follows"},
      {"\"a", "ends"},
      {"[", "ends"},
      {"\"\xFF\"", "UTF-8"},
      {"\"\xC3(\"", "UTF-8"},
      {"\"\xED\xA0\xBD\"", "UTF-8"},
      {"\"\xF0\x9F\"", "UTF-8"},
      {std::string("1\0", 2), "follows"},
  };
  for (const auto& [text, word] : wrong) {
    EXPECT_NE(problem_of(text).find(word), std::string::npos) << text << ": " << problem_of(text);
  }
}

TEST(Document, points_at_the_byte_that_is_wrong) {
  Document document;
  const auto problem = document.parse("[1, 2, x]");
  ASSERT_TRUE(problem);
  EXPECT_EQ(problem->offset, 7u);
}

TEST(Document, keeps_the_text_after_a_problem_and_has_no_root) {
  Document document;
  ASSERT_FALSE(document.parse("[1]"));
  EXPECT_TRUE(document.root().exists());
  ASSERT_TRUE(document.parse("[1"));
  EXPECT_EQ(document.text(), "[1");
  EXPECT_FALSE(document.root().exists());
  ASSERT_FALSE(document.parse_copy("[2]"));
  EXPECT_EQ(document.root()[0].integer(), 2);
}

TEST(Document, refuses_every_prefix_of_a_container_and_every_tail) {
  for (std::size_t size = 0; size < kSample.size(); ++size) EXPECT_FALSE(is_json(kSample.substr(0, size))) << size;
  for (const char* tail : {"x", "}", "]", ",", "\"", "1", "\xC3"}) EXPECT_FALSE(is_json(kSample + tail));
}

TEST(Document, nests_to_the_limit_and_not_beyond) {
  const auto nested = [](std::size_t depth, const std::string& open, const std::string& close) {
    std::string text;
    for (std::size_t i = 0; i < depth; ++i) text += open;
    if (open.size() > 1) text += "1";
    for (std::size_t i = 0; i < depth; ++i) text += close;
    return text;
  };
  EXPECT_TRUE(is_json(nested(kMaxDepth, "[", "]")));
  EXPECT_TRUE(is_json(nested(kMaxDepth, R"({"a":)", "}")));
  EXPECT_NE(problem_of(nested(kMaxDepth + 1, "[", "]")).find("deeper than 128"), std::string::npos);
  EXPECT_NE(problem_of(nested(kMaxDepth + 1, R"({"a":)", "}")).find("deeper"), std::string::npos);
  EXPECT_NE(problem_of(std::string(1'000'000, '[')).find("deeper"), std::string::npos);
  Document document;
  EXPECT_FALSE(document.parse("[[[1]]]", 3));
  EXPECT_EQ(document.root()[0][0][0].integer(), 1);
  const auto problem = document.parse("[[[[1]]]]", 3);
  ASSERT_TRUE(problem);
  EXPECT_EQ(problem->message, "the JSON is nested deeper than 3 containers, the limit `json_depth`");
  EXPECT_EQ(problem->offset, 3u);
  EXPECT_TRUE(document.parse_copy("{}", 0));
  EXPECT_FALSE(document.parse_copy("1", 0));
  EXPECT_FALSE(document.parse(nested(100'000, "[", "]"), 100'000));
  // Many containers beside each other are not deep.
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) wide += "[[{}]],";
  EXPECT_TRUE(is_json(wide + "1]"));
}

TEST(Document, finds_what_ends_a_string_at_every_offset) {
  for (std::size_t length = 0; length < 70; ++length) {
    const std::string plain(length, 'x');
    Document document;
    ASSERT_FALSE(document.parse("[\"" + plain + "\",\"" + plain + "\\n" + plain + "\"]"));
    EXPECT_EQ(document.root()[0].string(), plain);
    EXPECT_EQ(document.root()[1].string(), plain + "\n" + plain);
    EXPECT_FALSE(is_json("\"" + plain + "\x1F\""));
    EXPECT_FALSE(is_json("\"" + plain));
    EXPECT_FALSE(is_json("\"" + plain + "\\\""));
    EXPECT_TRUE(is_json("\"" + plain + "\x7F\xC3\xBC\""));
  }
}

// The text of a value without white space, put together from its nodes.
std::string compact(Value value) {
  std::string out;
  if (value.is_array()) {
    for (Value element : value.elements()) out += (out.empty() ? "[" : ",") + compact(element);
    return (out.empty() ? "[" : out) + "]";
  }
  if (value.is_object()) {
    for (auto [key, member] : value.members()) {
      out += (out.empty() ? "{" : ",") + std::string(key.raw()) + ":" + compact(member);
    }
    return (out.empty() ? "{" : out) + "}";
  }
  return std::string(value.raw());
}

std::size_t count_nodes(Value value) {
  std::size_t count = 1;
  for (Value element : value.elements()) count += count_nodes(element);
  for (auto [key, member] : value.members()) count += 1 + count_nodes(member);
  return count;
}

// Every subtree's raw() is JSON by itself, with the same nodes.
void check_subtrees(Value value) {
  Document alone;
  ASSERT_FALSE(alone.parse_copy(value.raw())) << value.raw();
  EXPECT_EQ(compact(alone.root()), compact(value));
  EXPECT_EQ(alone.root().type(), value.type());
  EXPECT_EQ(count_nodes(alone.root()), count_nodes(value));
  std::size_t size = 0;
  for (Value element : value.elements()) {
    check_subtrees(element);
    EXPECT_EQ(value[size++].raw(), element.raw());
  }
  for (auto [key, member] : value.members()) {
    EXPECT_TRUE(key.is_string());
    check_subtrees(member);
    ++size;
  }
  EXPECT_EQ(value.size(), size);
}

TEST(Document, gives_each_subtree_its_own_text) {
  Document document;
  ASSERT_FALSE(document.parse_copy(kSample));
  check_subtrees(document.root());
}

TEST(Document, holds_together_under_random_changes) {
  std::mt19937 random(20240229);
  const std::string alphabet = "{}[]\",:\\ \n0123456789.eE+-truefalsnd\x01\xC3\xBC\xF0\x9F";
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = kSample;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < changes; ++i) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0: text[at] = alphabet[random() % alphabet.size()]; break;
        case 1: text.erase(at, 1 + random() % 3); break;
        default: text.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
    }
    Document document;
    if (document.parse(text)) continue;
    ++accepted;
    check_subtrees(document.root());
    // Compact text says the same.
    Document again;
    ASSERT_FALSE(again.parse(compact(document.root())));
    EXPECT_EQ(compact(again.root()), again.text());
    if (HasFailure()) FAIL() << text;
  }
  EXPECT_GT(accepted, 500);
}

}  // namespace
}  // namespace orchestra::json
