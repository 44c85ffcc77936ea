#include "dispatch/call.hpp"

#include <strings.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

namespace orchestra::dispatch {

namespace {

using chat::Error;
using chat::ErrorKind;
using runtime::EndKind;

// After the terminal marker of a stream the connection is read to its end, so that it can be used again: this long.
constexpr double kGraceAfterMarker = 0.25;
// After a finish reason without a marker usage may still come, and some services never send the marker.
constexpr double kGraceAfterFinish = 5.0;
// Backoff: full jitter, seconds. Scales and cap as botocore's standard mode 2.1 has them.
constexpr double kBackoffScale = 0.05;
constexpr double kThrottleScale = 1.0;
constexpr double kBackoffCap = 20.0;

bool is_success(int status) { return status >= 200 && status < 300; }

void set_header(runtime::HeaderList& headers, std::string name, std::string value) {
  for (auto& header : headers) {
    if (strcasecmp(header.first.c_str(), name.c_str()) == 0) {
      header.second = std::move(value);
      return;
    }
  }
  headers.emplace_back(std::move(name), std::move(value));
}

bool has_media_type(const runtime::HeaderList& headers, std::string_view media_type) {
  const std::string_view type = protocol::header(headers, "content-type");
  return type.size() >= media_type.size() && strncasecmp(type.data(), media_type.data(), media_type.size()) == 0;
}

// Services have answered a plain request with a stream and the other way round: what came decides, not what was asked.
bool comes_as_stream(bool asked, const runtime::HeaderList& headers) {
  return asked ? !has_media_type(headers, "application/json") : has_media_type(headers, "text/event-stream");
}

// Percent-encodes what may not stand in one segment of a path (RFC 3986, section 3.3).
std::string path_segment(std::string_view text) {
  constexpr std::string_view kPlain = "-._~!$&'()*+,;=:@";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string segment;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x80 && std::isalnum(byte) != 0) || kPlain.find(c) != std::string_view::npos) {
      segment += c;
    } else {
      segment += '%';
      segment += kHex[byte >> 4];
      segment += kHex[byte & 15];
    }
  }
  return segment;
}

