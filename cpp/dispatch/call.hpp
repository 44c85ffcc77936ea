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
#include <string_view>
#include <unordered_map>
#include <utility>
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

// A secret of the configuration, by its place in the list. A dynamic one is asked for when an attempt begins.
struct Secret {
  bool dynamic = false;
  std::string value;
};
using SecretList = std::vector<Secret>;

struct CallSpec {
  std::shared_ptr<const chat::Request> request;
  std::vector<std::shared_ptr<const Target>> targets;  // in order of preference; not empty
  std::shared_ptr<const SecretList> secrets;           // nullptr: all are asked for
  Timeout timeout;
  Retry retry;
  bool stream = false;
  bool drop_unsupported = false;
  std::size_t most_bytes = protocol::Limits().request;  // of the body
  runtime::TimePoint submitted;                         // deadlines and latencies count from here
  double submitted_unix = 0;
  std::optional<protocol::EncodedRequest> first;  // the first target's request, encoded where the call was made
};

// The call's request as this target's format writes it. Fails with Unsupported, InvalidRequest, or Protocol
// when it is over the limit. Any thread.
Result<protocol::EncodedRequest> encode_for(const CallSpec& spec, const Target& target);

// Where a call asks for the value of a dynamic secret. `answer` comes from inside ask() or later from the loop's
// thread; it is not called after forget().
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
  // After all calls of the turn have been told: what was gathered goes out at once.
  virtual void on_turn_end() {}
};

// The head of a request, and the secrets that stand in it, so that they can be taken out of what is shown.
struct SignedHead {
  std::shared_ptr<const runtime::RequestHead> head;
  std::vector<std::string> secrets;
};

// What calls live in. Belongs to the loop's thread and outlives its calls.
class Environment {
 public:
  // `own` carries the requests of origins that ask for it; nullptr: `exchange` carries all.
  Environment(runtime::Loop& loop, runtime::Exchange& exchange, SecretSource& secrets, std::uint64_t seed,
              runtime::Exchange* own = nullptr);

  [[nodiscard]] runtime::Exchange& exchange_for(const runtime::Origin& origin) const {
    return origin.own && own_ != nullptr ? *own_ : exchange_;
  }

  runtime::Loop& loop;
  SecretSource& secrets;
  runtime::Random random;
  protocol::Limits limits;
  // Called once for every call that has ended, before its listener is.
  std::function<void(const Outcome&)> on_outcome;

  [[nodiscard]] std::size_t running() const { return running_.size(); }
  void cancel_all(const chat::Error& error);

 private:
  friend class Call;
  struct KnownHead {
    std::shared_ptr<const Target> target;
    std::shared_ptr<const protocol::EncodedHead> encoded;
    std::shared_ptr<const SignedHead> head;
  };

  void deliver();  // at the end of a turn
  // The head of this request. Requests that say the same share one.
  std::shared_ptr<const SignedHead> sign(const std::shared_ptr<const Target>& target,
                                         const std::shared_ptr<const protocol::EncodedHead>& encoded,
                                         const std::vector<std::string_view>& values);

  runtime::Exchange& exchange_;
  runtime::Exchange* own_;
  std::vector<Call*> running_;  // each knows its place
  std::vector<std::shared_ptr<Call>> to_deliver_;
  std::vector<std::shared_ptr<Call>> delivered_;
  std::unordered_map<const Target*, KnownHead> heads_;  // the last one of each target
  std::vector<std::string_view> secrets_of_call_;       // memory of sign's argument
};

class Call final : public runtime::ExchangeSink, private runtime::Work, public std::enable_shared_from_this<Call> {
 public:
  // `ticket` is the listener's: by it he knows the call.
  Call(CallSpec spec, std::shared_ptr<Listener> listener, std::uint64_t ticket = 0)
      : spec_(std::move(spec)), listener_(std::move(listener)), ticket_(ticket) {}

  void start(Environment& environment);
  // start() on the loop's thread, from any thread; once.
  void start_on(runtime::Loop& loop, Environment* const& environment);
  // Ends the call with this error (Cancelled), unless it has ended.
  void cancel(chat::Error error);
  // The consumer of a stream is behind (or has caught up): stop reading from the connection, go on.
  void pause();
  void resume();
  // Of a stream: what has come so far as a plain body of the attempt's format; empty before anything came.
  [[nodiscard]] Partial partial() const;

