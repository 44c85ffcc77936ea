// Call: one request on its way through attempts, retries and fallbacks to exactly one outcome.
//
// A call is made on any thread, started once, and then belongs to the loop's thread. Everything that it waits for (the
// exchange, its timers, a secret, cancel) wakes one coroutine, run(), which reads from top to bottom.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/reply.hpp"
#include "chat/request.hpp"
#include "dispatch/outcome.hpp"
#include "dispatch/target.hpp"
#include "runtime/exchange.hpp"
#include "runtime/loop.hpp"
#include "runtime/random.hpp"
#include "runtime/task.hpp"

namespace orchestra::dispatch {

struct Timeout {  // seconds
  double total = 600;
  double connect = 10;
  double first_token = 120;
  double idle = 60;
};

struct Retry {
  int attempts = 3;        // most tries on one target, the first included
  int total = 6;           // most tries of the whole call
  bool after_sent = true;  // also when the request may have been read and no answer came
};

struct CallSpec {
  std::shared_ptr<const chat::Request> request;
  std::vector<Target> targets;  // in order of preference; not empty
  Timeout timeout;
  Retry retry;
  bool stream = false;
  bool drop_unsupported = false;
  runtime::TimePoint submitted;  // deadlines and latencies count from here
  double submitted_unix = 0;
  std::optional<protocol::EncodedRequest> first;  // the first target's request, encoded where the call was made
};

// The call's request as this target's format writes it. Fails with Unsupported or InvalidRequest. Any thread.
Result<protocol::EncodedRequest> encode_for(const CallSpec& spec, const Target& target);

// Where a call asks for the value of a secret. `answer` comes from inside ask() or later from the loop's thread; it is
// not called after forget().
class SecretSource {
 public:
  using Answer = std::function<void(Result<std::string>)>;
  virtual ~SecretSource() = default;
  virtual std::uint64_t ask(SecretHandle secret, Answer answer) = 0;
  virtual void forget(std::uint64_t question) = 0;
};

class Call;

// Who hears of a call; on the loop's thread, at the end of a turn.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_deltas(Call& call, std::vector<chat::Delta> deltas) = 0;
  virtual void on_done(Call& call, std::shared_ptr<Outcome> outcome) = 0;
};

// What calls live in. Belongs to the loop's thread and outlives its calls.
class Environment {
 public:
  Environment(runtime::Loop& loop, runtime::Exchange& exchange, SecretSource& secrets, std::uint64_t seed);

  runtime::Loop& loop;
  runtime::Exchange& exchange;
  SecretSource& secrets;
  runtime::Random random;
  protocol::Limits limits;
  // Called once for every call that has ended, before its listener is.
  std::function<void(const Outcome&)> on_outcome;

  [[nodiscard]] std::size_t running() const { return running_.size(); }
  void cancel_all(const chat::Error& error);

 private:
  friend class Call;
  void deliver();  // at the end of a turn

  std::vector<Call*> running_;  // each knows its place
  std::vector<std::shared_ptr<Call>> to_deliver_;
};

class Call final : public runtime::ExchangeSink, public std::enable_shared_from_this<Call> {
 public:
  Call(CallSpec spec, std::shared_ptr<Listener> listener) : spec_(std::move(spec)), listener_(std::move(listener)) {}

  void start(Environment& environment);
  // Ends the call with this error (Cancelled), unless it has ended.
  void cancel(chat::Error error);
  // The consumer of a stream is behind (or has caught up): stop reading from the connection, go on.
  void pause();
  void resume();
  // Of a stream: what has come so far as a plain body of the attempt's format; empty before anything came.
  [[nodiscard]] Partial partial() const;

  [[nodiscard]] const CallSpec& spec() const { return spec_; }
  [[nodiscard]] bool is_stream() const { return spec_.stream; }

  // ExchangeSink
  void on_connected() override;
  void on_head(runtime::AnswerHead head) override;
  void on_bytes(std::span<char> bytes) override;
  void on_end(runtime::End end) override;

