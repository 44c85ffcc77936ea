// Stats: figures of an engine since it was made. Written by the engine's thread once for each ended call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "dispatch/outcome.hpp"
#include "spend/cost.hpp"

namespace orchestra::engine {

// Latencies in buckets of 5 % width from 10 microseconds to about 4 hours; a quantile is off by at most 2.5 %.
class LatencyHistogram {
 public:
  void add(double seconds);
  // Seconds; empty when nothing was added. REQUIRES: 0 <= q <= 1.
  [[nodiscard]] std::optional<double> quantile(double q) const;

 private:
  static constexpr std::size_t kBuckets = 432;
  std::array<std::uint32_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
};

struct ModelStats {
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  std::optional<double> p50;  // seconds, of the calls that succeeded
  std::optional<double> p99;
};

struct StatsView {
  std::uint64_t in_flight = 0;
  std::uint64_t queued = 0;
  std::uint64_t connections = 0;
  std::uint64_t calls = 0;  // started
  std::uint64_t errors = 0;
  spend::Cost cost;
  std::map<std::string, ModelStats> models;
};

class Stats {
 public:
  void add(const dispatch::Outcome& outcome);
  void fill(StatsView& view) const;

 private:
  struct PerModel {
    std::uint64_t calls = 0;
    std::uint64_t errors = 0;
    LatencyHistogram latency;
  };
  mutable std::mutex mutex_;
  std::uint64_t errors_ = 0;
  spend::Cost cost_;
  std::map<std::string, PerModel> models_;
};

}  // namespace orchestra::engine
