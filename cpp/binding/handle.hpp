// Queue and Handle: how ended calls and deltas get from the engine's thread to Python's.
//
// The engine's thread never takes the GIL: it fills a Handle and names it in a Queue. A Python thread waits on the
// Queue with the GIL released, or an event loop watches its descriptor; many completions come behind one wake-up.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/engine.hpp"

namespace orchestra::binding {

class Queue {
 public:
  Queue() = default;
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Any thread.
  void push(std::uint64_t ticket);

  // A descriptor that is readable while there is something; made at the first call.
  int descriptor();
  // The tickets that were pushed since the last time.
  std::vector<std::uint64_t> drain();
  // Waits until there is something; returns empty after `seconds`. Does not touch Python.
  std::vector<std::uint64_t> wait(double seconds);

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::vector<std::uint64_t> tickets_;
  int descriptor_ = -1;
};

// One call of Python's. Shared by Python and the engine.
class Handle final : public dispatch::Listener {
 public:
  // Tickets are given by the caller and unique within the queue.
  Handle(const std::shared_ptr<engine::Engine>& engine, std::shared_ptr<Queue> queue, std::uint64_t ticket)
      : engine_(engine), queue_(std::move(queue)), ticket_(ticket) {}

  // The call that start() starts. REQUIRES: once.
  void prepare(std::shared_ptr<engine::Call> call) { call_ = std::move(call); }
  // False, and nothing happens, when the engine is closed.
  bool start();
  void cancel(std::string why);

  // Deltas since the last time; reading goes on when it was paused.
  std::vector<chat::Delta> take_deltas();
  // The outcome, once all deltas are taken; nullptr before.
  std::shared_ptr<engine::Outcome> outcome();
  // The outcome as soon as there is one.
  std::shared_ptr<engine::Outcome> ended();
  [[nodiscard]] dispatch::Partial partial();
  [[nodiscard]] std::uint64_t ticket() const { return ticket_; }

  // Listener
  void on_deltas(engine::Call& call, std::vector<chat::Delta> deltas) override;
  void on_done(engine::Call& call, std::shared_ptr<engine::Outcome> outcome) override;

 private:
  // A stream whose consumer is behind by more than this stops reading, and goes on below half of it.
  static constexpr std::size_t kMostBuffered = 1u << 20;

  void announce(std::unique_lock<std::mutex>& lock);

  // Weak: the last owner of an engine must not be its own thread.
  const std::weak_ptr<engine::Engine> engine_;
  const std::shared_ptr<Queue> queue_;
  const std::uint64_t ticket_;
  std::mutex mutex_;
  std::shared_ptr<engine::Call> call_;  // until it has ended
  bool started_ = false;
  std::vector<chat::Delta> deltas_;
  std::size_t buffered_ = 0;
  bool paused_ = false;
  bool announced_ = false;
  std::shared_ptr<engine::Outcome> outcome_;
};

}  // namespace orchestra::binding
