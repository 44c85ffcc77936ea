#include "dispatch/call.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "dispatch/call_errors.hpp"
#include "protocol/errors.hpp"

namespace orchestra::dispatch {

namespace {

using chat::Error;
using chat::ErrorKind;

// Backoff: full jitter, seconds. Scales and cap as botocore's standard mode 2.1 has them.
constexpr double kBackoffScale = 0.05;
constexpr double kThrottleScale = 1.0;
constexpr double kBackoffCap = 20.0;

constexpr std::size_t kLeastHidden = 4;

void hide(std::string_view secret, std::string& text) {
  for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3)) {
    text.replace(at, secret.size(), "***");
  }
}

// An excerpt may end within a secret; fewer characters of it tell nothing.
void hide_at_end(std::string_view secret, std::string& text) {
  constexpr std::size_t kLeast = 8;
  for (; secret.size() >= kLeast; secret.remove_suffix(1)) {
    if (!text.ends_with(secret)) continue;
    text.replace(text.size() - secret.size(), secret.size(), "***");
    return;
  }
}

// Calls use() with "Bearer KEY" as a whole, and with KEY alone.
template <class Use>
void for_each_form(std::string_view secret, Use use) {
  while (secret.size() >= kLeastHidden) {
    use(secret);
    const std::size_t space = std::min(secret.find(' '), secret.size() - 1);
    secret.remove_prefix(space + 1);
  }
}

}  // namespace

Result<protocol::EncodedRequest> encode_for(const CallSpec& spec, const Target& target) {
  protocol::EncodeOptions options;
  options.model = target.wire_model;
  options.dialect = target.dialect;
  options.stream = spec.stream;
  options.drop_unsupported = spec.drop_unsupported;
  if (target.card) {
    options.json_schema = target.card->has(catalog::Capability::JsonSchema);
    options.tools = target.card->has(catalog::Capability::Tools);
  }
  auto encoded = target.link->format->encode(*spec.request, options);
  if (encoded && encoded->body.size() > spec.most_bytes) {
    return protocol::over_limit("the request is larger", "request", spec.most_bytes, "bytes");
  }
  return encoded;
}

Environment::Environment(runtime::Loop& loop_, runtime::Exchange& exchange, SecretSource& secrets_, std::uint64_t seed,
                         runtime::Exchange* own)
    : loop(loop_), secrets(secrets_), random(seed), exchange_(exchange), own_(own) {
  loop.on_turn_end([this] { deliver(); });
}

void Environment::deliver() {
  delivered_.swap(to_deliver_);
  for (const auto& call : delivered_) {
    call->delivery_scheduled_ = false;
    if (!call->pending_.empty()) call->listener_->on_deltas(*call, std::exchange(call->pending_, {}));
    if (call->has_outcome_) {
      call->has_outcome_ = false;
      call->listener_->on_done(*call, std::move(call->outcome_));
    }
  }
  // Whoever waits is woken once for all of them, and not in the middle: its thread would take ours from the core.
  for (const auto& call : delivered_) call->listener_->on_turn_end();
  delivered_.clear();
}

void Environment::cancel_all(const Error& error) {
  for (Call* call : running_) call->cancel(error);
}

void Call::start_on(runtime::Loop& loop, Environment* const& environment) {
  kept_ = shared_from_this();
  starts_in_ = &environment;
  loop.post(*this);
}

void Call::start(Environment& environment) {
  environment_ = &environment;
  place_ = environment.running_.size();
  environment.running_.push_back(this);
  wake_.emplace(environment.loop);
  timer_.emplace(environment.loop, [this] { on_timer(); });
  outcome_->started = spec_.submitted_unix;
  if (spec_.first) {
    encoded_ = std::move(*spec_.first);
    encoded_target_ = 0;
    request_body_ = std::make_shared<const std::string>(std::move(encoded_.body));
  }
  total_due_ = spec_.submitted + runtime::from_seconds(spec_.timeout.total);
  set_timer();
  live(shared_from_this());
}

void Call::cancel(Error error) {
  if (cancelled_ || !wake_) return;
  cancelled_ = std::make_unique<Error>(std::move(error));
  wake_->notify();
}

void Call::pause() {
  if (paused_ || exchange_id_ == 0) return;
  paused_ = true;
  exchange_->pause(exchange_id_);
}