std::string shortest(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

Error deadline(std::string phase, double seconds) {
  Error error = chat::make_error(ErrorKind::DeadlineExceeded,
                                 "no answer in time: the " + phase + " timeout of " + shortest(seconds) + " s is up");
  error.retryable = phase != "total";
  error.phase = std::move(phase);
  return error;
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
  return target.link->format->encode(*spec.request, options);
}

Environment::Environment(runtime::Loop& loop_, runtime::Exchange& exchange_, SecretSource& secrets_, std::uint64_t seed)
    : loop(loop_), exchange(exchange_), secrets(secrets_), random(seed) {
  loop.on_turn_end([this] { deliver(); });
}

void Environment::deliver() {
  for (std::size_t i = 0; i < to_deliver_.size(); ++i) {
    const std::shared_ptr<Call> call = std::move(to_deliver_[i]);
    call->delivery_scheduled_ = false;
    if (!call->pending_.empty()) call->listener_->on_deltas(*call, std::exchange(call->pending_, {}));
    if (call->has_outcome_) {
      call->has_outcome_ = false;
      call->listener_->on_done(*call, std::move(call->outcome_));
    }
  }
  to_deliver_.clear();
}

void Environment::cancel_all(const Error& error) {
  for (Call* call : running_) call->cancel(error);
}

void Call::start(Environment& environment) {
  environment_ = &environment;
  place_ = environment.running_.size();
  environment.running_.push_back(this);
  wake_.emplace(environment.loop);
  total_timer_.emplace(environment.loop, [this] {
    total_is_up_ = true;
    wake_->notify();
  });
  phase_timer_.emplace(environment.loop, [this] { on_phase_timer(); });
  outcome_->started = spec_.submitted_unix;
  if (spec_.first) {
    encoded_ = std::move(*spec_.first);
    encoded_target_ = 0;
    request_body_ = std::make_shared<const std::string>(std::move(encoded_.body));
  }
  total_timer_->set(spec_.submitted + runtime::from_seconds(spec_.timeout.total));
  run(shared_from_this());
}

void Call::cancel(Error error) {
  if (cancelled_ || !wake_) return;
  cancelled_ = std::move(error);
  wake_->notify();
}

void Call::pause() {
  if (paused_ || exchange_id_ == 0) return;
  paused_ = true;
  environment_->exchange.pause(exchange_id_);
}

void Call::resume() {
  if (!paused_) return;
  paused_ = false;
  last_byte_ = environment_->loop.now();
  if (phase_ == Phase::Idle) enter(Phase::Idle, spec_.timeout.idle);
  if (exchange_id_ != 0) environment_->exchange.resume(exchange_id_);
}

// The story of a call. Everything that it waits for notifies wake_.
runtime::Task Call::run([[maybe_unused]] std::shared_ptr<Call> self) {  // `self` keeps the call alive while it runs
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
  secrets_.clear();
  secret_error_.reset();
  questions_.clear();
  std::vector<SecretHandle> wanted;
  if (target().link->key) wanted.push_back(*target().link->key);
  for (const auto& header : target().link->headers) {
    if (const auto* handle = std::get_if<SecretHandle>(&header.value)) wanted.push_back(*handle);
  }
  secrets_.resize(wanted.size());
  secrets_missing_ = wanted.size();
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    questions_.push_back(environment_->secrets.ask(wanted[i], [this, i](Result<std::string> answer) {
      --secrets_missing_;
      if (answer) {
        secrets_[i] = *std::move(answer);
      } else {
        secret_error_ = std::move(answer).error();
      }
      wake_->notify();
    }));
  }
}

void Call::begin_attempt() {
  ++tries_;
  ++tries_of_target_;
  attempt_started_ = environment_->loop.now();
  attempt_started_unix_ = environment_->loop.unix_now();
  first_content_.reset();
  phase_up_.reset();
  connected_ = paused_ = false;
  status_ = 0;
  headers_.clear();
  body_.clear();
  decoder_.reset();
  delivered_bytes_ = 0;
  fault_.reset();
  end_.reset();
  has_marker_ = false;
}

void Call::send() {
  const Link& link = *target().link;
  runtime::ExchangeRequest request;
  request.origin = link.origin;
  request.target = link.path_prefix;
  if (link.deployment_paths) request.target += "/openai/deployments/" + path_segment(target().wire_model);
  request.target += encoded_.path + link.query;
  request.headers = encoded_.headers;
  std::size_t next_secret = 0;
  if (link.key) {
    const std::string& key = secrets_[next_secret++];
    if (link.key_header.empty()) {
      for (auto& [name, value] : format().credentials(key)) request.headers.emplace_back(name, value);
    } else {
      request.headers.emplace_back(link.key_header, key);
    }
  }
  for (const auto& header : link.headers) {
    const auto* text = std::get_if<std::string>(&header.value);
    set_header(request.headers, header.name, text != nullptr ? *text : secrets_[next_secret++]);
  }
  request.body = request_body_;
  enter(Phase::Connect, spec_.timeout.connect);
  exchange_id_ = environment_->exchange.start(std::move(request), *this);
}

bool Call::attempt_is_over() const { return end_ || fault_ || phase_up_ || is_stopped(); }

void Call::end_attempt() {
  if (!end_) environment_->exchange.cancel(exchange_id_);
  exchange_id_ = 0;
  phase_ = Phase::None;
  phase_timer_->cancel();
}

void Call::enter(Phase phase, double seconds) {
  phase_ = phase;
  phase_timer_->set(environment_->loop.now() + runtime::from_seconds(seconds));
}

