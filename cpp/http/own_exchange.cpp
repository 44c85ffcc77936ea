#include "http/own_exchange.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "http/proxy.hpp"

namespace orchestra::http {

using runtime::End;
using runtime::EndKind;
using runtime::ExchangeId;

namespace {

// An idle connection is watched, and one that was used a moment ago is not looked at again: it would cost a system call
// each time. Servers that have closed such a one, be it once, are not trusted so far.
constexpr auto kSurelyAlive = std::chrono::seconds(1);
// Unless the turn has lasted so long that much may have come since.
constexpr auto kLate = std::chrono::milliseconds(10);
// Heads differ by model, seldom by request; beyond this the cache starts anew.
constexpr std::size_t kMostHeads = 256;

// The first family of the system's order, then in turns (RFC 8305, section 4).
std::vector<NetworkAddress> in_turns(const std::vector<NetworkAddress>& addresses) {
  std::vector<NetworkAddress> turns;
  turns.reserve(addresses.size());
  const auto next_of = [&](bool of_first_family, std::size_t from) {
    while (from < addresses.size() && (addresses[from].family() == addresses.front().family()) != of_first_family)
      ++from;
    return from;
  };
  std::size_t first = next_of(true, 0);
  std::size_t second = next_of(false, 0);
  while (first < addresses.size() || second < addresses.size()) {
    if (first < addresses.size()) {
      turns.push_back(addresses[first]);
      first = next_of(true, first + 1);
    }
    if (second < addresses.size()) {
      turns.push_back(addresses[second]);
      second = next_of(false, second + 1);
    }
  }
  return turns;
}

// This machine has no way to addresses of that family, which says nothing of the server.
bool is_of_family(int fault) {
  return fault == ENETUNREACH || fault == EADDRNOTAVAIL || fault == EAFNOSUPPORT || fault == EHOSTUNREACH;
}

}  // namespace

OwnExchange::OwnExchange(runtime::EventLoop& loop, HeadLimits limits, OwnOptions options)
    : loop_(loop),
      limits_(limits),
      options_(std::move(options)),
      buffer_(std::make_unique_for_overwrite<OwnReceiveBuffer>()),
      resolver_(loop, options_.resolve),
      proceed_timer_(loop, [this] { proceed_all(); }),
      age_timer_(loop, [this] { close_aged(); }) {}

OwnExchange::~OwnExchange() {
  for (const auto& connection : connections_) connection->close();
}

bool OwnExchange::serves(const runtime::Origin& origin) { return !proxy_for(origin.url, origin.proxy).has_value(); }

// ---- the seam

ExchangeId OwnExchange::start(runtime::ExchangeRequest request, runtime::ExchangeSink& sink) {
  const KnownHead& head = known_head(request.head);
  Call& call = take_slot();
  call.sink = &sink;
  call.request = std::move(request);
  call.origin = head.origin;
  ++call.origin->running;
  call.head = head.bytes.bytes;
  if (call.head == nullptr) call.end = End{EndKind::NotConnected, std::string(head.bytes.fault)};
  proceed_later(call.id);
  return call.id;
}

void OwnExchange::pause(ExchangeId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  call->is_paused = true;
  if (call->connection != nullptr) call->connection->pause();
}

void OwnExchange::resume(ExchangeId id) {
  Call* call = find(id);
  if (call == nullptr || !call->is_paused) return;
  call->is_paused = false;
  proceed_later(id);
}

void OwnExchange::cancel(ExchangeId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  if (call->dial != nullptr) leave_dial(*call, nullptr);
  if (OwnConnection* connection = std::exchange(call->connection, nullptr)) {
    connection->close();
    discard(*connection);
  }
  free_slot(*call);
}

// ---- from start to the connection

void OwnExchange::proceed_later(ExchangeId id) {
  if (to_proceed_.empty() && proceed_timer_.due() == runtime::kNever) proceed_timer_.set(loop_.now());
  to_proceed_.push_back(id);
}

void OwnExchange::proceed_all() {
  discarded_.clear();
  is_late_ = std::chrono::steady_clock::now() - loop_.now() > kLate;
  proceeding_.swap(to_proceed_);
  for (const ExchangeId id : proceeding_) proceed(id);
  proceeding_.clear();
}

void OwnExchange::proceed(ExchangeId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  if (call->end.has_value()) {
    if (!call->is_paused) end(*call, *std::exchange(call->end, std::nullopt));
  } else if (call->connection != nullptr) {
    if (!call->is_paused) call->connection->go_on();
  } else if (call->dial == nullptr) {
    begin(*call);
  }
}

void OwnExchange::begin(Call& call) {
  if (OwnConnection* idle = take_idle(*call.origin)) {
    serve(call, *idle);
  } else if (!call.origin->address()->tls || prepare_tls(call)) {
    dial(call);
  }
}

bool OwnExchange::prepare_tls(Call& call) {
  if (call.origin->tls == nullptr) {
    const runtime::Origin& settings = call.origin->settings();
    std::weak_ptr<const TlsContext>& known = tls_[settings.insecure ? "insecure" : "ca:" + settings.ca_file];
    call.origin->tls = known.lock();
    if (call.origin->tls == nullptr) {
      call.origin->tls =
          std::make_shared<const TlsContext>(settings.ca_file, settings.insecure, settings.fallback_ca_file);
      // What is wrong may be put right.
      if (!call.origin->tls->fault().empty()) {
        const std::string fault = call.origin->tls->fault();
        call.origin->tls = nullptr;
        fail(call, EndKind::TlsFailed, fault);
        return false;
      }
      known = call.origin->tls;
    }
  }
  return true;
}

void OwnExchange::dial(Call& call) {
  const ExchangeId id = call.id;
  call.dial = std::make_unique<Dial>(loop_, [this, id] {
    if (Call* waiting = find(id)) try_next_address(*waiting);
  });
  const std::string& host = call.origin->address()->host;
  if (const Resolution* known = resolver_.known(host)) {
    try_addresses(call, *known);
    return;
  }
  call.dial->ticket = resolver_.ask(host, [this, id](const Resolution& resolution) {
    if (Call* waiting = find(id)) try_addresses(*waiting, resolution);
  });
}

void OwnExchange::try_addresses(Call& call, const Resolution& resolution) {
  call.dial->ticket = 0;
  if (resolution.addresses.empty()) {
    leave_dial(call, nullptr);
    fail(call, EndKind::NotConnected, "Couldn't resolve host name: " + resolution.fault);
    return;
  }
  call.dial->addresses = in_turns(resolution.addresses);
  try_next_address(call);
}

// Begins the next attempt; fails when there is none left and none runs.
void OwnExchange::try_next_address(Call& call) {
  Dial& dial = *call.dial;
  while (dial.next < dial.addresses.size()) {
    OwnConnection& connection = make_connection(call);
    const int fault = connection.connect(dial.addresses[dial.next++], call.origin->address()->port);
    if (fault == 0) {
      dial.attempts.push_back(&connection);
      if (dial.next < dial.addresses.size()) dial.delay.set(loop_.now() + options_.attempt_delay);
      return;
    }
    discard(connection);
    if (dial.fault == 0 || !is_of_family(fault)) dial.fault = fault;
  }
  if (!dial.attempts.empty()) return;
  const int fault = dial.fault;
  leave_dial(call, nullptr);
  resolver_.forget(call.origin->address()->host);
  if (fault == EMFILE || fault == ENFILE) {
    fail(call, EndKind::NotConnected, "too many open files: ask for fewer at once, or raise the limit (ulimit -n)");
  } else {
    fail(call, EndKind::NotConnected, "Couldn't connect to server: " + std::generic_category().message(fault));
  }
}

void OwnExchange::leave_dial(Call& call, const OwnConnection* chosen) {
  const std::unique_ptr<Dial> dial = std::move(call.dial);
  if (dial->ticket != 0) resolver_.cancel(dial->ticket);
  for (OwnConnection* attempt : dial->attempts) {
    if (attempt == chosen) continue;
    attempt->close();
    discard(*attempt);
  }
}

void OwnExchange::on_unreachable(OwnConnection& connection, int fault) {
  Call* call = find(connection.exchange);
  discard(connection);
  if (call == nullptr || call->dial == nullptr) return;
  std::erase(call->dial->attempts, &connection);
  if (call->dial->fault == 0 || !is_of_family(fault)) call->dial->fault = fault;
  try_next_address(*call);
}

void OwnExchange::on_tcp(OwnConnection& connection) {
  Call& call = *find(connection.exchange);
  leave_dial(call, &connection);
  call.connection = &connection;
  if (call.origin->address()->tls) {
    connection.secure(*call.origin->tls, call.origin->session, call.origin->address()->host);
  } else {
    serve(call, connection);
  }
}

void OwnExchange::on_open(OwnConnection& connection) { serve(*find(connection.exchange), connection); }

void OwnExchange::on_refused(OwnConnection& connection, std::string message) {
  Call& call = *find(connection.exchange);
  call.connection = nullptr;
  discard(connection);
  fail(call, EndKind::TlsFailed, std::move(message));
}

void OwnExchange::serve(Call& call, OwnConnection& connection) {
  call.connection = &connection;
  connection.exchange = call.id;
  if (!std::exchange(call.told_connected, true)) {
    const ExchangeId id = call.id;
    call.sink->on_connected();
    if (find(id) == nullptr) return;
  }
  const std::string_view body = call.request.body == nullptr ? std::string_view() : *call.request.body;
  if (connection.send(*call.head, body, *call.sink, call.is_paused)) return;
  // It died unnoticed, and nothing was sent: another one.
  call.connection = nullptr;
  discard(connection);
  begin(call);
}

// ---- to the end

void OwnExchange::on_answered(OwnConnection& connection, End how) {
  Call& call = *find(connection.exchange);
  call.connection = nullptr;
  connection.exchange = 0;
  OwnOrigin& origin = connection.origin();
  if (how.kind == EndKind::NoReply) origin.closes_early = true;
  if (connection.is_closed()) {
    discard(connection);
  } else {
    origin.idle.push_back(&connection);
    if (const auto due = loop_.now() + idle_limit(origin); due < age_timer_.due()) age_timer_.set(due);
  }
  end(call, std::move(how));
}

void OwnExchange::fail(Call& call, EndKind kind, std::string message) {
  if (call.is_paused) {
    call.end = End{kind, std::move(message)};
  } else {
    end(call, {kind, std::move(message)});
  }
}

void OwnExchange::end(Call& call, End how) {
  runtime::ExchangeSink& sink = *call.sink;
  free_slot(call);
  sink.on_end(std::move(how));
}

// ---- connections

OwnConnection& OwnExchange::make_connection(Call& call) {
  Owner& owner = *this;
  connections_.push_back(std::make_unique<OwnConnection>(loop_, *call.origin, owner, *buffer_, limits_));
  OwnConnection& connection = *connections_.back();
  connection.place = connections_.size() - 1;
  connection.exchange = call.id;
  return connection;
}

void OwnExchange::discard(OwnConnection& connection) {
  const std::size_t place = connection.place;
  discarded_.push_back(std::move(connections_[place]));
  if (place + 1 != connections_.size()) {
    connections_[place] = std::move(connections_.back());
    connections_[place]->place = place;
  }
  connections_.pop_back();
  // Nothing of it is on the stack when the timer fires.
  if (proceed_timer_.due() == runtime::kNever) proceed_timer_.set(loop_.now());
}

runtime::Duration OwnExchange::idle_limit(const OwnOrigin& origin) const {
  return origin.address()->tls ? options_.idle_limit_tls : options_.idle_limit;
}

OwnConnection* OwnExchange::take_idle(OwnOrigin& origin) {
  while (!origin.idle.empty()) {
    OwnConnection& connection = *origin.idle.back();
    origin.idle.pop_back();
    const runtime::Duration idled = loop_.now() - connection.idle_since;
    const bool is_young = idled < idle_limit(origin);
    const bool is_trusted = idled < kSurelyAlive && !is_late_ && !origin.closes_early;
    if (is_young && (is_trusted || !connection.is_dead())) return &connection;
    connection.close();
    discard(connection);
  }
  return nullptr;
}

void OwnExchange::on_idle_closed(OwnConnection& connection) {
  OwnOrigin& origin = connection.origin();
  std::erase(origin.idle, &connection);
  if (loop_.now() - connection.idle_since < kSurelyAlive) origin.closes_early = true;
  discard(connection);
}

void OwnExchange::close_aged() {
  runtime::TimePoint next = runtime::kNever;
  for (const auto& entry : origins_) {
    OwnOrigin& origin = *entry.second;
    const auto young = std::find_if(origin.idle.begin(), origin.idle.end(), [&](const OwnConnection* connection) {
      return loop_.now() - connection->idle_since < idle_limit(origin);
    });
    std::for_each(origin.idle.begin(), young, [&](OwnConnection* connection) {
      connection->close();
      discard(*connection);
    });
    origin.idle.erase(origin.idle.begin(), young);
    if (!origin.idle.empty()) next = std::min(next, origin.idle.front()->idle_since + idle_limit(origin));
  }
  age_timer_.set(next);
  forget_origins();
}

// ---- what is known of origins and heads

const OwnExchange::KnownHead& OwnExchange::known_head(const std::shared_ptr<const runtime::RequestHead>& head) {
  // An address alone may be another head's by now; while the one that was known lives, it is its own.
  if (last_head_address_ == head.get() && !last_head_->head.expired()) return *last_head_;
  auto found = heads_.find(head.get());
  if (found == heads_.end() || found->second.head.expired()) {
    OwnOrigin& origin = origin_of(head->origin);
    HeadBytes bytes =
        origin.address() ? write_head(*origin.address(), *head) : HeadBytes{nullptr, "the URL is malformed"};
    if (heads_.size() >= kMostHeads) heads_.clear();
    found = heads_.insert_or_assign(head.get(), KnownHead{head, &origin, std::move(bytes)}).first;
  }
  last_head_address_ = head.get();
  last_head_ = &found->second;
  return found->second;
}

OwnOrigin& OwnExchange::origin_of(const std::shared_ptr<const runtime::Origin>& origin) {
  if (const auto found = origins_.find(origin.get()); found != origins_.end()) return *found->second;
  forget_origins();
  return *origins_.emplace(origin.get(), std::make_unique<OwnOrigin>(origin)).first->second;
}

void OwnExchange::forget_origins() {
  for (auto entry = origins_.begin(); entry != origins_.end();) {
    OwnOrigin& origin = *entry->second;
    if (!origin.is_forgotten()) {
      ++entry;
      continue;
    }
    for (OwnConnection* connection : std::exchange(origin.idle, {})) {
      connection->close();
      discard(*connection);
    }
    heads_.clear();
    last_head_address_ = nullptr;
    entry = origins_.erase(entry);
  }
}

// An id is the place of its slot and how often that was used, so that the id of an exchange that has ended names none.
OwnExchange::Call& OwnExchange::take_slot() {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(calls_.size()));
    calls_.emplace_back();
  }
  const std::uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Call& call = calls_[index];
  call.is_used = true;
  call.id = (static_cast<ExchangeId>(call.generation) << 32) | (index + 1);
  return call;
}

OwnExchange::Call* OwnExchange::find(ExchangeId id) {
  const std::size_t index = static_cast<std::uint32_t>(id) - std::size_t{1};
  if (index >= calls_.size()) return nullptr;
  Call& call = calls_[index];
  return call.is_used && call.generation == id >> 32 ? &call : nullptr;
}

void OwnExchange::free_slot(Call& call) {
  --call.origin->running;
  ++call.generation;
  call.is_used = call.is_paused = call.told_connected = false;
  call.sink = nullptr;
  call.request = {};
  call.head.reset();
  call.origin = nullptr;
  call.dial.reset();
  call.connection = nullptr;
  call.end.reset();
  free_slots_.push_back(static_cast<std::uint32_t>(call.id) - 1);
}

}  // namespace orchestra::http
