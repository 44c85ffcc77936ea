// KnownTargets: the targets of the models that were asked for under one configuration, so that a name is resolved once.
// Any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dispatch/target.hpp"

namespace orchestra::engine {

class KnownTargets {
 public:
  // nullptr: not known yet.
  [[nodiscard]] std::shared_ptr<const dispatch::Target> find(std::string_view name) const {
    const std::shared_lock lock(mutex_);
    const auto found = targets_.find(name);
    return found != targets_.end() ? found->second : nullptr;
  }

  void add(const std::string& name, std::shared_ptr<const dispatch::Target> target) {
    const std::lock_guard lock(mutex_);
    if (targets_.size() >= kMost) targets_.clear();
    targets_.insert_or_assign(name, std::move(target));
  }

 private:
  static constexpr std::size_t kMost = 4096;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const dispatch::Target>, Hash, std::equal_to<>> targets_;
};

}  // namespace orchestra::engine
