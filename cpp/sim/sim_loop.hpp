// SimLoop: a loop on virtual time, so that a day of traffic runs in seconds and one seed names one run. Among all that
// is ready (posted work and due timers) a random one runs next; when nothing is, time jumps to the next timer. Time
// moves in ticks: everything due within one tick becomes ready together, so that every order of a tie is tried.
// A hash over every decision tells whether two runs took the same way.
//
// One thread: whoever calls step() or run(). post() too belongs to it, there is no other thread in a simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/loop.hpp"
#include "runtime/random.hpp"

namespace orchestra::sim {

using runtime::Duration;
using runtime::TimePoint;

struct SimLoopOptions {
  Duration tick = std::chrono::milliseconds(1);
  double unix_start = 1'800'000'000;  // what unix_now() says at time 0 (15 January 2027)
  // A real loop keeps the order of posted work. True keeps it here too; false tries every order.
  bool posts_in_order = false;
};

class SimLoop final : public runtime::Loop {
 public:
  explicit SimLoop(std::uint64_t seed, SimLoopOptions options = {});

  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] double unix_now() const override;
  void post(std::function<void()> work) override;
  void post(runtime::Work& work) override;

  // Runs one thing: a random ready one (after moving the time on when nothing is ready), or the hooks of the turn's
  // end, which come after a random number of things and always before time moves. False: nothing is left.
  bool step();
  // Until nothing is left.
  void run();
  // Everything up to `until`, which is then the time.
  void run_until(TimePoint until);
  void run_for(Duration duration) { run_until(now_ + duration); }
  // Until `done` holds; false when nothing was left before it did.
  bool run_while_not(const std::function<bool()>& done);

  // Over every decision so far.
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  // Takes a decision that was made elsewhere into the hash.
  void mix(std::uint64_t decision);
  // A random stream of its own for each part of the world (workload, faults): one that draws more or less does not
  // reshuffle the rest. The same number gives the same stream again.
  [[nodiscard]] runtime::Random stream(std::uint64_t number) const;

 private:
  void close_turn();
  // When the next timer is due, in ticks; kNever.
  [[nodiscard]] TimePoint next_tick() const;

  std::uint64_t seed_;
  SimLoopOptions options_;
  runtime::Random random_;
  TimePoint now_{};
  std::vector<std::function<void()>> posted_;
  std::vector<runtime::Timer*> due_;
  bool turn_open_ = false;  // something ran since the hooks did
  std::uint64_t hash_ = 14695981039346656037u;
  std::uint64_t steps_ = 0;
};

}  // namespace orchestra::sim
