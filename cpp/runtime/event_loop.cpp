#include "runtime/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <system_error>
#include <utility>

namespace orchestra::runtime {
namespace {

constexpr int kEventsPerTurn = 256;

TimePoint monotonic_now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return TimePoint(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

// Only a lack of memory, or a bug, leads here; without its loop the engine can do nothing.
[[noreturn]] void give_up(const char* call) {
  std::perror(call);
  std::abort();
}

// epoll_pwait2 (Linux 5.11) waits to the nanosecond. An older kernel waits in milliseconds, rounded up: a timer is then
// up to 1 ms late, and never early.
int wait_for_events(int epoll, epoll_event* events, Duration timeout) {
#ifdef SYS_epoll_pwait2
  static std::atomic<bool> exact = true;
  if (exact.load(std::memory_order_relaxed)) {
    timespec time{};
    time.tv_sec = static_cast<time_t>(timeout / std::chrono::seconds(1));
    time.tv_nsec = static_cast<long>((timeout % std::chrono::seconds(1)).count());
    const long count = syscall(SYS_epoll_pwait2, epoll, events, kEventsPerTurn,
                               timeout == Duration::max() ? nullptr : &time, nullptr, 0);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
    exact.store(false, std::memory_order_relaxed);
  }
#endif
  constexpr auto kLongest = std::chrono::hours(24);
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(timeout, kLongest));
  return epoll_wait(epoll, events, kEventsPerTurn,
                    timeout == Duration::max() ? -1 : static_cast<int>(milliseconds.count()));
}

}  // namespace

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (epoll_ < 0 || wake_ < 0) {
    const int fault = errno;
    if (epoll_ >= 0) close(epoll_);
    if (wake_ >= 0) close(wake_);
    throw std::system_error(fault, std::generic_category(), "the engine's thread cannot be started");
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // each write is an edge, so that nobody needs to read it
  event.data.u64 = static_cast<std::uint64_t>(wake_);
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0) give_up("epoll_ctl");
  now_ = monotonic_now();
}

// Work of one call of post(std::function).
class EventLoop::FunctionWork final : public Work {
 public:
  explicit FunctionWork(std::function<void()> function) : function_(std::move(function)) {}
  void run() override {
    function_();
    delete this;
  }
  void drop() override { delete this; }

 private:
  std::function<void()> function_;
};

EventLoop::~EventLoop() {
  // What is dropped may hold what posts more.
  while (Work* work = take_posted()) {
    while (work != nullptr) std::exchange(work, work->next_)->drop();
  }
  close(wake_);
  close(epoll_);
}

double EventLoop::unix_now() const {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void EventLoop::post(std::function<void()> work) { post(*new FunctionWork(std::move(work))); }

void EventLoop::post(Work& work) {
  work.next_ = posted_.load(std::memory_order_relaxed);
  while (!posted_.compare_exchange_weak(work.next_, &work)) {
  }
  // Either this sees that the loop is about to sleep, or the loop sees the work: both sides write first, then read, in
  // one order for all (sequentially consistent).
  if (!asleep_ || !asleep_.exchange(false)) return;
  const std::uint64_t one = 1;
  // It fails only when the counter is full, and then the loop is woken already.
  [[maybe_unused]] const auto written = write(wake_, &one, sizeof one);
}

// All that was posted, in order.
Work* EventLoop::take_posted() {
  if (posted_.load(std::memory_order_relaxed) == nullptr) return nullptr;
  Work* reversed = posted_.exchange(nullptr, std::memory_order_acquire);
  Work* first = nullptr;
  while (reversed != nullptr) {
    Work* next = reversed->next_;
    reversed->next_ = first;
    first = reversed;
    reversed = next;
  }
  return first;
}

void EventLoop::stop() {
  post([this] { stopping_ = true; });
}

void EventLoop::watch(int fd, Readiness events, Watcher& watcher) {
  add(fd, ((events & kReadable) != 0 ? EPOLLIN : 0u) | ((events & kWritable) != 0 ? EPOLLOUT : 0u), watcher);
}

void EventLoop::watch_edges(int fd, Watcher& watcher) { add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, watcher); }

void EventLoop::add(int fd, std::uint32_t events, Watcher& watcher) {
  const auto place = static_cast<std::size_t>(fd);
  if (place >= watches_.size()) watches_.resize(place + 1);
  Watch& entry = watches_[place];
  const bool known = entry.watcher != nullptr;
  entry.watcher = &watcher;
  if (!known) ++entry.generation;
  epoll_event event{};
  event.events = events;
  // The generation tells an event of a closed descriptor from one of its successor with the same number.
  event.data.u64 = (static_cast<std::uint64_t>(entry.generation) << 32) | static_cast<std::uint32_t>(fd);
  // A descriptor that was closed without unwatch() has left epoll; its number may be another file's by now.
  if (known && epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) == 0) return;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) give_up("epoll_ctl");
}

void EventLoop::unwatch(int fd) {
  const auto place = static_cast<std::size_t>(fd);
  if (place >= watches_.size() || watches_[place].watcher == nullptr) return;
  watches_[place].watcher = nullptr;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::run() {
  now_ = monotonic_now();
  while (!stopping_) run_turn();
  stopping_ = false;
}

void EventLoop::run_turn() {
  Duration timeout = Duration::max();
  if (const TimePoint due = next_due(); due != kNever) {
    timeout = std::max(due - monotonic_now(), Duration(0));
  }
  if (timeout > Duration(0)) {
    asleep_ = true;
    if (posted_ != nullptr) timeout = Duration(0);
  }
  ran_ = false;
  wait(timeout);

  for (Work* work = take_posted(); work != nullptr;) {
    ran_ = true;
    std::exchange(work, work->next_)->run();
  }

  // One that sets itself again to now fires again in the next turn, so that no timer can hold up the rest.
  for (std::size_t left = timer_count(); left > 0 && fire_one(now_); --left) ran_ = true;
  if (ran_) run_turn_hooks();
}

void EventLoop::wait(Duration timeout) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = wait_for_events(epoll_, events.data(), timeout);
  asleep_.store(false, std::memory_order_relaxed);
  now_ = monotonic_now();
  if (count < 0 && errno != EINTR) give_up("epoll_wait");
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const int fd = static_cast<int>(event.data.u64 & 0xffffffffu);
    if (fd == wake_) continue;
    const Watch& entry = watches_[static_cast<std::size_t>(fd)];
    if (entry.watcher == nullptr || entry.generation != event.data.u64 >> 32) continue;
    Readiness ready = 0;
    if ((event.events & EPOLLIN) != 0) ready |= kReadable;
    if ((event.events & EPOLLOUT) != 0) ready |= kWritable;
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) ready |= kBroken;
    if ((event.events & EPOLLRDHUP) != 0) ready |= kEnding;
    ran_ = true;
    entry.watcher->on_ready(fd, ready);
  }
}

}  // namespace orchestra::runtime
