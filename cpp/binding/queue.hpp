// Queue: how what has ended gets from the engine's thread to Python's.
//
// The engine's thread never takes the GIL: it puts outcomes into a Queue. A Python thread waits on it with the GIL
// released, or an event loop watches its descriptor; all completions of a turn come behind one wake-up.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/engine.hpp"

namespace orchestra::binding {

// A call that has ended, or a stream that has something (no outcome: its Handle knows what).
struct Announcement {
  std::uint64_t ticket = 0;
  std::shared_ptr<engine::Outcome> outcome;
};

// Listens to plain calls; the call's ticket is that of the announcement.
class Queue final : public dispatch::Listener {
 public:
  Queue() = default;
  ~Queue() override;

  // The engine's thread. Whoever waits hears of it by signal().
  void push(Announcement announcement);
  void signal();

  // A descriptor that is readable while there is something; made at the first call.
  int descriptor();
  // Replaces `into` by what was pushed since the last time.
  void drain(std::vector<Announcement>& into);
  // The same, but waits until there is something, up to `seconds`. Does not touch Python.
  void wait(double seconds, std::vector<Announcement>& into);

  // Listener
  void on_deltas(engine::Call&, std::vector<chat::Delta>) override {}
  void on_done(engine::Call& call, std::shared_ptr<engine::Outcome> outcome) override {
    push({call.ticket(), std::move(outcome)});
  }
  void on_turn_end() override { signal(); }

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::vector<Announcement> announcements_;
  bool silent_ = false;  // something was pushed to the empty queue, and nobody was told
  int descriptor_ = -1;
};

}  // namespace orchestra::binding
