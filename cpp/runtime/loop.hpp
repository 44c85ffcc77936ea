// Loop: the one thread on which the engine lives, as seen from everything that waits. It has a clock, timers, and a
// queue of work. Real time: runtime/event_loop.hpp. Virtual time: sim/sim_loop.hpp. Nothing in dispatch/ asks for the
// time, a thread or a random number anywhere else.
//
// Thread-safety: everything here belongs to the loop's thread, except post().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

namespace orchestra::runtime {

using Duration = std::chrono::nanoseconds;

// Nanoseconds since some start; of a real loop CLOCK_MONOTONIC.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
inline constexpr TimePoint kNever = TimePoint::max();

inline double to_seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
// Seconds to a duration; what does not fit is the longest duration.
inline Duration from_seconds(double seconds) {
  constexpr double kMost = 4e9;  // 126 years
  if (!(seconds < kMost)) seconds = kMost;
  if (seconds < 0) seconds = 0;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

class Loop;

// Calls back once at a point in time. Setting it again moves it; destruction cancels it. The callback may set, cancel
// or destroy its own timer.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> callback) : loop_(loop), callback_(std::move(callback)) {}
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void set(TimePoint due);  // kNever cancels
  void cancel();
  [[nodiscard]] TimePoint due() const { return due_; }

 private:
  friend class Loop;
  static constexpr std::size_t kNotSet = std::numeric_limits<std::size_t>::max();

  Loop& loop_;
  std::function<void()> callback_;
  TimePoint due_ = kNever;
  std::uint64_t sequence_ = 0;
  std::size_t place_ = kNotSet;  // in the heap
};

// Work that waits for its turn without memory of its own: whoever posts it keeps it until it has run, and does not post
// it again before.
class Work {
 public:
  Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  virtual void run() = 0;
  // The loop is destroyed before its turn came.
  virtual void drop() {}

 protected:
  ~Work() = default;

 private:
  friend class EventLoop;
  Work* next_ = nullptr;
};

class Loop {
 public:
  Loop() = default;
  virtual ~Loop() = default;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  [[nodiscard]] virtual TimePoint now() const = 0;
  // Seconds since 1970 (UTC), for dates in headers and records.
  [[nodiscard]] virtual double unix_now() const = 0;
  // Runs the work on the loop's thread, after what runs now. May be called from any thread.
  virtual void post(std::function<void()> work) = 0;
  virtual void post(Work& work) = 0;

  // Called at the end of every turn in which anything ran, so that what was gathered in it goes out at once.
  void on_turn_end(std::function<void()> hook) { turn_hooks_.push_back(std::move(hook)); }

 protected:
  // For the implementations: the timers, a binary heap ordered by (due, order of setting).
  [[nodiscard]] TimePoint next_due() const { return heap_.empty() ? kNever : heap_.front()->due_; }
  // Takes one timer that is due at `now` off the heap and calls it; false when none is due.
  bool fire_one(TimePoint now);
  // For one that chooses the order: all timers that are due at `now`, in an order that depends on nothing but the order
  // in which they were set; and calling one of them, which takes it off the heap.
  void collect_due(TimePoint now, std::vector<Timer*>& due) const;
  void fire(Timer& timer);
  [[nodiscard]] std::size_t timer_count() const { return heap_.size(); }
  void run_turn_hooks();

 private:
  friend class Timer;
  void insert(Timer& timer);
  void remove(Timer& timer);
  void sift_up(std::size_t place);
  void sift_down(std::size_t place);
  [[nodiscard]] static bool before(const Timer& a, const Timer& b);

  std::vector<Timer*> heap_;
  std::uint64_t next_sequence_ = 0;
  std::vector<std::function<void()>> turn_hooks_;
};

}  // namespace orchestra::runtime
