#include "runtime/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

}  // namespace

EventLoop::EventLoop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      alarm_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  if (epoll_ < 0 || wake_ < 0 || alarm_ < 0) {
    const int fault = errno;
    for (const int fd : {epoll_, wake_, alarm_}) {
      if (fd >= 0) close(fd);
    }
    throw std::system_error(fault, std::generic_category(), "the engine's thread cannot be started");
  }
  for (const int fd : {wake_, alarm_}) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;  // each write and each alarm is an edge, so that nobody needs to read it
    event.data.u64 = static_cast<std::uint64_t>(fd);
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) give_up("epoll_ctl");
  }
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
  close(alarm_);
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
  bool may_sleep = true;
  if (const TimePoint due = next_due(); due != kNever) {
    may_sleep = due > monotonic_now();
    if (may_sleep) set_alarm(due);
  }
  if (may_sleep) {
    asleep_ = true;
    if (posted_ != nullptr) may_sleep = false;
  }
  ran_ = false;
  wait(may_sleep);

  for (Work* work = take_posted(); work != nullptr;) {
    ran_ = true;
    std::exchange(work, work->next_)->run();
  }

  // One that sets itself again to now fires again in the next turn, so that no timer can hold up the rest.
  for (std::size_t left = timer_count(); left > 0 && fire_one(now_); --left) ran_ = true;
  if (ran_) run_turn_hooks();
}

// A timeout of epoll_wait() would be set and taken back in each turn, and setting a clock costs a virtual machine
// microseconds. The alarm stays set: one that rings before anything is due costs one turn.
void EventLoop::set_alarm(TimePoint due) {
  if (alarm_due_ <= due && alarm_due_ > now_) return;
  const auto since_start = due.time_since_epoch();
  itimerspec at{};
  at.it_value.tv_sec = static_cast<time_t>(since_start / std::chrono::seconds(1));
  at.it_value.tv_nsec = static_cast<long>((since_start % std::chrono::seconds(1)).count());
  if (timerfd_settime(alarm_, TFD_TIMER_ABSTIME, &at, nullptr) != 0) give_up("timerfd_settime");
  alarm_due_ = due;
}

void EventLoop::wait(bool may_sleep) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = epoll_wait(epoll_, events.data(), kEventsPerTurn, may_sleep ? -1 : 0);
  asleep_.store(false, std::memory_order_relaxed);
  now_ = monotonic_now();
  if (count < 0 && errno != EINTR) give_up("epoll_wait");
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const int fd = static_cast<int>(event.data.u64 & 0xffffffffu);
    if (fd == wake_) continue;
    if (fd == alarm_) {
      alarm_due_ = kNever;
      continue;
    }
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
