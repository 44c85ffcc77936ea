#include "catalog/fields.hpp"

#include <gtest/gtest.h>

namespace orchestra::catalog {
namespace {

TEST(Nearest, finds_the_name_that_was_meant) {
  const std::vector<std::string_view> names = {"privacy", "provider", "model", "proxy", "region"};
  EXPECT_EQ(nearest("privcy", names), "privacy");
  EXPECT_EQ(nearest("modle", names), "model");
  EXPECT_EQ(nearest("providers", names), "provider");
  EXPECT_EQ(nearest("colour", names), "");
  EXPECT_EQ(nearest("", names), "");
  EXPECT_EQ(nearest(std::string(100'000, 'a'), names), "");
}

TEST(Fields, keeps_the_first_problem_and_reads_nothing_after_it) {
  json::Document document;
  ASSERT_FALSE(document.parse(R"({"a": 1, "b": "x"})").has_value());
  Fields fields(document.root(), "top", {"a", "b"});
  EXPECT_FALSE(fields.text("a").has_value());
  EXPECT_FALSE(fields.text("b").has_value());
  EXPECT_FALSE(fields.count("b").has_value());
  ASSERT_TRUE(fields.error().has_value());
  EXPECT_EQ(fields.error()->message, "top.a: must be a string");
}

TEST(Fields, cuts_a_long_unknown_key_in_its_message) {
  json::Document document;
  ASSERT_FALSE(document.parse("{\"" + std::string(5000, 'k') + "\": 1}").has_value());
  const Fields fields(document.root(), "", {"a"});
  ASSERT_TRUE(fields.error().has_value());
  EXPECT_LT(fields.error()->message.size(), 200u);
}

}  // namespace
}  // namespace orchestra::catalog
