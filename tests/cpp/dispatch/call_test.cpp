#include "dispatch/call.hpp"

#include <gtest/gtest.h>

#include "dispatch/world.hpp"

namespace orchestra::dispatch {
namespace {

using chat::ErrorKind;

TEST(Call, answers_a_plain_call_and_books_its_cost) {
  World world;
  world.start(world.spec({world.target("m")}));
  const Outcome& outcome = world.finish();
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.summary.served_model, "served");
  EXPECT_EQ(outcome.attempts.size(), 1u);
  EXPECT_EQ(outcome.attempts[0].status, 200);
  EXPECT_EQ(outcome.cost.nano_usd, 10 * 1000 + 4 * 2000);
  EXPECT_FALSE(outcome.cost.estimated);
  EXPECT_NEAR(outcome.latency, 0.02, 0.01);
}

TEST(Call, streams_deltas_in_order_whatever_the_cutting) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, SimAnswer::kRandomPieces}) {
    World world(piece);
    world.always =
        SimAnswer()
            .connect(1ms)
            .head(200, kEventStream)
            .bytes(kRoleChunk + text_chunk("one ") + text_chunk("two ") + text_chunk("three") + kFinish + kDone, piece)
            .end();
    world.start(world.spec({world.target("m")}, true));
    const Outcome& outcome = world.finish();
    ASSERT_FALSE(outcome.error);
    EXPECT_EQ(world.recorder->text, "one two three");
    EXPECT_EQ(world.recorder->all.back().finish, chat::Finish::Stop);
  }
}

TEST(Call, sends_the_key_and_the_model_where_the_provider_wants_them) {
  World world;
  Target target = world.target("gpt-x");
  auto link = std::make_shared<Link>(*target.link);
  link->path_prefix.clear();
  link->key_header = "api-key";
  link->deployment_paths = true;
  link->query = "?api-version=2024-10-21";
  target.link = link;
  world.start(world.spec({target}));
  ASSERT_FALSE(world.finish().error);
  const auto& request = world.exchange.records()[0].request;
  EXPECT_EQ(request.head->target, "/openai/deployments/gpt-x/chat/completions?api-version=2024-10-21");
  EXPECT_EQ(protocol::header(request.head->headers, "api-key"), "sk-secret-1");
  EXPECT_EQ(protocol::header(request.head->headers, "authorization"), "");
}

// ---- deadlines

struct Silence {
  const char* phase;
  bool stream;
  SimAnswer answer;
  double at;  // seconds after which the call has ended
};

TEST(Call, ends_each_silent_phase_at_its_deadline) {
  const Timeout timeout{.total = 100, .connect = 3, .first_token = 5, .idle = 7};
  const std::vector<Silence> silences = {
      {"connect", false, SimAnswer().connect(1000s), 3},
      {"first_token", false, SimAnswer().connect(1s).stall(), 6},
      {"first_token", false, SimAnswer().connect(1s).head(200).stall(), 6},
      {"first_token", true, SimAnswer().connect(1s).head(200, kEventStream).bytes(kRoleChunk).stall(), 6},
      {"idle", false, SimAnswer().connect(1s).head(200).bytes("{").stall(), 8},
      {"idle", true,
       SimAnswer().connect(1s).head(200, kEventStream).bytes(text_chunk("a")).wait(4s).bytes(text_chunk("b")).stall(),
       12},
  };
  for (const Silence& silence : silences) {
    SCOPED_TRACE(silence.phase);
    World world;
    world.always = silence.answer;
    CallSpec spec = world.spec({world.target("m")}, silence.stream);
    spec.timeout = timeout;
    spec.retry.attempts = 1;
    world.start(std::move(spec));
    const Outcome& outcome = world.finish();
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->kind, ErrorKind::DeadlineExceeded);
    EXPECT_EQ(outcome.error->phase, silence.phase);
    EXPECT_NEAR(outcome.latency, silence.at, 0.05);
    EXPECT_TRUE(world.exchange.records().back().was_cancelled());
  }
}

