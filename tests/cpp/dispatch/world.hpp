// A world for calls on virtual time: a loop, a simulated provider, and who hears of outcomes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dispatch/call.hpp"
#include "sim/sim_exchange.hpp"
#include "sim/sim_loop.hpp"

namespace orchestra::dispatch {

using sim::SimAnswer;
using namespace std::chrono_literals;  // NOLINT(google-global-names-in-headers)

inline std::string plain_body(const std::string& text) {
  return R"({"id":"1","model":"served","choices":[{"index":0,"message":{"role":"assistant","content":")" + text +
         R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":4}})";
}

inline std::string chunk(const std::string& delta, const std::string& finish = "null") {
  return R"(data: {"id":"1","model":"served","choices":[{"index":0,"delta":)" + delta + R"(,"finish_reason":)" +
         finish + "}]}\n\n";
}
inline std::string text_chunk(const std::string& text) { return chunk(R"({"content":")" + text + R"("})"); }
inline const std::string kRoleChunk = chunk(R"({"role":"assistant","content":""})");
inline const std::string kFinish = chunk("{}", R"("stop")");
inline const std::string kDone = "data: [DONE]\n\n";
inline const runtime::HeaderList kEventStream = {{"content-type", "text/event-stream"}};

inline std::string error_body(const std::string& message) {
  return R"({"error":{"message":")" + message + R"(","type":"some_error","code":null}})";
}

class Recorder final : public Listener {
 public:
  void on_deltas(Call&, std::vector<chat::Delta> deltas) override {
    for (auto& delta : deltas) {
      EXPECT_TRUE(outcomes.empty()) << "a delta after the outcome";
      text += delta.text;
      all.push_back(std::move(delta));
    }
  }
  void on_done(Call&, std::shared_ptr<Outcome> outcome) override { outcomes.push_back(std::move(outcome)); }

  std::string text;
  std::vector<chat::Delta> all;
  std::vector<std::shared_ptr<Outcome>> outcomes;
};

class Secrets final : public SecretSource {
 public:
  std::uint64_t ask(SecretHandle, Answer answer) override {
    if (!held) {
      answer(std::string("sk-secret-1"));
      return 0;
    }
    questions.emplace(++last, std::move(answer));
    return last;
  }
  void forget(std::uint64_t question) override { questions.erase(question); }

  // Answers a question that is open, as the engine does it.
  void answer(std::uint64_t question, Result<std::string> value) {
    const Answer give = std::move(questions.at(question));
    questions.erase(question);
    give(std::move(value));
  }

  bool held = false;
  std::uint64_t last = 0;
  std::map<std::uint64_t, Answer> questions;
};

struct World {
  explicit World(std::uint64_t seed = 1) : loop(seed), exchange(loop, {}), environment(loop, exchange, secrets, seed) {
    exchange.set_handler([this](const runtime::ExchangeRequest&, std::uint64_t number) {
      const auto found = answers.find(number);
      return found != answers.end() ? found->second : always;
    });
    environment.on_outcome = [this](const Outcome&) { ++ended; };
  }

  Target target(const std::string& name, std::optional<std::int64_t> window = std::nullopt, bool priced = true) {
    auto link = std::make_shared<Link>();
    link->provider = "fake";
    link->format = protocol::find_format("openai-chat");
    auto origin = std::make_shared<runtime::Origin>();
    origin->url = "http://fake";
    link->origin = origin;
    link->path_prefix = "/v1";
    link->key = 0;
    auto card = std::make_shared<catalog::Model>();
    card->name = "fake/" + name;
    card->context_window = window;
    if (priced) {
      catalog::Price price;
      price.rates.input = 1'000'000'000;
      price.rates.output = 2'000'000'000;
      card->prices.push_back(price);
    }
    return {.model = card->name, .wire_model = name, .dialect = "fake", .link = link, .card = card};
  }

  CallSpec spec(std::vector<Target> targets, bool stream = false) {
    CallSpec spec;
    spec.request = chat::Request::parse(R"({"messages":"Hello there, world."})").value();
    for (auto& target : targets) spec.targets.push_back(std::make_shared<const Target>(std::move(target)));
    spec.stream = stream;
    spec.submitted = loop.now();
    spec.submitted_unix = loop.unix_now();
    return spec;
  }

  std::shared_ptr<Call> start(CallSpec spec) {
    auto call = std::make_shared<Call>(std::move(spec), recorder);
    loop.post([this, call] { call->start(environment); });
    return call;
  }

  // Runs to the end of everything; exactly one outcome must have come, and nothing may be left.
  const Outcome& finish() {
    loop.run();
    EXPECT_EQ(recorder->outcomes.size(), 1u);
    EXPECT_EQ(ended, 1);
    EXPECT_EQ(environment.running(), 0u);
    EXPECT_EQ(exchange.connections(), 0u);
    return *recorder->outcomes.at(0);
  }

  [[nodiscard]] double seconds() const { return runtime::to_seconds(loop.now().time_since_epoch()); }
  [[nodiscard]] std::vector<std::string> models_asked() const {
    std::vector<std::string> names;
    for (const auto& record : exchange.records()) {
      const std::string body(record.body());
      const std::size_t from = body.find(R"("model":")") + 9;
      names.push_back(body.substr(from, body.find('"', from) - from));
    }
    return names;
  }

  sim::SimLoop loop;
  sim::SimExchange exchange;
  Secrets secrets;
  Environment environment;
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
  SimAnswer always = SimAnswer::reply(200, plain_body("ok"), 20ms, {{"content-type", "application/json"}});
  std::map<std::uint64_t, SimAnswer> answers;  // by number of the exchange, from 1
  int ended = 0;
};

inline SimAnswer failure(int status, runtime::HeaderList headers = {}, const std::string& message = "no") {
  headers.emplace_back("content-type", "application/json");
  return SimAnswer::reply(status, error_body(message), 5ms, std::move(headers));
}

}  // namespace orchestra::dispatch
