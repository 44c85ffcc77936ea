#include "catalog/catalog.hpp"

#include <algorithm>
#include <set>

#include "catalog/fields.hpp"

namespace orchestra::catalog {

namespace {

// The first name or alias that stands twice in one list.
std::optional<chat::Error> find_duplicate(const Catalog::Models& models, std::string_view list) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::string path = element_path(list, i);
    if (!seen.insert(models[i]->name).second) {
      return config_error(child_path(path, "name"), "\"" + models[i]->name + "\" stands there twice");
    }
    for (const std::string& alias : models[i]->aliases) {
      if (!seen.insert(alias).second)
        return config_error(child_path(path, "aliases"), "\"" + alias + "\" stands there twice");
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::shared_ptr<const Catalog>> Catalog::make(const Models& own, const Models& shipped) {
  if (auto error = find_duplicate(own, "models")) return std::move(*error);
  if (auto error = find_duplicate(shipped, "catalog")) return std::move(*error);
  auto catalog = std::make_shared<Catalog>();
  // try_emplace keeps the first: names before aliases, own ones before those shipped.
  for (const auto& model : own) {
    catalog->by_name_.try_emplace(model->name, model);
    for (const std::string& alias : model->aliases) catalog->by_name_.try_emplace(alias, model);
  }
  for (const auto& model : shipped) {
    if (!catalog->by_name_.try_emplace(model->name, model).second) continue;  // replaced, its aliases too
    for (const std::string& alias : model->aliases) catalog->by_name_.try_emplace(alias, model);
  }
  for (const auto& [name, model] : catalog->by_name_) {
    if (name == model->name) catalog->models_.push_back(model);
  }
  return std::shared_ptr<const Catalog>(std::move(catalog));
}

std::shared_ptr<const Model> Catalog::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

}  // namespace orchestra::catalog