TEST(Call, ends_a_busy_stream_at_the_total_deadline) {
  World world;
  std::string many;
  for (int i = 0; i < 1000; ++i) many += text_chunk("x");
  world.always = SimAnswer().head(200, kEventStream).bytes(many, text_chunk("x").size(), 100ms).end();
  CallSpec spec = world.spec({world.target("a"), world.target("b")}, true);
  spec.timeout.total = 2;
  world.start(std::move(spec));
  const Outcome& outcome = world.finish();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->phase, "total");
  EXPECT_NEAR(outcome.latency, 2, 0.05);
  EXPECT_EQ(world.exchange.records().size(), 1u);
  EXPECT_GE(world.recorder->text.size(), 15u);
}

TEST(Call, keeps_one_total_deadline_over_retries_and_fallbacks) {
  World world;
  world.always = SimAnswer().connect().stall();
  CallSpec spec = world.spec({world.target("a"), world.target("b"), world.target("c")});
  spec.timeout = {.total = 10, .connect = 1, .first_token = 4, .idle = 1};
  world.start(std::move(spec));
  const Outcome& outcome = world.finish();
  EXPECT_EQ(outcome.error->phase, "total");
  EXPECT_NEAR(outcome.latency, 10, 0.05);
  EXPECT_EQ(world.models_asked(), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Call, does_not_count_a_pause_of_the_reader_as_silence) {
  World world;
  world.always = SimAnswer()
                     .head(200, kEventStream)
                     .bytes(text_chunk("a"))
                     .wait(10ms)
                     .bytes(text_chunk("b") + kFinish + kDone)
                     .end();
  CallSpec spec = world.spec({world.target("m")}, true);
  spec.timeout.idle = 1;
  const auto call = world.start(std::move(spec));
  ASSERT_TRUE(world.loop.run_while_not([&] { return !world.recorder->text.empty(); }));
  call->pause();
  world.loop.run_for(30s);
  EXPECT_TRUE(world.recorder->outcomes.empty());
  call->resume();
  EXPECT_FALSE(world.finish().error);
}

TEST(Call, waits_for_the_usage_when_the_reader_pauses_after_the_finish) {
  const std::string usage = R"(data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}})"
                            "\n\n";
  World world;
  world.always =
      SimAnswer().head(200, kEventStream).bytes(text_chunk("a") + kFinish).wait(10ms).bytes(usage + kDone).end();
  const auto call = world.start(world.spec({world.target("m")}, true));
  ASSERT_TRUE(world.loop.run_while_not([&] { return !world.recorder->text.empty(); }));
  call->pause();
  world.loop.run_for(30s);
  EXPECT_TRUE(world.recorder->outcomes.empty());
  call->resume();
  const Outcome& outcome = world.finish();
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.summary.usage.output_tokens, 2);
  EXPECT_FALSE(outcome.cost.estimated);
}

// ---- retries

TEST(Call, retries_a_passing_failure_and_records_both_attempts) {
  for (const int status : {408, 409, 425, 429, 500, 502, 503, 504, 529}) {
    World world(static_cast<std::uint64_t>(status));
    world.answers.emplace(1, failure(status));
    world.start(world.spec({world.target("m")}));
    const Outcome& outcome = world.finish();
    ASSERT_FALSE(outcome.error) << status;
    ASSERT_EQ(outcome.attempts.size(), 2u);
    EXPECT_EQ(outcome.attempts[0].status, status);
    EXPECT_EQ(outcome.attempts[0].cost.nano_usd, 0);
    EXPECT_TRUE(outcome.attempts[0].cost.known);
  }
}

TEST(Call, never_asks_earlier_than_retry_after_says) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    World world(seed);
    world.answers.emplace(1, failure(429, {{"retry-after", "7"}, {"retry-after-ms", "7500"}}));
    world.start(world.spec({world.target("m")}));
    ASSERT_FALSE(world.finish().error);
    const auto& records = world.exchange.records();
    const double waited = runtime::to_seconds(records[1].started - records[0].ended_at);
    EXPECT_GE(waited, 7.5);
    EXPECT_LE(waited, 7.6);
  }
}