void Call::on_phase_timer() {
  if (phase_ == Phase::Idle) {
    // Bytes only note their time; the timer is moved when it fires.
    if (paused_) return;
    const runtime::TimePoint due = last_byte_ + runtime::from_seconds(spec_.timeout.idle);
    if (environment_->loop.now() < due) {
      phase_timer_->set(due);
      return;
    }
  }
  if (phase_ == Phase::Backoff) {
    phase_ = Phase::None;
  } else {
    phase_up_ = phase_;
  }
  wake_->notify();
}

void Call::on_connected() {
  if (attempt_is_over() || connected_) return;
  connected_ = true;
  enter(Phase::FirstToken, spec_.timeout.first_token);
}

void Call::on_head(int status, runtime::HeaderList headers) {
  if (attempt_is_over()) return;
  connected_ = true;
  status_ = status;
  headers_ = std::move(headers);
  if (is_success(status) && comes_as_stream(spec_.stream, headers_)) {
    decoder_ = format().stream_decoder({.forced_tool = encoded_.forced_tool, .limits = environment_->limits});
  }
}

void Call::on_bytes(std::span<char> bytes) {
  if (attempt_is_over() || bytes.empty()) return;
  last_byte_ = environment_->loop.now();
  if (!decoder_) {
    if (body_.size() + bytes.size() > environment_->limits.body) {
      fault_ = chat::make_error(ErrorKind::Protocol, "the answer is larger than the limit `body` of " +
                                                         std::to_string(environment_->limits.body) + " bytes");
      wake_->notify();
      return;
    }
    body_.append(bytes.data(), bytes.size());
    if (!first_content_) {
      first_content_ = last_byte_;
      enter(Phase::Idle, spec_.timeout.idle);
    }
    return;
  }
  const std::size_t before = pending_.size();
  Status status = decoder_->feed({bytes.data(), bytes.size()}, pending_);
  take_deltas(before);
  if (pending_.size() > before) schedule_delivery();
  if (!status) {
    fault_ = std::move(status).error();
    wake_->notify();
    return;
  }
  if (!first_content_ && decoder_->has_content()) {
    first_content_ = last_byte_;
    enter(Phase::Idle, spec_.timeout.idle);
  }
  if (decoder_->is_done()) {
    if (!std::exchange(has_marker_, true)) enter(Phase::Finishing, kGraceAfterMarker);
  } else if (decoder_->is_finished()) {
    if (phase_ != Phase::Finishing) enter(Phase::Finishing, kGraceAfterFinish);
  } else if (phase_ == Phase::Finishing) {  // another of n choices began
    enter(Phase::Idle, spec_.timeout.idle);
  }
}

void Call::on_end(runtime::End end) {
  end_ = std::move(end);
  exchange_id_ = 0;
  wake_->notify();
}

// What the attempt came to: an error, or nothing and the outcome holds the reply.
std::optional<Error> Call::judge() {
  std::optional<Error> error;
  if (is_stopped()) {
    error = stop_error();
  } else if (fault_) {
    error = std::move(fault_);
  } else if (phase_up_ && *phase_up_ != Phase::Finishing) {
    switch (*phase_up_) {
      case Phase::Connect: error = deadline("connect", spec_.timeout.connect); break;
      case Phase::FirstToken: error = deadline("first_token", spec_.timeout.first_token); break;
      default: error = deadline("idle", spec_.timeout.idle); break;
    }
  } else {
    error = judge_answer();
  }
  if (error) {
    if (status_ != 0 && !error->status) error->status = status_;
    clean(*error);
  }
  return error;
}

