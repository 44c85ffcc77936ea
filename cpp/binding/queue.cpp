#include "binding/queue.hpp"

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

void Queue::push(Announcement announcement) {
  const std::lock_guard lock(mutex_);
  if (announcements_.empty()) silent_ = true;  // else whoever waits knows already
  announcements_.push_back(std::move(announcement));
}

// The one who is woken may run at once, on this core: he must not meet a mutex that is held.
void Queue::signal() {
  int descriptor = -1;
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(silent_, false)) return;
    descriptor = descriptor_;
  }
  if (descriptor >= 0) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(descriptor, &one, sizeof one);
  } else {
    filled_.notify_one();
  }
}

int Queue::descriptor() {
  const std::lock_guard lock(mutex_);
  if (descriptor_ < 0) {
    descriptor_ = ::eventfd(announcements_.empty() ? 0 : 1, EFD_NONBLOCK | EFD_CLOEXEC);
    if (descriptor_ < 0)
      throw std::system_error(errno, std::generic_category(), "no file descriptor for an event loop");
  }
  return descriptor_;
}

void Queue::drain(std::vector<Announcement>& into) {
  into.clear();
  const std::lock_guard lock(mutex_);
  if (descriptor_ >= 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(descriptor_, &count, sizeof count);
  }
  into.swap(announcements_);
  silent_ = false;
}

void Queue::wait(double seconds, std::vector<Announcement>& into) {
  into.clear();
  std::unique_lock lock(mutex_);
  filled_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return !announcements_.empty(); });
  into.swap(announcements_);
  silent_ = false;
}

}  // namespace orchestra::binding