TEST(Call, leaves_a_target_whose_hint_is_beyond_the_deadline) {
  World world;
  world.answers.emplace(1, failure(429, {{"retry-after", "900"}}));
  CallSpec spec = world.spec({world.target("a"), world.target("b")});
  spec.timeout.total = 60;
  world.start(std::move(spec));
  EXPECT_FALSE(world.finish().error);
  EXPECT_EQ(world.models_asked(), (std::vector<std::string>{"a", "b"}));
  EXPECT_LT(world.seconds(), 1);

  World alone;
  alone.always = failure(429, {{"retry-after", "900"}});
  CallSpec only = alone.spec({alone.target("a")});
  only.timeout.total = 60;
  alone.start(std::move(only));
  const Outcome& outcome = alone.finish();
  EXPECT_EQ(outcome.error->kind, ErrorKind::RateLimited);
  EXPECT_EQ(outcome.error->retry_after, 900);
  EXPECT_EQ(alone.exchange.records().size(), 1u);
}

TEST(Call, backs_off_with_full_jitter_below_its_bound) {
  double longest_first = 0;
  double longest_second = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    World world(seed);
    world.always = failure(503);
    world.start(world.spec({world.target("m")}));
    world.finish();
    const auto& records = world.exchange.records();
    ASSERT_EQ(records.size(), 3u);
    longest_first = std::max(longest_first, runtime::to_seconds(records[1].started - records[0].ended_at));
    longest_second = std::max(longest_second, runtime::to_seconds(records[2].started - records[1].ended_at));
  }
  EXPECT_LE(longest_first, 0.05 + 0.003);
  EXPECT_GT(longest_first, 0.04);
  EXPECT_LE(longest_second, 0.1 + 0.003);
  EXPECT_GT(longest_second, 0.08);
}

TEST(Call, keeps_the_caps_on_tries) {
  struct Case {
    int attempts, total;
    std::size_t models, expected;
  };
  for (const Case& c :
       {Case{3, 6, 1, 3}, Case{1, 6, 1, 1}, Case{9, 4, 1, 4}, Case{3, 6, 3, 6}, Case{1, 6, 3, 3}, Case{2, 3, 3, 3}}) {
    World world;
    world.always = failure(503);
    std::vector<Target> targets;
    for (std::size_t i = 0; i < c.models; ++i) targets.push_back(world.target("m" + std::to_string(i)));
    CallSpec spec = world.spec(std::move(targets));
    spec.retry.attempts = c.attempts;
    spec.retry.total = c.total;
    world.start(std::move(spec));
    const Outcome& outcome = world.finish();
    EXPECT_EQ(outcome.error->kind, ErrorKind::Overloaded);
    EXPECT_EQ(outcome.attempts.size(), c.expected);
    EXPECT_EQ(world.exchange.records().size(), c.expected);
  }
}

TEST(Call, repeats_a_lost_request_only_when_it_may) {
  for (const bool after_sent : {true, false}) {
    World world;
    world.answers.emplace(1, SimAnswer().connect().reset());
    CallSpec spec = world.spec({world.target("a"), world.target("b")});
    spec.retry.after_sent = after_sent;
    world.start(std::move(spec));
    const Outcome& outcome = world.finish();
    EXPECT_EQ(outcome.error.has_value(), !after_sent);
    EXPECT_EQ(world.exchange.records().size(), after_sent ? 2u : 1u);
    EXPECT_TRUE(outcome.attempts[0].cost.estimated);
    EXPECT_GT(outcome.attempts[0].cost.nano_usd, 0);
  }
}

TEST(Call, costs_nothing_when_nothing_was_sent) {
  World world;
  world.always = SimAnswer().refuse(1ms);
  world.start(world.spec({world.target("m")}));
  const Outcome& outcome = world.finish();
  EXPECT_EQ(outcome.error->kind, ErrorKind::Connect);
  EXPECT_EQ(outcome.attempts.size(), 3u);
  EXPECT_TRUE(outcome.cost.known);
  EXPECT_FALSE(outcome.cost.estimated);
  EXPECT_EQ(outcome.cost.nano_usd, 0);
}

