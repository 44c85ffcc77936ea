#include "binding/handle.hpp"

namespace orchestra::binding {

bool Handle::start() {
  std::shared_ptr<engine::Call> call;
  {
    const std::lock_guard lock(mutex_);
    call = call_;
    started_ = call != nullptr;
  }
  const auto engine = engine_.lock();
  if (call && engine && engine->start(call)) return true;
  const std::lock_guard lock(mutex_);
  call_.reset();
  return false;
}

void Handle::cancel(std::string why) {
  std::shared_ptr<engine::Call> call;
  {
    const std::lock_guard lock(mutex_);
    if (!started_) call_.reset();  // the call holds this handle
    call = call_;
  }
  const auto engine = engine_.lock();
  if (call && engine) engine->cancel(call, chat::make_error(chat::ErrorKind::Cancelled, std::move(why)));
}

std::vector<chat::Delta> Handle::take_deltas() {
  std::shared_ptr<engine::Call> to_resume;
  std::vector<chat::Delta> deltas;
  {
    const std::lock_guard lock(mutex_);
    deltas.swap(deltas_);
    buffered_ = 0;
    announced_ = false;
    if (std::exchange(paused_, false)) to_resume = call_;
  }
  if (to_resume) {
    if (const auto engine = engine_.lock()) engine->resume(to_resume);
  }
  return deltas;
}

std::shared_ptr<engine::Outcome> Handle::outcome() {
  const std::lock_guard lock(mutex_);
  return deltas_.empty() ? outcome_ : nullptr;
}

std::shared_ptr<engine::Outcome> Handle::ended() {
  const std::lock_guard lock(mutex_);
  return outcome_;
}

dispatch::Partial Handle::partial() {
  std::shared_ptr<engine::Call> call;
  {
    const std::lock_guard lock(mutex_);
    call = call_;
  }
  const auto engine = engine_.lock();
  return call && engine ? engine->partial(call) : dispatch::Partial{};
}

void Handle::announce(std::unique_lock<std::mutex>& lock) {
  const bool first = !std::exchange(announced_, true);
  lock.unlock();
  if (first) queue_->push({ticket_, nullptr});
}

void Handle::on_deltas(engine::Call& call, std::vector<chat::Delta> deltas) {
  bool pause = false;
  {
    std::unique_lock lock(mutex_);
    for (const auto& delta : deltas) buffered_ += sizeof delta + delta.bytes();
    if (deltas_.empty()) {
      deltas_ = std::move(deltas);
    } else {
      deltas_.insert(deltas_.end(), std::make_move_iterator(deltas.begin()), std::make_move_iterator(deltas.end()));
    }
    if (buffered_ > kMostBuffered && !paused_) pause = paused_ = true;
    announce(lock);
  }
  if (pause) call.pause();
}

void Handle::on_done(engine::Call&, std::shared_ptr<engine::Outcome> outcome) {
  std::unique_lock lock(mutex_);
  outcome_ = std::move(outcome);
  call_.reset();
  announce(lock);
}

}  // namespace orchestra::binding
