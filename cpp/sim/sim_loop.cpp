#include "sim/sim_loop.hpp"

#include <algorithm>

namespace orchestra::sim {

SimLoop::SimLoop(std::uint64_t seed, SimLoopOptions options) : seed_(seed), options_(options), random_(seed) {}

double SimLoop::unix_now() const { return options_.unix_start + runtime::to_seconds(now_.time_since_epoch()); }

void SimLoop::post(std::function<void()> work) { posted_.push_back(std::move(work)); }
void SimLoop::post(runtime::Work& work) {
  posted_.emplace_back([&work] { work.run(); });
}

void SimLoop::mix(std::uint64_t decision) { hash_ = (hash_ ^ decision) * 1099511628211u; }

runtime::Random SimLoop::stream(std::uint64_t number) const {
  return runtime::Random(seed_ ^ ((number + 1) * 0xd1342543de82ef95u));
}

TimePoint SimLoop::next_tick() const {
  const TimePoint due = next_due();
  if (due == runtime::kNever || options_.tick <= Duration(1)) return due;
  const auto since = due.time_since_epoch();
  const auto into = since % options_.tick;
  if (into <= Duration(0)) return due;
  const Duration rest = options_.tick - into;
  return due < runtime::kNever - rest ? due + rest : due;
}

bool SimLoop::step() {
  due_.clear();
  collect_due(now_, due_);
  if (posted_.empty() && due_.empty()) {
    if (turn_open_) {
      close_turn();
      return true;
    }
    const TimePoint next = next_tick();
    if (next == runtime::kNever) return false;
    now_ = next;
    mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    collect_due(now_, due_);
  }
  const std::size_t choices = options_.posts_in_order ? std::min<std::size_t>(posted_.size(), 1) : posted_.size();
  const std::uint64_t chosen = random_.below(choices + due_.size());
  mix(chosen);
  ++steps_;
  turn_open_ = true;
  if (chosen < choices) {
    const std::function<void()> work = std::move(posted_[chosen]);
    if (options_.posts_in_order) {
      posted_.erase(posted_.begin());
    } else {
      posted_[chosen] = std::move(posted_.back());
      posted_.pop_back();
    }
    work();
  } else {
    fire(*due_[chosen - choices]);
  }
  if (random_.below(4) == 0) close_turn();
  return true;
}

void SimLoop::close_turn() {
  turn_open_ = false;
  mix(~std::uint64_t{0});
  run_turn_hooks();
}

void SimLoop::run() {
  while (step()) {
  }
}

void SimLoop::run_until(TimePoint until) {
  while (true) {
    due_.clear();
    collect_due(now_, due_);
    if (posted_.empty() && due_.empty() && !turn_open_ && next_tick() > until) break;
    step();
  }
  now_ = std::max(now_, until);
}

bool SimLoop::run_while_not(const std::function<bool()>& done) {
  while (!done()) {
    if (!step()) return false;
  }
  return true;
}

}  // namespace orchestra::sim