 private:
  friend class Environment;
  enum class Phase : std::uint8_t { None, Secrets, Connect, FirstToken, Idle, Finishing, Backoff };

  // After a finish reason without a marker usage may still come, and some services never send the marker. Seconds.
  static constexpr double kGraceAfterFinish = 5.0;

  runtime::Task run(std::shared_ptr<Call> self);

  // One attempt
  std::optional<chat::Error> encode();
  void ask_for_secrets();
  void forget_questions();
  [[nodiscard]] bool secrets_are_here() const { return secrets_missing_ == 0 || secret_error_.has_value(); }
  void begin_attempt();
  void send();
  [[nodiscard]] bool attempt_is_over() const;
  void end_attempt();
  std::optional<chat::Error> judge();
  std::optional<chat::Error> judge_answer();
  std::optional<chat::Error> read_plain_body();
  std::optional<chat::Error> read_stream_end();
  void take_deltas(std::size_t first);
  void book(const std::optional<chat::Error>& error);
  void clean(chat::Error& error) const;
  [[nodiscard]] std::string cleaned(std::string text) const;

  // Between attempts
  enum class Next : std::uint8_t { SameTarget, NextTarget, GiveUp };
  [[nodiscard]] Next decide(const chat::Error& error);
  [[nodiscard]] std::optional<std::size_t> next_target(const chat::Error& error) const;
  [[nodiscard]] runtime::Duration backoff(const chat::Error& error);

  void enter(Phase phase, double seconds);
  void on_phase_timer();
  [[nodiscard]] bool is_stopped() const { return cancelled_.has_value() || total_is_up_; }
  [[nodiscard]] chat::Error stop_error() const;
  void finish(std::optional<chat::Error> error);
  void schedule_delivery();

  [[nodiscard]] const Target& target() const { return spec_.targets[target_index_]; }
  [[nodiscard]] protocol::DecodeOptions decode_options() const {
    return {.forced_tool = encoded_.forced_tool, .limits = environment_->limits};
  }
  [[nodiscard]] const protocol::Format& format() const { return *target().link->format; }

  CallSpec spec_;
  std::shared_ptr<Listener> listener_;
  Environment* environment_ = nullptr;
  std::optional<runtime::Wake> wake_;
  std::optional<runtime::Timer> total_timer_;
  std::optional<runtime::Timer> phase_timer_;

  // The whole call
  std::size_t place_ = 0;  // among the running calls
  std::size_t target_index_ = 0;
  int tries_of_target_ = 0;
  int tries_ = 0;
  bool delivered_ = false;  // a delta has been handed on: nothing is repeated any more
  bool total_is_up_ = false;
  std::optional<chat::Error> cancelled_;
  std::shared_ptr<Outcome> outcome_ = std::make_shared<Outcome>();
  bool has_outcome_ = false;
  bool delivery_scheduled_ = false;
  std::vector<chat::Delta> pending_;

  // The attempt that runs
  protocol::EncodedRequest encoded_;
  std::size_t encoded_target_ = SIZE_MAX;
  std::shared_ptr<const std::string> request_body_;
  std::vector<std::string> secrets_;  // the key first, then those of headers, in order
  std::size_t secrets_missing_ = 0;
  std::vector<std::uint64_t> questions_;
  std::optional<chat::Error> secret_error_;
  runtime::ExchangeId exchange_id_ = 0;
  Phase phase_ = Phase::None;
  std::optional<Phase> phase_up_;  // the phase whose time is up
  runtime::TimePoint attempt_started_{};
  double attempt_started_unix_ = 0;
  runtime::TimePoint last_byte_{};
  std::optional<runtime::TimePoint> first_content_;
  bool connected_ = false;
  bool paused_ = false;
  bool has_marker_ = false;  // of a stream: its terminal marker came
  int status_ = 0;
  runtime::HeaderText headers_;
  std::string body_;
  std::unique_ptr<protocol::StreamDecoder> decoder_;
  std::size_t delivered_bytes_ = 0;
  std::optional<chat::Error> fault_;  // found in the bytes
  std::optional<runtime::End> end_;
};

}  // namespace orchestra::dispatch
