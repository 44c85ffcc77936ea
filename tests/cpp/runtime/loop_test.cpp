#include "runtime/loop.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "runtime/random.hpp"

namespace orchestra::runtime {
namespace {

using namespace std::chrono_literals;

// A loop that is driven by hand.
class HandLoop final : public Loop {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] double unix_now() const override { return 0; }
  void post(std::function<void()> work) override { work(); }
  void post(Work& work) override { work.run(); }

  void move_to(TimePoint time) {
    now_ = time;
    while (fire_one(now_)) {
    }
  }
  [[nodiscard]] std::vector<Timer*> due_at(TimePoint time) const {
    std::vector<Timer*> due;
    collect_due(time, due);
    return due;
  }
  using Loop::fire_one;
  using Loop::next_due;
  using Loop::timer_count;

 private:
  TimePoint now_{};
};

TEST(Timer, fires_once_when_it_is_due) {
  HandLoop loop;
  int fired = 0;
  Timer timer(loop, [&] { ++fired; });
  timer.set(TimePoint(5ms));
  loop.move_to(TimePoint(4ms));
  EXPECT_EQ(fired, 0);
  loop.move_to(TimePoint(5ms));
  loop.move_to(TimePoint(9ms));
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(timer.due(), kNever);
}

TEST(Timer, moves_when_it_is_set_again) {
  HandLoop loop;
  int fired = 0;
  Timer timer(loop, [&] { ++fired; });
  timer.set(TimePoint(5ms));
  timer.set(TimePoint(8ms));
  loop.move_to(TimePoint(7ms));
  EXPECT_EQ(fired, 0);
  timer.set(kNever);
  EXPECT_EQ(loop.next_due(), kNever);
}

TEST(Timer, does_not_fire_after_cancel_or_destruction) {
  HandLoop loop;
  int fired = 0;
  Timer cancelled(loop, [&] { ++fired; });
  cancelled.set(TimePoint(1ms));
  cancelled.cancel();
  {
    Timer gone(loop, [&] { ++fired; });
    gone.set(TimePoint(1ms));
  }
  loop.move_to(TimePoint(2ms));
  EXPECT_EQ(fired, 0);
}

TEST(Timer, fires_in_the_order_of_setting_when_due_together) {
  HandLoop loop;
  std::string order;
  Timer b(loop, [&] { order += 'b'; });
  Timer a(loop, [&] { order += 'a'; });
  a.set(TimePoint(1ms));
  b.set(TimePoint(1ms));
  loop.move_to(TimePoint(1ms));
  EXPECT_EQ(order, "ab");
}

TEST(Timer, may_be_destroyed_and_set_by_its_own_callback) {
  HandLoop loop;
  const auto payload = std::make_shared<int>(7);
  int seen = 0;
  std::optional<Timer> timer;
  timer.emplace(loop, [&timer, &seen, payload] {
    timer.reset();
    seen = *payload;
  });
  timer->set(TimePoint(1ms));
  loop.move_to(TimePoint(1ms));
  EXPECT_EQ(seen, 7);

  int rounds = 0;
  Timer again(loop, [&] {
    if (++rounds < 3) again.set(loop.now());
  });
  again.set(TimePoint(2ms));
  loop.move_to(TimePoint(2ms));
  EXPECT_EQ(rounds, 3);
}

TEST(Loop, keeps_a_heap_in_order_through_thousands_of_sets_and_cancels) {
  HandLoop loop;
  Random random(1);
  TimePoint last{};
  std::vector<std::unique_ptr<Timer>> timers;
  std::vector<TimePoint> due(500, kNever);
  std::size_t fired = 0;
  for (std::size_t i = 0; i < due.size(); ++i) {
    timers.push_back(std::make_unique<Timer>(loop, [&, i] {
      EXPECT_GE(due[i], last);
      last = due[i];
      due[i] = kNever;
      ++fired;
    }));
  }
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t i = random.below(due.size());
    if (random.below(3) == 0) {
      timers[i]->cancel();
      due[i] = kNever;
    } else {
      due[i] = TimePoint(Duration(random.below(1000)));
      timers[i]->set(due[i]);
    }
    if (round % 1000 == 0) {
      const TimePoint least = *std::min_element(due.begin(), due.end());
      EXPECT_EQ(loop.next_due(), least);
      const auto expected = std::count_if(due.begin(), due.end(), [](TimePoint t) { return t <= TimePoint(300ns); });
      EXPECT_EQ(loop.due_at(TimePoint(300ns)).size(), static_cast<std::size_t>(expected));
    }
  }
  const std::size_t set = loop.timer_count();
  EXPECT_GT(set, 100u);
  loop.move_to(TimePoint(1000ns));
  EXPECT_EQ(fired, set);
}

TEST(Duration, of_seconds_that_do_not_fit_is_the_longest) {
  EXPECT_EQ(from_seconds(0.25), 250ms);
  EXPECT_EQ(from_seconds(-1), Duration(0));
  EXPECT_EQ(from_seconds(1e300), from_seconds(4e9));
  EXPECT_GT(from_seconds(std::numeric_limits<double>::quiet_NaN()), 24h);
}

}  // namespace
}  // namespace orchestra::runtime