TEST(Call, repeats_nothing_after_delivered_text) {
  World world;
  world.always = SimAnswer().head(200, kEventStream).bytes(kRoleChunk + text_chunk("half")).cut();
  world.start(world.spec({world.target("a"), world.target("b")}, true));
  const Outcome& outcome = world.finish();
  EXPECT_EQ(outcome.error->kind, ErrorKind::Interrupted);
  EXPECT_EQ(world.exchange.records().size(), 1u);
  EXPECT_EQ(world.recorder->text, "half");
  ASSERT_TRUE(outcome.body);
  EXPECT_EQ(outcome.format->choices(outcome.body->root(), outcome.decode).at(0).text, "half");
}

TEST(Call, repeats_a_stream_that_broke_before_text_and_numbers_its_attempt) {
  World world;
  world.answers.emplace(1, SimAnswer().head(200, kEventStream).bytes(kRoleChunk).cut());
  world.always = SimAnswer().head(200, kEventStream).bytes(text_chunk("whole") + kFinish + kDone).end();
  world.start(world.spec({world.target("m")}, true));
  ASSERT_FALSE(world.finish().error);
  EXPECT_EQ(world.recorder->all.front().attempt, 2);
  EXPECT_EQ(world.recorder->text, "whole");
}

// ---- fallbacks

