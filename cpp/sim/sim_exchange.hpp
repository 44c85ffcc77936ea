// SimExchange: the exchange seam on virtual time. A handler is the whole outside world: it looks at a request and says
// what happens, step by step.
//
//   SimExchange exchange(loop, [](const runtime::ExchangeRequest& request, std::uint64_t number) {
//     if (number == 1) return SimAnswer().refuse(1ms);
//     return SimAnswer().connect(2ms).wait(20ms).head(200, {{"content-type", "application/json"}}).bytes(text,
//     1).end();
//   });
//
// It keeps the promises of runtime/exchange.hpp. Each piece of bytes lies in memory of its own that is freed when the
// call returns, so that an address sanitizer sees a sink that keeps it. Everything belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/exchange.hpp"
#include "sim/sim_loop.hpp"

namespace orchestra::sim {

struct SimStep {
  enum class Kind : std::uint8_t { Connect, Refuse, TlsFail, Head, Bytes, Wait, Break, Malformed, Stall, End };
  Kind kind = Kind::End;
  Duration delay{};  // of Connect, Refuse, TlsFail: before it happens; of Bytes: between the pieces; of Wait: the wait
  int status = 0;
  runtime::HeaderList headers{};
  std::string text{};     // the bytes, or a message
  std::size_t piece = 0;  // of Bytes: bytes handed up at a time; 0: all at once
};

// What happens to one request. An answer whose first step is none of connect, refuse and tls_failure connects at once;
// one that has no end, cut or reset stalls for ever after its last step.
class SimAnswer {
 public:
  static constexpr std::size_t kRandomPieces = static_cast<std::size_t>(-1);

  SimAnswer& connect(Duration delay = {});
  SimAnswer& refuse(Duration delay = {});
  SimAnswer& tls_failure(Duration delay = {});
  SimAnswer& head(int status, runtime::HeaderList headers = {});
  // `piece` bytes at a time with `gap` between them; between two pieces other work may run even without a gap.
  SimAnswer& bytes(std::string text, std::size_t piece = 0, Duration gap = {});
  SimAnswer& wait(Duration duration);
  SimAnswer& cut();    // the connection dies: Cut, or NoReply when no head has come
  SimAnswer& reset();  // the same; reads better before the answer
  SimAnswer& malformed(std::string message = "not HTTP");
  SimAnswer& stall();  // nothing comes any more, until it is cancelled
  SimAnswer& end();

  // A whole plain answer after `latency`.
  static SimAnswer reply(int status, std::string body, Duration latency = {}, runtime::HeaderList headers = {});

  [[nodiscard]] const std::vector<SimStep>& steps() const { return steps_; }

 private:
  SimAnswer& add(SimStep step);
  std::vector<SimStep> steps_;
};

// What one exchange was and how it went. A time that never came is kNever.
struct SimRecord {
  std::uint64_t number = 0;  // 1 is the first
  runtime::ExchangeRequest request{};
  TimePoint started{};
  TimePoint connected = runtime::kNever;
  TimePoint cancelled_at = runtime::kNever;
  TimePoint ended_at = runtime::kNever;
  runtime::EndKind end = runtime::EndKind::Complete;  // REQUIRES: ended_at
  std::size_t bytes_given = 0;

  [[nodiscard]] bool was_sent() const { return connected != runtime::kNever; }
  [[nodiscard]] bool was_cancelled() const { return cancelled_at != runtime::kNever; }
  [[nodiscard]] bool has_ended() const { return ended_at != runtime::kNever; }
  [[nodiscard]] const std::string& target() const { return request.head->target; }
  [[nodiscard]] std::string_view body() const { return request.body ? std::string_view(*request.body) : ""; }
};

class SimExchange final : public runtime::Exchange {
 public:
  // Called when the request starts, with the number of the exchange (1 is the first).
  using Handler = std::function<SimAnswer(const runtime::ExchangeRequest& request, std::uint64_t number)>;

  SimExchange(SimLoop& loop, Handler handler);
  ~SimExchange() override;

  runtime::ExchangeId start(runtime::ExchangeRequest request, runtime::ExchangeSink& sink) override;
  void pause(runtime::ExchangeId id) override;
  void resume(runtime::ExchangeId id) override;
  void cancel(runtime::ExchangeId id) override;
  // Exchanges that are open: a simulated connection is not kept after its answer.
  [[nodiscard]] std::size_t connections() const override { return open_.size(); }
  [[nodiscard]] std::string_view name() const override { return "sim"; }

  // By number - 1, in order of start.
  [[nodiscard]] const std::deque<SimRecord>& records() const { return records_; }
  void set_handler(Handler handler) { handler_ = std::move(handler); }

 private:
  struct Open;
  void advance(std::uint64_t number);
  void give_bytes(Open& open, SimStep& step);
  void schedule(Open& open);
  void finish(std::uint64_t number, runtime::EndKind kind, std::string message);
  [[nodiscard]] SimRecord& record(std::uint64_t number) { return records_[number - 1]; }

  SimLoop& loop_;
  Handler handler_;
  runtime::Random random_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Open>> open_;
  std::deque<SimRecord> records_;
};

}  // namespace orchestra::sim
