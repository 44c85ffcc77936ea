#include "catalog/catalog.hpp"

#include <gtest/gtest.h>

#include <string>

namespace orchestra::catalog {
namespace {

std::shared_ptr<const Model> model(std::string name, std::vector<std::string> aliases = {}, std::int64_t window = 1) {
  auto made = std::make_shared<Model>();
  made->name = std::move(name);
  made->aliases = std::move(aliases);
  made->context_window = window;
  return made;
}

TEST(Catalog, finds_a_model_by_name_and_by_alias_and_by_nothing_else) {
  const auto catalog = *Catalog::make({}, {model("b/m", {"b/latest"}), model("a/m")});
  EXPECT_EQ(catalog->find("b/m")->name, "b/m");
  EXPECT_EQ(catalog->find("b/latest")->name, "b/m");
  for (const char* name : {"b/m-2", "b/", "m", "", "B/m"}) EXPECT_EQ(catalog->find(name), nullptr) << name;
  ASSERT_EQ(catalog->models().size(), 2u);
  EXPECT_EQ(catalog->models()[0]->name, "a/m");
}

TEST(Catalog, lets_an_own_model_replace_the_shipped_one_with_its_aliases) {
  const auto catalog = *Catalog::make({model("a/m", {}, 7)}, {model("a/m", {"a/old"}, 1), model("a/n")});
  EXPECT_EQ(catalog->find("a/m")->context_window, 7);
  EXPECT_EQ(catalog->find("a/old"), nullptr);
  EXPECT_EQ(catalog->models().size(), 2u);
}

TEST(Catalog, lets_an_own_alias_hide_a_shipped_name) {
  const auto catalog = *Catalog::make({model("a/mine", {"a/m"})}, {model("a/m")});
  EXPECT_EQ(catalog->find("a/m")->name, "a/mine");
  EXPECT_EQ(catalog->models().size(), 1u);
}

TEST(Catalog, refuses_a_name_used_twice_with_its_path) {
  const auto message = [](const Catalog::Models& own, const Catalog::Models& shipped) {
    const auto made = Catalog::make(own, shipped);
    return made ? std::string() : made.error().message;
  };
  EXPECT_EQ(message({model("a/m"), model("a/m")}, {}), "models[1].name: \"a/m\" stands there twice");
  EXPECT_EQ(message({model("a/m", {"a/n"}), model("a/n")}, {}), "models[1].name: \"a/n\" stands there twice");
  EXPECT_EQ(message({model("a/m", {"a/x"}), model("a/n", {"a/x"})}, {}),
            "models[1].aliases: \"a/x\" stands there twice");
  EXPECT_EQ(message({}, {model("a/m"), model("a/m")}), "catalog[1].name: \"a/m\" stands there twice");
}

TEST(Catalog, stays_readable_for_who_holds_an_old_one) {
  auto old = *Catalog::make({model("a/m", {}, 1)}, {});
  const auto held = old->find("a/m");
  old = *Catalog::make({model("a/m", {}, 2)}, {});
  EXPECT_EQ(held->context_window, 1);
}

}  // namespace
}  // namespace orchestra::catalog
