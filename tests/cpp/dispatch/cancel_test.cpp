// Cancelling at every step, and ties of cancel, completion and deadline. One outcome, nothing left, whatever the order.
#include <gtest/gtest.h>

#include "dispatch/call.hpp"
#include "dispatch/world.hpp"

namespace orchestra::dispatch {
namespace {

using chat::ErrorKind;

chat::Error cancelled() { return chat::make_error(ErrorKind::Cancelled, "cancelled by the test"); }

TEST(Cancel, ends_a_call_at_every_step) {
  // The answer passes through connect (10 ms), head (20 ms), body (30 ms), end (40 ms); a first failure adds a backoff.
  int ended_well = 0;
  int ended_cancelled = 0;
  for (int at = 0; at <= 120; ++at) {
    for (const bool stream : {false, true}) {
      World world(static_cast<std::uint64_t>(at) + 1);
      world.answers.emplace(1, failure(429));
      const std::string body = stream ? text_chunk("a") + kFinish + kDone : plain_body("a");
      world.always = SimAnswer()
                         .connect(10ms)
                         .wait(10ms)
                         .head(200, stream ? kEventStream : runtime::HeaderList{})
                         .wait(10ms)
                         .bytes(body, 40, 2ms)
                         .wait(10ms)
                         .end();
      const auto call = world.start(world.spec({world.target("m")}, stream));
      runtime::Timer timer(world.loop, [&] { call->cancel(cancelled()); });
      timer.set(world.loop.now() + at * 10ms);
      const Outcome& outcome = world.finish();
      if (outcome.error) {
        EXPECT_EQ(outcome.error->kind, ErrorKind::Cancelled);
        ++ended_cancelled;
        for (const auto& record : world.exchange.records()) EXPECT_TRUE(record.has_ended() || record.was_cancelled());
        // What may have been read is booked as an estimate; what was never sent is free.
        for (const auto& attempt : outcome.attempts) {
          EXPECT_TRUE(attempt.cost.nano_usd == 0 || attempt.cost.estimated);
        }
      } else {
        ++ended_well;
      }
    }
  }
  EXPECT_GT(ended_well, 0);
  EXPECT_GT(ended_cancelled, 50);
}

TEST(Cancel, ends_a_call_that_waits_for_its_secret) {
  World world;
  world.secrets.held = true;
  const auto call = world.start(world.spec({world.target("m")}));
  world.loop.run_for(1s);
  call->cancel(cancelled());
  const Outcome& outcome = world.finish();
  EXPECT_EQ(outcome.error->kind, ErrorKind::Cancelled);
  EXPECT_TRUE(world.secrets.questions.empty()) << "the question was not forgotten";
}

TEST(Cancel, twice_or_after_the_end_is_harmless) {
  World world;
  const auto call = world.start(world.spec({world.target("m")}));
  world.finish();
  call->cancel(cancelled());
  call->cancel(cancelled());
  world.loop.run();
  EXPECT_EQ(world.recorder->outcomes.size(), 1u);
}

TEST(Cancel, gives_one_outcome_when_completion_cancel_and_deadline_tie) {
  int well = 0;
  int by_cancel = 0;
  int by_deadline = 0;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    World world(seed);
    world.always = SimAnswer().connect().wait(100ms).head(200).bytes(plain_body("a")).end();
    CallSpec spec = world.spec({world.target("m")});
    spec.timeout.total = 0.1;
    spec.retry.attempts = 1;
    const auto call = world.start(std::move(spec));
    runtime::Timer timer(world.loop, [&] { call->cancel(cancelled()); });
    timer.set(world.loop.now() + 100ms);
    const Outcome& outcome = world.finish();
    if (!outcome.error) {
      ++well;
    } else if (outcome.error->kind == ErrorKind::Cancelled) {
      ++by_cancel;
    } else {
      EXPECT_EQ(outcome.error->kind, ErrorKind::DeadlineExceeded);
      ++by_deadline;
    }
  }
  // Every order of the tie was reached.
  EXPECT_GT(well, 0);
  EXPECT_GT(by_cancel, 0);
  EXPECT_GT(by_deadline, 0);
}

TEST(Cancel, all_ends_every_running_call) {
  World world;
  world.always = SimAnswer().connect().stall();
  for (int i = 0; i < 100; ++i) world.start(world.spec({world.target("m")}));
  world.loop.run_for(1s);
  EXPECT_EQ(world.environment.running(), 100u);
  world.environment.cancel_all(cancelled());
  world.loop.run();
  EXPECT_EQ(world.recorder->outcomes.size(), 100u);
  EXPECT_EQ(world.environment.running(), 0u);
  EXPECT_EQ(world.exchange.connections(), 0u);
}

TEST(Cancel, leaves_the_same_trace_for_the_same_seed) {
  const auto run = [](std::uint64_t seed) {
    World world(seed);
    world.always = failure(503);
    world.answers.emplace(4, SimAnswer::reply(200, plain_body("a"), 3ms));
    for (int i = 0; i < 20; ++i) world.start(world.spec({world.target("a"), world.target("b")}));
    world.loop.run();
    EXPECT_EQ(world.recorder->outcomes.size(), 20u);
    return world.loop.hash();
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

}  // namespace
}  // namespace orchestra::dispatch
