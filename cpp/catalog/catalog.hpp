// Catalog: the models that are known by name. Immutable, shared by all threads; a reader of an old one keeps it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/model.hpp"
#include "chat/result.hpp"

namespace orchestra::catalog {

class Catalog {
 public:
  using Models = std::vector<std::shared_ptr<const Model>>;

  // The models of `own` on top of those that are `shipped`: one of the same name replaces the shipped one, and an own
  // alias hides a shipped name. Fails with Config when a name or alias of `own` is used twice (path "models[1].name"),
  // or one of `shipped` ("catalog[1].name").
  static Result<std::shared_ptr<const Catalog>> make(const Models& own, const Models& shipped);

  // The model of exactly this name or alias; nullptr: unknown.
  [[nodiscard]] std::shared_ptr<const Model> find(std::string_view name) const;
  // Sorted by name, each once.
  [[nodiscard]] const Models& models() const { return models_; }

 private:
  std::map<std::string, std::shared_ptr<const Model>, std::less<>> by_name_;  // aliases too
  Models models_;
};

}  // namespace orchestra::catalog