std::optional<Error> Call::judge_answer() {
  if (status_ != 0 && !is_success(status_)) {
    Error error = format().error(status_, headers_, body_);
    if (!error.retry_after) error.retry_after = protocol::retry_hint(status_, headers_, environment_->loop.unix_now());
    return error;
  }
  if (end_ && end_->kind != EndKind::Complete && !(decoder_ && decoder_->is_finished())) {
    switch (end_->kind) {
      case EndKind::NotConnected: {
        Error error = chat::make_error(ErrorKind::Connect,
                                       "no connection to " + target().link->origin->url + ": " + end_->message);
        error.retryable = true;
        return error;
      }
      case EndKind::TlsFailed:
        return chat::make_error(ErrorKind::Tls,
                                "no secure connection to " + target().link->origin->url + ": " + end_->message);
      case EndKind::Malformed: return chat::make_error(ErrorKind::Protocol, "the answer is no HTTP: " + end_->message);
      default: {
        const std::string when = status_ == 0 ? "before any answer" : "in the middle of the answer";
        Error error = chat::make_error(ErrorKind::Interrupted, "the connection ended " + when + ": " + end_->message);
        error.retryable = true;
        return error;
      }
    }
  }
  return decoder_ ? read_stream_end() : read_plain_body();
}

std::optional<Error> Call::read_plain_body() {
  const protocol::DecodeOptions options{.forced_tool = encoded_.forced_tool, .limits = environment_->limits};
  auto document = std::make_unique<json::Document>();
  std::optional<Error> error;
  if (const auto problem = document->parse(std::move(body_))) {
    error = chat::make_error(ErrorKind::Protocol, "the answer cannot be read: " + problem->message + " (byte " +
                                                      std::to_string(problem->offset) + ")");
  } else {
    auto summary = format().summarize(document->root(), options);
    if (!summary) {
      error = std::move(summary).error();
    } else {
      outcome_->summary = *std::move(summary);
      outcome_->body = std::move(document);
    }
  }
  if (error) {
    if (!error->has_body) {
      error->body = document->text().substr(0, chat::kBodyExcerpt);
      error->has_body = true;
    }
    return error;
  }
  if (spec_.stream) {  // a plain answer to a request for a stream
    for (const auto& choice : format().choices(outcome_->body->root(), options)) {
      if (choice.index != 0) continue;
      if (!choice.reasoning.value_or("").empty())
        pending_.push_back({.reasoning = *choice.reasoning, .attempt = tries_});
      if (!choice.text.empty()) pending_.push_back({.text = choice.text, .attempt = tries_});
      std::int64_t index = 0;
      for (const auto& call : choice.tool_calls) {
        chat::Delta delta{.attempt = tries_};
        delta.tool_call = chat::ToolFragment{index++, call.id, call.name, call.arguments};
        pending_.push_back(std::move(delta));
      }
    }
    pending_.push_back({.finish = outcome_->summary.finish, .usage = outcome_->summary.usage, .attempt = tries_});
  }
  return std::nullopt;
}

// Marks the deltas from `first` on as this attempt's; those of a call that asked for no stream go no further.
void Call::take_deltas(std::size_t first) {
  for (std::size_t i = first; i < pending_.size(); ++i) {
    pending_[i].attempt = tries_;
    delivered_bytes_ += pending_[i].bytes();
    if (pending_[i].has_content()) delivered_ = spec_.stream;
  }
  if (!spec_.stream) pending_.clear();
}

std::optional<Error> Call::read_stream_end() {
  const std::size_t before = pending_.size();
  Status status = decoder_->end(pending_);
  take_deltas(before);
  if (!status) return std::move(status).error();
  const protocol::DecodeOptions options{.forced_tool = encoded_.forced_tool, .limits = environment_->limits};
  auto document = std::make_unique<json::Document>();
  if (const auto problem = document->parse(decoder_->plain_body())) {
    return chat::make_error(ErrorKind::Protocol, "the stream cannot be put together: " + problem->message);
  }
  auto summary = format().summarize(document->root(), options);
  if (!summary) return std::move(summary).error();
  outcome_->summary = *std::move(summary);
  outcome_->body = std::move(document);
  return std::nullopt;
}

