// EventLoop: the loop on real time and real file descriptors. Whoever calls run() is its thread; everything belongs to
// that thread except post(), stop(). Before run() is called, the thread that made it may use it as if it were inside.
// Work that is still queued when the loop is destroyed is dropped.
//
// One turn: wait; hand out what is ready; run the work posted before the turn; fire the timers that are due; the hooks.
//
// Linux: the only file that knows epoll, eventfd and timerfd is event_loop.cpp.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "runtime/loop.hpp"

namespace orchestra::runtime {

// What a file descriptor is watched for, and what it is ready for; bits.
using Readiness = unsigned;
inline constexpr Readiness kReadable = 1;
inline constexpr Readiness kWritable = 2;
inline constexpr Readiness kBroken = 4;  // an error or the other side is gone: always watched for
inline constexpr Readiness kEnding = 8;  // the other side sends no more; told by watch_edges() only

class Watcher {
 public:
  virtual void on_ready(int fd, Readiness ready) = 0;

 protected:
  ~Watcher() = default;
};

class EventLoop final : public Loop {
 public:
  // Throws std::system_error when the process has no file descriptor left.
  EventLoop();
  ~EventLoop() override;

  // The time at which the turn began.
  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] double unix_now() const override;
  void post(std::function<void()> work) override;
  void post(Work& work) override;

  // Runs turns until stop().
  void run();
  // The turn that sees it is the last one; from any thread, also before run().
  void stop();

  // Level-triggered. The watcher must live until unwatch(); a file descriptor must be unwatched before it is closed.
  // Watching again changes the events.
  void watch(int fd, Readiness events, Watcher& watcher);
  // Edge-triggered, for everything, until unwatch(): on_ready() comes when something has changed, so whoever is told to
  // read or write goes on until there is nothing more.
  void watch_edges(int fd, Watcher& watcher);
  void unwatch(int fd);

 private:
  struct Watch {
    Watcher* watcher = nullptr;  // nullptr: not watched
    std::uint32_t generation = 0;
  };

  class FunctionWork;

  void add(int fd, std::uint32_t events, Watcher& watcher);
  void set_alarm(TimePoint due);
  void wait(bool may_sleep);
  void run_turn();
  Work* take_posted();

  int epoll_ = -1;
  int wake_ = -1;
  int alarm_ = -1;
  TimePoint alarm_due_ = kNever;  // when it rings; kNever: it is not set
  TimePoint now_;
  std::vector<Watch> watches_;  // by fd
  bool stopping_ = false;
  bool ran_ = false;  // anything in this turn

  std::atomic<Work*> posted_ = nullptr;  // last posted first
  std::atomic<bool> asleep_ = false;     // the next post must wake the loop
};

}  // namespace orchestra::runtime