TEST(Call, asks_the_targets_in_their_order) {
  World world;
  world.always = failure(404);
  world.answers.emplace(3, SimAnswer::reply(200, plain_body("third"), 1ms));
  world.start(world.spec({world.target("a"), world.target("b"), world.target("c"), world.target("d")}));
  const Outcome& outcome = world.finish();
  ASSERT_FALSE(outcome.error);
  EXPECT_EQ(outcome.model, "fake/c");
  EXPECT_EQ(world.models_asked(), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Call, never_falls_back_around_a_refusal_of_the_request) {
  for (const char* message :
       {"Invalid 'temperature'", "The response was filtered due to the content management policy"}) {
    World world;
    world.always = failure(400, {}, message);
    world.start(world.spec({world.target("a"), world.target("b")}));
    EXPECT_TRUE(world.finish().error);
    EXPECT_EQ(world.exchange.records().size(), 1u) << message;
  }
}

TEST(Call, asks_only_larger_or_unknown_windows_after_a_prompt_that_was_too_long) {
  World world;
  world.answers.emplace(1, failure(400, {}, "This model's maximum context length is 8192 tokens."));
  world.start(world.spec({world.target("a", 8192), world.target("small", 4096), world.target("same", 8192),
                          world.target("large", 128'000)}));
  EXPECT_FALSE(world.finish().error);
  EXPECT_EQ(world.models_asked(), (std::vector<std::string>{"a", "large"}));
}

TEST(Call, tries_a_silent_target_once_when_there_is_another) {
  World world;
  world.answers.emplace(1, SimAnswer().connect().stall());
  CallSpec spec = world.spec({world.target("a"), world.target("b")});
  spec.timeout.first_token = 2;
  world.start(std::move(spec));
  EXPECT_FALSE(world.finish().error);
  EXPECT_EQ(world.models_asked(), (std::vector<std::string>{"a", "b"}));
}

// ---- secrets

TEST(Call, waits_for_a_secret_and_ends_when_it_cannot_be_had) {
  World world;
  world.secrets.held = true;
  world.start(world.spec({world.target("m")}));
  world.loop.run_for(5s);
  EXPECT_TRUE(world.exchange.records().empty());
  ASSERT_EQ(world.secrets.questions.size(), 1u);
  world.secrets.answer(1, chat::make_error(ErrorKind::Config, "api_key: the callable raised KeyError"));
  const Outcome& outcome = world.finish();
  EXPECT_EQ(outcome.error->kind, ErrorKind::Config);
  EXPECT_TRUE(world.exchange.records().empty());
}

TEST(Call, hears_no_answer_of_a_target_that_it_has_left) {
  World world;
  world.secrets.held = true;
  Target first = world.target("a");
  auto link = std::make_shared<Link>(*first.link);
  link->headers.push_back({"x-other", SecretHandle{1}});
  first.link = link;
  world.start(world.spec({first, world.target("b")}));
  world.loop.run_for(1s);
  ASSERT_EQ(world.secrets.questions.size(), 2u);
  world.secrets.answer(1, chat::make_error(ErrorKind::Config, "api_key: the callable raised KeyError"));
  world.loop.run_for(1s);  // asks for the key of the second target
  ASSERT_EQ(world.secrets.questions.size(), 1u) << "the other question of the first target was not forgotten";
  world.secrets.answer(world.secrets.questions.begin()->first, std::string("sk-secret-1"));
  EXPECT_FALSE(world.finish().error);
  EXPECT_EQ(world.models_asked(), (std::vector<std::string>{"b"}));
}

TEST(Call, takes_the_key_out_of_what_a_provider_repeats) {
  World world;
  world.always = failure(401, {{"x-echo", "sk-secret-1"}}, "Incorrect API key provided: sk-secret-1.");
  world.start(world.spec({world.target("m")}));
  const Outcome& outcome = world.finish();
  EXPECT_EQ(outcome.error->kind, ErrorKind::Authentication);
  EXPECT_EQ(outcome.error->message.find("sk-secret"), std::string::npos) << outcome.error->message;
  EXPECT_EQ(outcome.error->body.find("sk-secret"), std::string::npos);
  EXPECT_EQ(outcome.attempts[0].error_message.find("sk-secret"), std::string::npos);
  EXPECT_EQ(outcome.headers.find("x-echo"), "***");
}

TEST(Call, takes_out_credentials_that_are_no_secrets_and_the_part_that_an_excerpt_left) {
  World world;
  Target target = world.target("m");
  auto link = std::make_shared<Link>(*target.link);
  link->hidden = {"Bearer sk-plain-2345"};
  target.link = link;
  world.always = failure(401, {{"x-echo", "Bearer sk-plain-2345"}}, "No key sk-plain-2345, nor sk-plain-23");
  world.start(world.spec({target}));
  const Outcome& outcome = world.finish();
  EXPECT_EQ(outcome.error->message, "No key ***, nor ***");
  EXPECT_EQ(outcome.headers.find("x-echo"), "***");
}

// ---- limits on input

TEST(Call, reads_a_body_of_its_limit_and_no_byte_more) {
  const std::string body = plain_body("ok");
  for (const std::size_t limit : {body.size(), body.size() - 1}) {
    World world;
    world.environment.limits.body = limit;
    world.always = SimAnswer::reply(200, body, 20ms, {{"content-type", "application/json"}});
    world.start(world.spec({world.target("m")}));
    const Outcome& outcome = world.finish();
    ASSERT_EQ(outcome.error.has_value(), limit < body.size());
    if (!outcome.error) continue;
    EXPECT_EQ(outcome.error->kind, ErrorKind::Protocol);
    EXPECT_EQ(outcome.error->message,
              "the answer is larger than the limit `body` of " + std::to_string(limit) + " bytes");
  }
}

TEST(Call, sends_a_request_of_its_limit_and_no_byte_more) {
  World first;
  first.start(first.spec({first.target("m")}));
  ASSERT_FALSE(first.finish().error);
  const std::size_t size = first.exchange.records()[0].body().size();
  for (const std::size_t limit : {size, size - 1}) {
    World world;
    CallSpec spec = world.spec({world.target("m")});
    spec.most_bytes = limit;
    const auto encoded = encode_for(spec, *spec.targets[0]);
    ASSERT_EQ(encoded.has_value(), limit == size);
    world.start(std::move(spec));
    const Outcome& outcome = world.finish();
    EXPECT_EQ(world.exchange.records().size(), limit == size ? 1u : 0u);
    if (limit == size) continue;
    EXPECT_EQ(outcome.error->kind, ErrorKind::Protocol);
    EXPECT_EQ(outcome.error->message,
              "the request is larger than the limit `request` of " + std::to_string(limit) + " bytes");
    EXPECT_EQ(encoded.error().message, outcome.error->message);
  }
}

}  // namespace
}  // namespace orchestra::dispatch
