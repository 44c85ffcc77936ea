#include "runtime/header_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace orchestra::runtime {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(HeaderText, gives_back_the_fields_in_order_and_finds_the_first_of_a_name_in_any_case) {
  HeaderText headers;
  EXPECT_TRUE(headers.empty());
  headers.add("Content-Type", "text/event-stream");
  headers.add("X-Empty", "");
  headers.add("a", "b: c");
  headers.add("A", "second");
  EXPECT_EQ(headers.find("content-TYPE"), "text/event-stream");
  EXPECT_EQ(headers.find("x-empty"), "");
  EXPECT_EQ(headers.find("a"), "b: c");
  EXPECT_EQ(headers.find("content"), "");
  EXPECT_THAT(headers.list(), ElementsAre(Pair("Content-Type", "text/event-stream"), Pair("X-Empty", ""),
                                          Pair("a", "b: c"), Pair("A", "second")));
}

TEST(HeaderText, goes_on_with_a_folded_value) {
  HeaderText headers;
  headers.extend_last("of nothing");
  EXPECT_TRUE(headers.empty());
  headers.add("A", "one");
  headers.extend_last("two");
  EXPECT_THAT(headers.list(), ElementsAre(Pair("A", "one two")));
}

TEST(HeaderText, of_a_list_keeps_its_shape_whatever_the_list_holds) {
  const HeaderText headers({{"a:b", "c\nd"}, {"", ""}, {"x\ny", "z"}});
  EXPECT_THAT(headers.list(), ElementsAre(Pair("a b", "c d"), Pair("", ""), Pair("x y", "z")));
}

}  // namespace
}  // namespace orchestra::runtime
