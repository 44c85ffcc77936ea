#include "sim/sim_exchange.hpp"

#include <algorithm>
#include <utility>

namespace orchestra::sim {

using runtime::EndKind;

SimAnswer& SimAnswer::add(SimStep step) {
  steps_.push_back(std::move(step));
  return *this;
}

SimAnswer& SimAnswer::connect(Duration delay) { return add({.kind = SimStep::Kind::Connect, .delay = delay}); }
SimAnswer& SimAnswer::refuse(Duration delay) {
  return add({.kind = SimStep::Kind::Refuse, .delay = delay, .text = "connection refused"});
}
SimAnswer& SimAnswer::tls_failure(Duration delay) {
  return add({.kind = SimStep::Kind::TlsFail, .delay = delay, .text = "certificate refused"});
}
SimAnswer& SimAnswer::head(int status, runtime::HeaderList headers) {
  return add({.kind = SimStep::Kind::Head, .status = status, .headers = std::move(headers)});
}
SimAnswer& SimAnswer::bytes(std::string text, std::size_t piece, Duration gap) {
  if (text.empty()) return *this;
  return add({.kind = SimStep::Kind::Bytes, .delay = gap, .text = std::move(text), .piece = piece});
}
SimAnswer& SimAnswer::wait(Duration duration) { return add({.kind = SimStep::Kind::Wait, .delay = duration}); }
SimAnswer& SimAnswer::cut() { return add({.kind = SimStep::Kind::Break, .text = "connection closed by the server"}); }
SimAnswer& SimAnswer::reset() { return add({.kind = SimStep::Kind::Break, .text = "connection reset by the server"}); }
SimAnswer& SimAnswer::malformed(std::string message) {
  return add({.kind = SimStep::Kind::Malformed, .text = std::move(message)});
}
SimAnswer& SimAnswer::stall() { return add({.kind = SimStep::Kind::Stall}); }
SimAnswer& SimAnswer::end() { return add({.kind = SimStep::Kind::End}); }

SimAnswer SimAnswer::reply(int status, std::string body, Duration latency, runtime::HeaderList headers) {
  SimAnswer answer;
  answer.connect();
  if (latency > Duration(0)) answer.wait(latency);
  answer.head(status, std::move(headers)).bytes(std::move(body)).end();
  return answer;
}

struct SimExchange::Open {
  Open(SimExchange& exchange, std::uint64_t exchange_number, runtime::ExchangeSink& exchange_sink)
      : number(exchange_number),
        sink(exchange_sink),
        timer(exchange.loop_, [&exchange, exchange_number] { exchange.advance(exchange_number); }) {}

  std::uint64_t number;
  runtime::ExchangeSink& sink;
  std::vector<SimStep> steps;
  std::size_t next = 0;   // the step that `timer` will do
  std::size_t given = 0;  // bytes of that step, when it is one of bytes
  bool head_given = false;
  bool paused = false;
  bool held = false;  // the next step was due while paused
  runtime::Timer timer;
};

SimExchange::SimExchange(SimLoop& loop, Handler handler)
    : loop_(loop), handler_(std::move(handler)), random_(loop.stream(0x5e9)) {}

SimExchange::~SimExchange() = default;

runtime::ExchangeId SimExchange::start(runtime::ExchangeRequest request, runtime::ExchangeSink& sink) {
  const std::uint64_t number = records_.size() + 1;
  SimAnswer answer = handler_(request, number);
  records_.push_back({.number = number, .request = std::move(request), .started = loop_.now()});
  auto open = std::make_unique<Open>(*this, number, sink);
  open->steps = answer.steps();
  const bool connects = !open->steps.empty() && (open->steps.front().kind == SimStep::Kind::Connect ||
                                                 open->steps.front().kind == SimStep::Kind::Refuse ||
                                                 open->steps.front().kind == SimStep::Kind::TlsFail);
  if (!connects) open->steps.insert(open->steps.begin(), SimStep{.kind = SimStep::Kind::Connect});
  schedule(*open);
  open_.emplace(number, std::move(open));
  return number;
}

void SimExchange::schedule(Open& open) {
  if (open.next == open.steps.size()) return;
  const SimStep& step = open.steps[open.next];
  if (step.kind == SimStep::Kind::Stall) return;
  const bool first_piece = step.kind == SimStep::Kind::Bytes && open.given == 0;
  open.timer.set(loop_.now() + (first_piece ? Duration(0) : step.delay));
}

// Whatever a sink does in its call, the exchange may be gone afterwards: all else comes first.
void SimExchange::advance(std::uint64_t number) {
  Open& open = *open_.at(number);
  SimStep& step = open.steps[open.next];
  switch (step.kind) {
    case SimStep::Kind::Connect:
      record(number).connected = loop_.now();
      ++open.next;
      schedule(open);
      open.sink.on_connected();
      return;
    case SimStep::Kind::Refuse: finish(number, EndKind::NotConnected, std::move(step.text)); return;
    case SimStep::Kind::TlsFail: finish(number, EndKind::TlsFailed, std::move(step.text)); return;
    case SimStep::Kind::Stall: return;
    default: break;
  }
  if (open.paused) {
    open.held = true;
    return;
  }
  switch (step.kind) {
    case SimStep::Kind::Head:
      ++open.next;
      open.head_given = true;
      schedule(open);
      open.sink.on_head({step.status, runtime::HeaderText(step.headers)});
      return;
    case SimStep::Kind::Bytes: give_bytes(open, step); return;
    case SimStep::Kind::Wait:
      ++open.next;
      schedule(open);
      return;
    case SimStep::Kind::Malformed: finish(number, EndKind::Malformed, std::move(step.text)); return;
    case SimStep::Kind::Break:
      finish(number, open.head_given ? EndKind::Cut : EndKind::NoReply, std::move(step.text));
      return;
    default:
      finish(number, open.head_given ? EndKind::Complete : EndKind::NoReply,
             open.head_given ? "" : "the server closed without an answer");
      return;
  }
}

void SimExchange::give_bytes(Open& open, SimStep& step) {
  const std::size_t left = step.text.size() - open.given;
  std::size_t size = step.piece == 0 ? left : std::min(step.piece, left);
  // Small pieces are as likely as large ones.
  if (step.piece == SimAnswer::kRandomPieces)
    size = 1 + random_.below(std::min<std::uint64_t>(left, 1u << random_.below(14)));
  std::vector<char> piece(size + runtime::kReadableBehind, '\xa5');
  std::copy_n(step.text.data() + open.given, size, piece.data());
  open.given += size;
  record(open.number).bytes_given += size;
  if (open.given == step.text.size()) {
    ++open.next;
    open.given = 0;
  }
  schedule(open);
  open.sink.on_bytes({piece.data(), size});
}

void SimExchange::finish(std::uint64_t number, EndKind kind, std::string message) {
  const auto found = open_.find(number);
  runtime::ExchangeSink& sink = found->second->sink;
  open_.erase(found);
  record(number).ended_at = loop_.now();
  record(number).end = kind;
  loop_.mix(static_cast<std::uint64_t>(kind));
  sink.on_end({kind, std::move(message)});
}

void SimExchange::pause(runtime::ExchangeId id) {
  if (const auto found = open_.find(id); found != open_.end()) found->second->paused = true;
}

void SimExchange::resume(runtime::ExchangeId id) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  Open& open = *found->second;
  open.paused = false;
  if (std::exchange(open.held, false)) open.timer.set(loop_.now());
}

void SimExchange::cancel(runtime::ExchangeId id) {
  if (open_.erase(id) != 0) record(id).cancelled_at = loop_.now();
}

}  // namespace orchestra::sim
