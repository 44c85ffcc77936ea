// Handle: a stream that runs, between the engine's thread and Python's.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "binding/queue.hpp"
#include "engine/engine.hpp"

namespace orchestra::binding {

// Shared by Python and the engine.
class Handle final : public dispatch::Listener {
 public:
  // Announced in the queue by this ticket.
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
  void on_turn_end() override { queue_->signal(); }

 private:
  // A stream whose consumer is behind by more than this stops reading until the consumer takes what is there.
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