  [[nodiscard]] const CallSpec& spec() const { return spec_; }
  [[nodiscard]] bool is_stream() const { return spec_.stream; }
  [[nodiscard]] std::uint64_t ticket() const { return ticket_; }

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

  void run() override { std::exchange(kept_, nullptr)->start(**starts_in_); }
  void drop() override { kept_.reset(); }
  runtime::Task live(std::shared_ptr<Call> self);

  // Something that most calls never have; a call should stay small, since the allocator is quick up to 1 kB.
  template <class T>
  using Rare = std::unique_ptr<T>;

  // One attempt
  std::optional<chat::Error> encode();
  void ask_for_secrets();
  // Calls use(place, handle) for the secrets of the target: the key first, then those of headers, in order.
  template <class Use>
  void for_each_secret(Use use) const {
    std::size_t place = 0;
    if (target().link->key) use(place++, *target().link->key);
    for (const auto& header : target().link->headers) {
      if (const auto* handle = std::get_if<SecretHandle>(&header.value)) use(place++, *handle);
    }
  }
  void forget_questions();
  [[nodiscard]] bool secrets_are_here() const { return secrets_missing_ == 0 || secret_error_; }
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
  // Calls use(text) with every form of the secrets that were sent.
  template <class Use>
  void for_each_hidden(Use use) const;
  [[nodiscard]] std::string cleaned(std::string text) const;

  // Between attempts
  enum class Next : std::uint8_t { SameTarget, NextTarget, GiveUp };
  [[nodiscard]] Next decide(const chat::Error& error);
  [[nodiscard]] std::optional<std::size_t> next_target(const chat::Error& error) const;
  [[nodiscard]] runtime::Duration backoff(const chat::Error& error);

  void enter(Phase phase, double seconds) { enter(phase, environment_->loop.now() + runtime::from_seconds(seconds)); }
  void enter(Phase phase, runtime::TimePoint until);
  void set_timer();
  void on_timer();
  [[nodiscard]] bool is_stopped() const { return cancelled_ || total_is_up_; }
  [[nodiscard]] chat::Error stop_error() const;
  void finish(std::optional<chat::Error> error);
  void schedule_delivery();

  [[nodiscard]] const Target& target() const { return *spec_.targets[target_index_]; }
  [[nodiscard]] protocol::DecodeOptions decode_options() const {
    return {.forced_tool = encoded_.forced_tool, .limits = environment_->limits};
  }
  [[nodiscard]] const protocol::Format& format() const { return *target().link->format; }

  CallSpec spec_;
  std::shared_ptr<Listener> listener_;
  std::uint64_t ticket_;
  Environment* environment_ = nullptr;
  std::optional<runtime::Wake> wake_;
  // One timer for both deadlines. Most phases end before their time, so it is never set to a later time than it has:
  // it fires early instead, and looks.
  std::optional<runtime::Timer> timer_;
  runtime::TimePoint total_due_ = runtime::kNever;
  runtime::TimePoint phase_due_ = runtime::kNever;
  Environment* const* starts_in_ = nullptr;
  std::shared_ptr<Call> kept_;  // itself, until it is started

  // The whole call
  std::size_t place_ = 0;  // among the running calls
  std::size_t target_index_ = 0;
  int tries_of_target_ = 0;
  int tries_ = 0;
  bool delivered_ = false;  // a delta has been handed on: nothing is repeated any more
  bool total_is_up_ = false;
  Rare<chat::Error> cancelled_;
  std::shared_ptr<Outcome> outcome_ = std::make_shared<Outcome>();
  bool has_outcome_ = false;
  bool delivery_scheduled_ = false;
  std::vector<chat::Delta> pending_;

  // The attempt that runs
  protocol::EncodedRequest encoded_;
  std::size_t encoded_target_ = SIZE_MAX;
  std::shared_ptr<const std::string> request_body_;
  std::vector<std::string> answers_;  // values of secrets by place, the key's first; empty where it is not dynamic
  std::size_t secrets_missing_ = 0;
  std::vector<std::uint64_t> questions_;
  Rare<chat::Error> secret_error_;
  std::shared_ptr<const SignedHead> head_;
  runtime::Exchange* exchange_ = nullptr;
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
  Rare<chat::Error> fault_;  // found in the bytes
  std::optional<runtime::End> end_;
};

}  // namespace orchestra::dispatch
