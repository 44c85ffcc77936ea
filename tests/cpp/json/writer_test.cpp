#include "json/writer.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

#include "json/value.hpp"

namespace orchestra::json {
namespace {

TEST(Writer, puts_commas_where_they_belong) {
  std::string out;
  Writer w(out);
  w.begin_object().member("a", 1).key("b").begin_array().integer(1).string("x").begin_object().end_object().null();
  w.begin_array().end_array().end_array().member("c", true).key("d").raw("[1, 2]").member("e", "f").end_object();
  EXPECT_EQ(out, R"({"a":1,"b":[1,"x",{},null,[]],"c":true,"d":[1, 2],"e":"f"})");
}

TEST(Writer, appends_to_what_is_there) {
  std::string out = "data: ";
  Writer(out).begin_array().boolean(false).end_array();
  EXPECT_EQ(out, "data: [false]");
}

TEST(Writer, chooses_the_form_by_the_type_of_the_member) {
  std::string out;
  Writer w(out);
  w.begin_object().member("s", "x").member("t", std::string("y")).member("u", std::string_view("z"));
  w.member("b", false).member("i", std::int64_t{-5}).member("n", std::size_t{7}).member("d", 0.5).end_object();
  EXPECT_EQ(out, R"({"s":"x","t":"y","u":"z","b":false,"i":-5,"n":7,"d":0.5})");
}

TEST(Writer, writes_numbers_in_the_shortest_form) {
  std::string out;
  Writer w(out);
  w.begin_array().number(0.1).number(1).number(-0.0).number(1e300).number(5e-324).number(1.0 / 3);
  w.number(std::numeric_limits<double>::infinity()).number(std::numeric_limits<double>::quiet_NaN());
  w.integer(std::numeric_limits<std::int64_t>::min()).end_array();
  EXPECT_EQ(out, "[0.1,1,-0,1e+300,5e-324,0.3333333333333333,null,null,-9223372036854775808]");
}

TEST(Writer, escapes_keys) {
  std::string out;
  Writer(out).begin_object().member("a\"b\n", 1).end_object();
  EXPECT_EQ(out, R"({"a\"b\n":1})");
}

TEST(Escape, writes_what_json_demands_and_nothing_else) {
  std::string out;
  escape(out, std::string_view("\"\\/\n\r\t\b\f\x00\x1f\x7f ü🙂", 18));
  EXPECT_EQ(out, "\\\"\\\\/\\n\\r\\t\\b\\f\\u0000\\u001f\x7f ü🙂");
}

TEST(Escape, reads_back_equal_for_random_texts) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (std::size_t size = random() % 80; text.size() < size;) {
      text.push_back(random() % 8 == 0 ? static_cast<char>(random() % 128) : 'x');
    }
    std::string json;
    Writer(json).string(text);
    Document document;
    ASSERT_FALSE(document.parse(json)) << json;
    EXPECT_EQ(document.root().string(), text);
  }
}

}  // namespace
}  // namespace orchestra::json
