#include "binding/handle.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace orchestra::binding {

Queue::~Queue() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Queue::push(std::uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  tickets_.push_back(ticket);
  if (tickets_.size() > 1) return;  // whoever waits knows already
  if (descriptor_ >= 0) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(descriptor_, &one, sizeof one);
  }
  filled_.notify_one();
}

int Queue::descriptor() {
  const std::lock_guard lock(mutex_);
  if (descriptor_ < 0) {
    descriptor_ = ::eventfd(tickets_.empty() ? 0 : 1, EFD_NONBLOCK | EFD_CLOEXEC);
    if (descriptor_ < 0)
      throw std::system_error(errno, std::generic_category(), "no file descriptor for an event loop");
  }
  return descriptor_;
}

std::vector<std::uint64_t> Queue::drain() {
  const std::lock_guard lock(mutex_);
  if (descriptor_ >= 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(descriptor_, &count, sizeof count);
  }
  return std::exchange(tickets_, {});
}

std::vector<std::uint64_t> Queue::wait(double seconds) {
  std::unique_lock lock(mutex_);
  filled_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return !tickets_.empty(); });
  return std::exchange(tickets_, {});
}

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
  if (first) queue_->push(ticket_);
}

void Handle::on_deltas(engine::Call& call, std::vector<chat::Delta> deltas) {
  bool pause = false;
  {
    std::unique_lock lock(mutex_);
    for (auto& delta : deltas) {
      buffered_ += sizeof delta + delta.bytes();
      deltas_.push_back(std::move(delta));
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
