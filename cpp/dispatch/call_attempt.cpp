// One attempt of a Call: what is sent, what comes back, what it came to and what it cost.
#include <strings.h>

#include <cctype>
#include <utility>

#include "dispatch/call.hpp"
#include "dispatch/call_errors.hpp"
#include "protocol/errors.hpp"

namespace orchestra::dispatch {

namespace {

using chat::Error;
using chat::ErrorKind;
using runtime::EndKind;

// After the terminal marker of a stream the connection is read to its end, so that it can be used again: this long.
constexpr double kGraceAfterMarker = 0.25;

void set_header(runtime::HeaderList& headers, std::string name, std::string value) {
  for (auto& header : headers) {
    if (strcasecmp(header.first.c_str(), name.c_str()) == 0) {
      header.second = std::move(value);
      return;
    }
  }
  headers.emplace_back(std::move(name), std::move(value));
}

bool has_media_type(const runtime::HeaderText& headers, std::string_view media_type) {
  const std::string_view type = headers.find("content-type");
  return type.size() >= media_type.size() && strncasecmp(type.data(), media_type.data(), media_type.size()) == 0;
}

// Services have answered a plain request with a stream and the other way round: what came decides, not what was asked.
bool comes_as_stream(bool asked, const runtime::HeaderText& headers) {
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

}  // namespace

void Call::begin_attempt() {
  exchange_ = &environment_->exchange_for(*target().link->origin);
  head_.reset();
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

std::shared_ptr<const SignedHead> Environment::sign(const std::shared_ptr<const Target>& target,
                                                    const std::shared_ptr<const protocol::EncodedHead>& encoded,
                                                    const std::vector<std::string_view>& values) {
  constexpr std::size_t kMostTargets = 4096;
  if (const auto found = heads_.find(target.get()); found != heads_.end()) {
    const KnownHead& known = found->second;
    const bool same = known.encoded == encoded ||
                      (known.encoded->path == encoded->path && known.encoded->headers == encoded->headers);
    if (same && std::equal(values.begin(), values.end(), known.head->secrets.begin(), known.head->secrets.end())) {
      return known.head;
    }
  } else {
    // Targets of configurations that are gone take their heads, their keys and their connections with them.
    std::erase_if(heads_, [](const auto& entry) { return entry.second.target.use_count() == 1; });
    if (heads_.size() >= kMostTargets) heads_.clear();
  }
  const Link& link = *target->link;
  runtime::RequestHead head;
  head.origin = link.origin;
  head.target = link.path_prefix;
  if (link.deployment_paths) head.target += "/openai/deployments/" + path_segment(target->wire_model);
  head.target += encoded->path + link.query;
  head.headers = encoded->headers;
  auto secret = values.begin();
  if (link.key) {
    const std::string_view key = *secret++;
    if (link.key_header.empty()) {
      for (auto& [name, value] : link.format->credentials(key)) head.headers.emplace_back(name, value);
    } else {
      head.headers.emplace_back(link.key_header, key);
    }
  }
  for (const auto& header : link.headers) {
    const auto* text = std::get_if<std::string>(&header.value);
    set_header(head.headers, header.name, text != nullptr ? *text : std::string(*secret++));
  }
  auto made = std::make_shared<SignedHead>();
  made->head = std::make_shared<const runtime::RequestHead>(std::move(head));
  made->secrets.assign(values.begin(), values.end());
  heads_[target.get()] = {target, encoded, made};
  return made;
}

void Call::send() {
  auto& values = environment_->secrets_of_call_;
  values.clear();
  for_each_secret([&](std::size_t place, SecretHandle handle) {
    const bool given = spec_.secrets && !(*spec_.secrets)[handle].dynamic;
    values.push_back(given ? (*spec_.secrets)[handle].value : answers_[place]);
  });
  head_ = environment_->sign(spec_.targets[target_index_], encoded_.head, values);
  enter(Phase::Connect, spec_.timeout.connect);
  exchange_id_ = exchange_->start({.head = head_->head, .body = request_body_}, *this);
}

bool Call::attempt_is_over() const { return end_ || fault_ || phase_up_ || is_stopped(); }

void Call::end_attempt() {
  if (!end_) exchange_->cancel(exchange_id_);
  exchange_id_ = 0;
  phase_ = Phase::None;
  phase_due_ = runtime::kNever;
}

void Call::on_connected() {
  if (attempt_is_over() || connected_) return;
  connected_ = true;
  enter(Phase::FirstToken, spec_.timeout.first_token);
}

void Call::on_head(runtime::AnswerHead head) {
  if (attempt_is_over()) return;
  connected_ = true;
  status_ = head.status;
  headers_ = std::move(head.headers);
  if (is_success(status_) && comes_as_stream(spec_.stream, headers_)) {
    decoder_ = format().stream_decoder(decode_options());
  }
}

void Call::on_bytes(std::span<char> bytes) {
  if (attempt_is_over() || bytes.empty()) return;
  last_byte_ = environment_->loop.now();
  if (!decoder_) {
    if (body_.size() + bytes.size() > environment_->limits.body) {
      fault_ = std::make_unique<Error>(
          protocol::over_limit("the answer is larger", "body", environment_->limits.body, "bytes"));
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
    fault_ = std::make_unique<Error>(std::move(status).error());
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
    error = std::move(*fault_);
  } else if (phase_up_ && *phase_up_ != Phase::Finishing) {
    switch (*phase_up_) {
      case Phase::Connect: error = deadline_error("connect", spec_.timeout.connect); break;
      case Phase::FirstToken: error = deadline_error("first_token", spec_.timeout.first_token); break;
      default: error = deadline_error("idle", spec_.timeout.idle); break;
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
    return status_error(format(), status_, headers_.list(), body_, environment_->loop.unix_now());
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
      case EndKind::Malformed:
        return chat::make_error(ErrorKind::Protocol, "the answer cannot be read: " + end_->message);
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
  if (auto error = read_body(*outcome_, format(), decode_options(), std::move(body_))) return error;
  if (spec_.stream) {  // a plain answer to a request for a stream
    for (const auto& choice : format().choices(outcome_->body->root(), decode_options())) {
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
  protocol::DecodeOptions options = decode_options();
  options.limits.json_depth += protocol::kPlainBodyDepth;
  return read_body(*outcome_, format(), options, decoder_->plain_body());
}

// Records the attempt with what it cost, or may have cost.
void Call::book(const std::optional<Error>& error) {
  Attempt attempt;
  attempt.model = target().model;
  if (status_ != 0) attempt.status = status_;
  attempt.started = attempt_started_unix_;
  attempt.latency = runtime::to_seconds(environment_->loop.now() - attempt_started_);
  attempt.dropped = encoded_.dropped;
  attempt.transport = std::string(exchange_->name());
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
        for (const auto& choice : format().choices(outcome_->body->root(), decode_options())) {
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

}  // namespace orchestra::dispatch