// Records the attempt with what it cost, or may have cost.
void Call::book(const std::optional<Error>& error) {
  Attempt attempt;
  attempt.model = target().model;
  if (status_ != 0) attempt.status = status_;
  attempt.started = attempt_started_unix_;
  attempt.latency = runtime::to_seconds(environment_->loop.now() - attempt_started_);
  attempt.dropped = encoded_.dropped;
  attempt.transport = std::string(environment_->exchange.name());
  const catalog::Price* price = target().card ? target().card->price() : nullptr;
  if (error) {
    attempt.error = error->kind;
    attempt.error_message = error->message;
    attempt.retry_after = error->retry_after;
    const bool sent = connected_ || status_ != 0;
    if (!sent || (status_ != 0 && !is_success(status_))) {
      attempt.cost = spend::zero();
    } else {
      attempt.cost = spend::estimate(price, spec_.request->text_bytes(), delivered_bytes_);
    }
  } else {
    attempt.usage = outcome_->summary.usage;
    if (attempt.usage->reported()) {
      attempt.cost = spend::cost_of(price, *attempt.usage);
    } else {
      std::size_t output_bytes = delivered_bytes_;
      if (!decoder_) {
        for (const auto& choice : format().choices(outcome_->body->root(), {.forced_tool = encoded_.forced_tool})) {
          output_bytes += choice.text.size();
          for (const auto& call : choice.tool_calls) output_bytes += call.arguments.size();
        }
      }
      attempt.cost = spend::estimate(price, spec_.request->text_bytes(), output_bytes);
    }
  }
  outcome_->cost += attempt.cost;
  outcome_->attempts.push_back(std::move(attempt));
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
    if (environment_->loop.now() + wait < total_timer_->due()) {
      phase_ = Phase::Backoff;
      phase_timer_->set(environment_->loop.now() + wait);
      return Next::SameTarget;
    }
  }
  if (lost && !spec_.retry.after_sent) return Next::GiveUp;
  return has_next ? Next::NextTarget : Next::GiveUp;
}

// After a prompt that was too long only a target whose window is larger, or unknown, is worth asking.
std::optional<std::size_t> Call::next_target(const Error& error) const {
  const auto window = [this](std::size_t i) -> std::optional<std::int64_t> {
    const auto& card = spec_.targets[i].card;
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
  return deadline("total", spec_.timeout.total);
}

std::string Call::cleaned(std::string text) const {
  for (const auto& secret : secrets_) {
    if (secret.size() < 4) continue;
    for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3)) {
      text.replace(at, secret.size(), "***");
    }
  }
  return text;
}

// A provider may repeat the key that it was sent: it is taken out of everything that is shown.
void Call::clean(Error& error) const {
  error.message = cleaned(std::move(error.message));
  error.body = cleaned(std::move(error.body));
}

Partial Call::partial() const {
  Partial partial;
  partial.format = &format();
  partial.model = target().model;
  partial.provider = target().link->provider;
  partial.options.forced_tool = encoded_.forced_tool;
  if (decoder_) partial.body = decoder_->plain_body();
  return partial;
}

void Call::finish(std::optional<Error> error) {
  total_timer_->cancel();
  phase_timer_->cancel();
  for (const std::uint64_t question : questions_) environment_->secrets.forget(question);
  if (error) {
    if (decoder_) {
      auto document = std::make_unique<json::Document>();
      if (!document->parse(decoder_->plain_body())) outcome_->body = std::move(document);
    }
    outcome_->error = std::move(error);
  }
  const runtime::TimePoint now = environment_->loop.now();
  outcome_->model = target().model;
  outcome_->provider = target().link->provider;
  outcome_->format = &format();
  outcome_->decode = {.forced_tool = encoded_.forced_tool, .limits = environment_->limits};
  outcome_->status = status_;
  outcome_->headers = std::move(headers_);
  for (auto& header : outcome_->headers) header.second = cleaned(std::move(header.second));
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
