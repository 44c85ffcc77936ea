#include "sim/sim_exchange.hpp"

#include <gtest/gtest.h>

#include <set>

#include "runtime/exchange_contract.hpp"

namespace orchestra::sim {
namespace {

using namespace std::chrono_literals;
using runtime::EndKind;
using runtime::ExchangeRequest;
using runtime::RecordingSink;
using runtime::Script;
using runtime::ScriptStep;

SimAnswer answer_of(const Script& script) {
  SimAnswer answer;
  answer.connect(1ms);
  for (const ScriptStep& step : script) {
    switch (step.kind) {
      case ScriptStep::Kind::Head: answer.head(200); break;
      case ScriptStep::Kind::Bytes: answer.bytes(step.text, step.piece); break;
      case ScriptStep::Kind::Break: answer.cut(); break;
      case ScriptStep::Kind::Garbage: answer.malformed(); break;
      case ScriptStep::Kind::Stall: answer.stall(); break;
      case ScriptStep::Kind::End: answer.end(); break;
    }
  }
  return answer;
}

class SimDriver {
 public:
  SimDriver()
      : exchange_(std::in_place, loop_, [this](const ExchangeRequest& request, std::uint64_t number) {
          if (request.head->target == "/refused") return SimAnswer().refuse(1ms);
          return answer_of(scripts_[std::min<std::size_t>(number, scripts_.size()) - 1]);
        }) {}

  runtime::Loop& loop() { return loop_; }
  runtime::Exchange& exchange() { return *exchange_; }
  void destroy_exchange() {
    closed_by_destruction_ = exchange_->connections();
    exchange_.reset();
  }
  void serve(std::vector<Script> scripts) { scripts_ = std::move(scripts); }
  static ExchangeRequest request(std::string body) { return runtime::request_of({.target = "/"}, std::move(body)); }
  static ExchangeRequest refused_request() { return runtime::request_of({.target = "/refused"}); }
  bool run_until(const std::function<bool()>& condition) { return loop_.run_while_not(condition); }
  void run_for(Duration duration) { loop_.run_for(duration); }
  [[nodiscard]] std::size_t requests_seen() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(exchange_->records(), [](const SimRecord& record) { return record.was_sent(); }));
  }
  [[nodiscard]] std::size_t closed_early() const {
    if (!exchange_) return closed_by_destruction_;
    return static_cast<std::size_t>(
        std::ranges::count_if(exchange_->records(), [](const SimRecord& record) { return record.was_cancelled(); }));
  }

 private:
  SimLoop loop_{7};
  std::vector<Script> scripts_;
  std::size_t closed_by_destruction_ = 0;
  std::optional<SimExchange> exchange_;
};

}  // namespace
}  // namespace orchestra::sim

namespace orchestra::runtime {
INSTANTIATE_TYPED_TEST_SUITE_P(Sim, ExchangeContract, sim::SimDriver);
}  // namespace orchestra::runtime

namespace orchestra::sim {
namespace {

TEST(SimExchange, records_each_exchange) {
  SimLoop loop(1);
  SimExchange exchange(loop, [](const ExchangeRequest& request, std::uint64_t number) {
    EXPECT_EQ(request.head->target, "/v1/chat");
    if (number == 2) return SimAnswer().connect(3ms).stall();
    return SimAnswer::reply(200, "text", 20ms);
  });
  const ExchangeRequest request = runtime::request_of({.target = "/v1/chat"});
  RecordingSink first;
  RecordingSink second;
  exchange.start(request, first);
  const runtime::ExchangeId id = exchange.start(request, second);
  loop.run();
  loop.run_until(TimePoint(1h));
  exchange.cancel(id);
  const SimRecord& done = exchange.records()[0];
  EXPECT_EQ(done.ended_at, TimePoint(20ms));
  EXPECT_EQ(done.end, EndKind::Complete);
  EXPECT_EQ(done.bytes_given, 4u);
  EXPECT_EQ(done.body(), "{}");
  const SimRecord& stalled = exchange.records()[1];
  EXPECT_EQ(stalled.connected, TimePoint(3ms));
  EXPECT_EQ(stalled.cancelled_at, TimePoint(1h));
  EXPECT_FALSE(stalled.has_ended());
  EXPECT_EQ(exchange.connections(), 0u);
}

TEST(SimExchange, tells_a_tls_failure) {
  SimLoop loop(1);
  SimExchange exchange(loop, [](const ExchangeRequest&, std::uint64_t) { return SimAnswer().tls_failure(2ms); });
  RecordingSink sink;
  exchange.start(runtime::request_of({.target = "/"}), sink);
  loop.run();
  EXPECT_EQ(sink.log, "end ");
  EXPECT_EQ(sink.end->kind, EndKind::TlsFailed);
  EXPECT_FALSE(exchange.records()[0].was_sent());
}

TEST(SimExchange, drips_with_a_gap) {
  SimLoop loop(1);
  SimExchange exchange(
      loop, [](const ExchangeRequest&, std::uint64_t) { return SimAnswer().head(200).bytes("abcd", 1, 1s).end(); });
  RecordingSink sink;
  exchange.start(runtime::request_of({.target = "/"}), sink);
  loop.run();
  EXPECT_EQ(sink.body, "abcd");
  EXPECT_EQ(sink.largest, 1u);
  EXPECT_EQ(exchange.records()[0].ended_at, TimePoint(3s));
}

TEST(SimExchange, cuts_at_random_without_losing_a_byte) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>('a' + i % 26);
  std::set<std::size_t> largest;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SimLoop loop(seed);
    SimExchange exchange(loop, [&](const ExchangeRequest&, std::uint64_t) {
      return SimAnswer().head(200).bytes(text, SimAnswer::kRandomPieces).end();
    });
    RecordingSink sink;
    exchange.start(runtime::request_of({.target = "/"}), sink);
    loop.run();
    EXPECT_EQ(sink.body, text);
    largest.insert(sink.largest);
  }
  EXPECT_GT(largest.size(), 5u);
}

std::uint64_t hash_of_a_day(std::uint64_t seed) {
  SimLoop loop(seed);
  runtime::Random faults = loop.stream(1);
  SimExchange exchange(loop, [&](const ExchangeRequest&, std::uint64_t) {
    SimAnswer answer;
    answer.connect(Duration(faults.below(5'000'000))).wait(Duration(faults.below(2'000'000'000))).head(200);
    answer.bytes("some text", SimAnswer::kRandomPieces);
    return faults.below(10) == 0 ? answer.cut() : answer.end();
  });
  std::vector<std::unique_ptr<RecordingSink>> sinks;
  runtime::Timer arrivals(loop, [&] {
    sinks.push_back(std::make_unique<RecordingSink>());
    const auto id = exchange.start(runtime::request_of({.target = "/"}), *sinks.back());
    if (sinks.size() % 7 == 0) exchange.cancel(id);
    if (sinks.size() < 2000) arrivals.set(loop.now() + 3ms);
  });
  arrivals.set(loop.now());
  loop.run();
  EXPECT_EQ(exchange.connections(), 0u);
  for (std::size_t i = 0; i < sinks.size(); ++i) EXPECT_EQ(sinks[i]->has_ended(), (i + 1) % 7 != 0);
  return loop.hash();
}

TEST(SimExchange, repeats_a_run_from_its_seed) {
  EXPECT_EQ(hash_of_a_day(42), hash_of_a_day(42));
  EXPECT_NE(hash_of_a_day(42), hash_of_a_day(43));
}

}  // namespace
}  // namespace orchestra::sim