void Call::resume() {
  if (!paused_) return;
  paused_ = false;
  last_byte_ = environment_->loop.now();
  if (phase_ == Phase::Idle) enter(Phase::Idle, spec_.timeout.idle);
  if (phase_ == Phase::Finishing) enter(Phase::Finishing, kGraceAfterFinish);
  if (exchange_id_ != 0) exchange_->resume(exchange_id_);
}

// The story of a call. Everything that it waits for notifies wake_.
runtime::Task Call::live([[maybe_unused]] std::shared_ptr<Call> self) {  // `self` keeps the call alive while it runs
  std::optional<Error> error;
  for (;;) {
    error = encode();
    if (error) break;

    ask_for_secrets();
    while (!secrets_are_here() && !is_stopped()) co_await *wake_;
    if (is_stopped()) {
      error = stop_error();
      break;
    }
    begin_attempt();
    if (secret_error_) {
      fault_ = std::move(secret_error_);
    } else {
      send();
    }
    while (!attempt_is_over()) co_await *wake_;
    end_attempt();
    error = judge();
    book(error);
    if (!error || is_stopped()) break;

    const Next next = decide(*error);
    if (next == Next::GiveUp) break;
    if (next == Next::NextTarget) {
      target_index_ = *next_target(*error);
      tries_of_target_ = 0;
      continue;
    }
    while (phase_ == Phase::Backoff && !is_stopped()) co_await *wake_;
    if (is_stopped()) {
      error = stop_error();
      break;
    }
  }
  finish(std::move(error));
}

std::optional<Error> Call::encode() {
  if (encoded_target_ == target_index_) return std::nullopt;
  auto encoded = encode_for(spec_, target());
  if (!encoded) return std::move(encoded).error();
  encoded_ = *std::move(encoded);
  encoded_target_ = target_index_;
  request_body_ = std::make_shared<const std::string>(std::move(encoded_.body));
  return std::nullopt;
}

void Call::ask_for_secrets() {
  forget_questions();  // of a target before, whose other secret could not be had
  answers_.clear();
  secret_error_.reset();
  secrets_missing_ = 0;
  for_each_secret([this](std::size_t place, SecretHandle handle) {
    if (!spec_.secrets || (*spec_.secrets)[handle].dynamic) {
      answers_.resize(place + 1);
      ++secrets_missing_;
    }
  });
  if (secrets_missing_ == 0) return;
  for_each_secret([this](std::size_t place, SecretHandle handle) {
    if (spec_.secrets && !(*spec_.secrets)[handle].dynamic) return;
    questions_.push_back(environment_->secrets.ask(handle, [this, place](Result<std::string> answer) {
      --secrets_missing_;
      if (answer) {
        answers_[place] = *std::move(answer);
      } else {
        secret_error_ = std::make_unique<Error>(std::move(answer).error());
      }
      wake_->notify();
    }));
  });
}

void Call::forget_questions() {
  for (const std::uint64_t question : questions_) environment_->secrets.forget(question);
  questions_.clear();
}

void Call::enter(Phase phase, runtime::TimePoint until) {
  phase_ = phase;
  phase_due_ = until;
  set_timer();
}

void Call::set_timer() {
  const runtime::TimePoint due = std::min(total_due_, phase_due_);
  if (due < timer_->due()) timer_->set(due);
}

void Call::on_timer() {
  const runtime::TimePoint now = environment_->loop.now();
  if (now >= total_due_) {
    total_is_up_ = true;
    wake_->notify();
    return;
  }
  if (phase_ == Phase::Idle) phase_due_ = last_byte_ + runtime::from_seconds(spec_.timeout.idle);
  if (paused_) phase_due_ = runtime::kNever;  // nothing can come: resume() begins the phase anew
  if (now >= phase_due_) {
    phase_due_ = runtime::kNever;
    if (phase_ == Phase::Backoff) {
      phase_ = Phase::None;
    } else {
      phase_up_ = phase_;
    }
    wake_->notify();
  }
  set_timer();
}

