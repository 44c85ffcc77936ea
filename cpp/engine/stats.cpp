#include "engine/stats.hpp"

#include <algorithm>
#include <cmath>

namespace orchestra::engine {

namespace {
constexpr double kLeast = 1e-5;  // seconds: the upper end of bucket 0
constexpr double kGrowth = 1.05;
}  // namespace

void LatencyHistogram::add(double seconds) {
  const double place = seconds <= kLeast ? 0 : std::ceil(std::log(seconds / kLeast) / std::log(kGrowth));
  ++counts_[std::min(static_cast<std::size_t>(place), kBuckets - 1)];
  ++total_;
}

std::optional<double> LatencyHistogram::quantile(double q) const {
  if (total_ == 0) return std::nullopt;
  const auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= std::max<std::uint64_t>(rank, 1)) return kLeast * std::pow(kGrowth, static_cast<double>(i) - 0.5);
  }
  return std::nullopt;
}

void Stats::add(const dispatch::Outcome& outcome) {
  const std::lock_guard lock(mutex_);
  auto& model = models_[outcome.model];
  ++model.calls;
  if (outcome.error) {
    ++errors_;
    ++model.errors;
  } else {
    model.latency.add(outcome.latency);
  }
  cost_ += outcome.cost;
}

void Stats::fill(StatsView& view) const {
  const std::lock_guard lock(mutex_);
  view.errors = errors_;
  view.cost = cost_;
  for (const auto& [name, model] : models_) {
    view.models[name] = {model.calls, model.errors, model.latency.quantile(0.5), model.latency.quantile(0.99)};
  }
}

}  // namespace orchestra::engine
