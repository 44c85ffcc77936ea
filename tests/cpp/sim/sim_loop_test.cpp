#include "sim/sim_loop.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace orchestra::sim {
namespace {

using namespace std::chrono_literals;
using runtime::Timer;

std::string order_of_a_tie(std::uint64_t seed) {
  SimLoop loop(seed);
  std::string order;
  Timer a(loop, [&] { order += 'a'; });
  Timer b(loop, [&] { order += 'b'; });
  Timer c(loop, [&] { order += 'c'; });
  a.set(TimePoint(10us));
  b.set(TimePoint(900us));
  c.set(TimePoint(1000us));
  loop.run();
  EXPECT_EQ(loop.now(), TimePoint(1ms));
  return order;
}

TEST(SimLoop, tries_every_order_of_what_is_due_within_a_tick) {
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 200; ++seed) orders.insert(order_of_a_tie(seed));
  EXPECT_EQ(orders.size(), 6u);
}

TEST(SimLoop, keeps_what_is_due_in_a_later_tick_behind) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SimLoop loop(seed);
    std::string order;
    Timer late(loop, [&] { order += "late"; });
    Timer early(loop, [&] { order += "early "; });
    late.set(TimePoint(1001us));
    early.set(TimePoint(1000us));
    loop.run();
    EXPECT_EQ(order, "early late");
    EXPECT_EQ(loop.now(), TimePoint(2ms));
  }
}

TEST(SimLoop, never_fires_a_timer_before_it_is_due) {
  SimLoop loop(1, {.tick = 7ms});
  TimePoint fired{};
  Timer timer(loop, [&] { fired = loop.now(); });
  timer.set(TimePoint(15ms));
  loop.run();
  EXPECT_EQ(fired, TimePoint(21ms));
}

TEST(SimLoop, keeps_posted_work_in_order_only_when_asked) {
  const auto order = [](std::uint64_t seed, bool in_order) {
    SimLoop loop(seed, {.posts_in_order = in_order});
    std::string text;
    for (char c = 'a'; c < 'f'; ++c) loop.post([&text, c] { text += c; });
    loop.run();
    return text;
  };
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(order(seed, true), "abcde");
    orders.insert(order(seed, false));
  }
  EXPECT_GT(orders.size(), 10u);
}

std::uint64_t hash_of_a_run(std::uint64_t seed) {
  SimLoop loop(seed);
  runtime::Random work = loop.stream(1);
  std::function<void(int)> spread = [&](int depth) {
    if (depth == 0) return;
    for (int i = 0; i < 3; ++i) loop.post([&, depth] { spread(depth - 1); });
    loop.mix(work.next());
  };
  spread(5);
  loop.run();
  return loop.hash();
}

TEST(SimLoop, takes_the_same_way_from_the_same_seed) {
  EXPECT_EQ(hash_of_a_run(42), hash_of_a_run(42));
  EXPECT_NE(hash_of_a_run(42), hash_of_a_run(43));
}

TEST(SimLoop, runs_the_hooks_of_a_turn_before_time_moves) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SimLoop loop(seed);
    std::vector<TimePoint> turns;
    bool ran = false;
    loop.on_turn_end([&] {
      EXPECT_TRUE(ran);
      turns.push_back(loop.now());
    });
    Timer later(loop, [&] { EXPECT_EQ(turns.back(), TimePoint(0ms)); });
    later.set(TimePoint(5ms));
    loop.post([&] { ran = true; });
    loop.run();
    EXPECT_EQ(turns.back(), TimePoint(5ms));
  }
}

TEST(SimLoop, stops_at_the_time_it_is_asked_for) {
  SimLoop loop(1);
  int fired = 0;
  Timer first(loop, [&] { ++fired; });
  Timer second(loop, [&] { ++fired; });
  first.set(TimePoint(10ms));
  second.set(TimePoint(20ms));
  loop.run_until(TimePoint(15ms));
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(loop.now(), TimePoint(15ms));
  EXPECT_DOUBLE_EQ(loop.unix_now(), SimLoopOptions{}.unix_start + 0.015);
  loop.run_for(5ms);
  EXPECT_EQ(fired, 2);
  EXPECT_FALSE(loop.step() && loop.step());
}

TEST(SimLoop, runs_until_a_condition_holds) {
  SimLoop loop(1);
  int ticks = 0;
  Timer timer(loop, [&] {
    ++ticks;
    timer.set(loop.now() + 1s);
  });
  timer.set(TimePoint(1s));
  EXPECT_TRUE(loop.run_while_not([&] { return ticks == 86'400; }));
  EXPECT_EQ(loop.now(), TimePoint(24h));
  timer.cancel();
  EXPECT_FALSE(loop.run_while_not([] { return false; }));
}

}  // namespace
}  // namespace orchestra::sim