Call::Next Call::decide(const Error& error) {
  switch (error.kind) {
    case ErrorKind::InvalidRequest:
    case ErrorKind::ContentFiltered:
    case ErrorKind::Unsupported:
    case ErrorKind::Cancelled: return Next::GiveUp;
    default: break;
  }
  if (delivered_ || tries_ >= spec_.retry.total) return Next::GiveUp;
  pending_.clear();
  const bool has_next = next_target(error).has_value();
  const bool lost = error.kind == ErrorKind::Interrupted;  // the request may have been read
  bool same = error.retryable && tries_of_target_ < spec_.retry.attempts;
  if (lost && !spec_.retry.after_sent) same = false;
  if (error.kind == ErrorKind::DeadlineExceeded && has_next) same = false;
  if (same) {
    const runtime::Duration wait = backoff(error);
    if (environment_->loop.now() + wait < total_due_) {
      enter(Phase::Backoff, environment_->loop.now() + wait);
      return Next::SameTarget;
    }
  }
  if (lost && !spec_.retry.after_sent) return Next::GiveUp;
  return has_next ? Next::NextTarget : Next::GiveUp;
}

// After a prompt that was too long only a target whose window is larger, or unknown, is worth asking.
std::optional<std::size_t> Call::next_target(const Error& error) const {
  const auto window = [this](std::size_t i) -> std::optional<std::int64_t> {
    const auto& card = spec_.targets[i]->card;
    return card ? card->context_window : std::nullopt;
  };
  for (std::size_t i = target_index_ + 1; i < spec_.targets.size(); ++i) {
    if (error.kind != ErrorKind::ContextTooLong || !window(i) || !window(target_index_) ||
        *window(i) > *window(target_index_)) {
      return i;
    }
  }
  return std::nullopt;
}

// Full jitter before try n + 1, never earlier than the provider asked.
runtime::Duration Call::backoff(const Error& error) {
  const bool throttled = error.kind == ErrorKind::RateLimited && !error.retry_after;
  const double scale = throttled ? kThrottleScale : kBackoffScale;
  const double most = std::min(kBackoffCap, std::ldexp(scale, tries_of_target_ - 1));
  return runtime::from_seconds(error.retry_after.value_or(0) + environment_->random.uniform() * most);
}

Error Call::stop_error() const {
  if (cancelled_) return *cancelled_;
  return deadline_error("total", spec_.timeout.total);
}

template <class Use>
void Call::for_each_hidden(Use use) const {
  if (head_ == nullptr) return;
  for (const auto& secret : head_->secrets) for_each_form(secret, use);
  for (const auto& secret : target().link->hidden) for_each_form(secret, use);
}

std::string Call::cleaned(std::string text) const {
  for_each_hidden([&](std::string_view secret) { hide(secret, text); });
  return text;
}

// A provider may repeat the key that it was sent: it is taken out of everything that is shown.
void Call::clean(Error& error) const {
  for (std::string* text : {&error.message, &error.body}) {
    *text = cleaned(std::move(*text));
    for_each_hidden([&](std::string_view secret) { hide_at_end(secret, *text); });
  }
}

Partial Call::partial() const {
  Partial partial;
  partial.format = &format();
  partial.model = target().model;
  partial.provider = target().link->provider;
  partial.options = decode_options();
  if (decoder_) partial.body = decoder_->plain_body();
  return partial;
}

void Call::finish(std::optional<Error> error) {
  timer_->cancel();
  forget_questions();
  if (error) {
    if (decoder_) {
      auto document = std::make_unique<json::Document>();
      const std::size_t depth = environment_->limits.json_depth + protocol::kPlainBodyDepth;
      if (!document->parse(decoder_->plain_body(), depth)) outcome_->body = std::move(document);
    }
    outcome_->error = std::move(error);
  }
  const runtime::TimePoint now = environment_->loop.now();
  outcome_->model = target().model;
  outcome_->provider = target().link->provider;
  outcome_->format = &format();
  outcome_->decode = decode_options();
  outcome_->status = status_;
  outcome_->headers = std::move(headers_);
  outcome_->headers.text() = cleaned(std::move(outcome_->headers.text()));
  outcome_->latency = runtime::to_seconds(now - spec_.submitted);
  if (first_content_) outcome_->time_to_first_token = runtime::to_seconds(*first_content_ - spec_.submitted);
  auto& running = environment_->running_;
  running[place_] = running.back();
  running[place_]->place_ = place_;
  running.pop_back();
  if (environment_->on_outcome) environment_->on_outcome(*outcome_);
  has_outcome_ = true;
  schedule_delivery();
}

void Call::schedule_delivery() {
  if (delivery_scheduled_) return;
  delivery_scheduled_ = true;
  environment_->to_deliver_.push_back(shared_from_this());
}

}  // namespace orchestra::dispatch
