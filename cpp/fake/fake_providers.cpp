#include "fake/fake_providers.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <mutex>
#include <numbers>
#include <optional>
#include <stdexcept>

#include "fake/answer.hpp"
#include "fake/generated_text.hpp"
#include "fake/script.hpp"
#include "http/server.hpp"
#include "json/value.hpp"
#include "protocol/format.hpp"
#include "runtime/random.hpp"

namespace orchestra::fake {
namespace {

constexpr std::size_t kMostRecorded = 256u << 20;
constexpr std::string_view kVersionPath = "/v1";
// Read by the clients of either protocol.
constexpr std::string_view kModels =
    R"({"object":"list","data":[{"id":"fake-1","object":"model","type":"model","display_name":"fake-1","created":0,)"
    R"("created_at":"1970-01-01T00:00:00Z","owned_by":"orchestra"}],"has_more":false,"first_id":"fake-1","last_id":"fake-1"})";

// Of each call: the same, or log-normal with the median p50 and the 99th percentile p99.
struct Latency {
  double p50 = 0;
  double p99 = 0;

  [[nodiscard]] double sample(std::uint64_t seed) const {
    if (p50 == p99) return p50;
    constexpr double kNormalP99 = 2.3263478740408408;  // the 99th percentile of the standard normal distribution
    runtime::Random random(seed);
    // Box and Muller, 1958.
    const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
    const double normal = radius * std::cos(2 * std::numbers::pi * random.uniform());
    return p50 * std::exp(std::log(p99 / p50) / kNormalP99 * normal);
  }
};

struct CountedFault {
  Fault fault;
  std::int64_t hits = 0;

  [[nodiscard]] bool hits_call(std::int64_t number) const {
    return number % fault.every.value_or(1) == 0 && (!fault.times || hits < *fault.times);
  }
};

// A full bucket of a minute's requests, refilled evenly.
struct Bucket {
  double level = 0;
  double at = 0;

  // Seconds until there is room for a request, rounded up; 0: taken.
  double take(double per_minute, double now) {
    if (at == 0)
      level = per_minute;
    else
      level = std::min(per_minute, level + (now - at) * per_minute / 60);
    at = now;
    if (level < 1) return std::max(1.0, std::ceil((1 - level) * 60 / per_minute));
    level -= 1;
    return 0;
  }
};

struct Protocol {
  const protocol::Format* format = nullptr;
  std::string prefix;  // "/openai-chat"
  Bucket bucket;
};

struct Config {
  std::vector<Protocol> protocols;
  Latency latency;
  std::vector<CountedFault> faults;
  std::optional<double> per_minute;
  std::uint64_t seed = 0;
};

std::string known_protocols() {
  std::string names;
  for (const std::string_view name : protocol::format_names()) names.append(names.empty() ? "" : ", ").append(name);
  return names;
}

Result<std::vector<Protocol>> read_protocols(json::Value list) {
  if (!list.is_array() || list.size() == 0) return config_error("protocols", "a list of names is needed");
  std::vector<Protocol> protocols;
  for (const json::Value element : list.elements()) {
    const std::string name = element.string_or();
    const protocol::Format* format = protocol::find_format(name);
    if (format == nullptr) {
      return config_error("protocols[" + std::to_string(protocols.size()) + "]",
                          "unknown protocol '" + name + "'; known are " + known_protocols());
    }
    protocols.push_back({format, "/" + name, {}});
  }
  return protocols;
}

Result<Latency> read_latency(json::Value value) {
  Latency latency;
  if (!value) return latency;
  const std::optional<double> p50 = value.is_array() && value.size() == 2 ? value[0].number() : value.number();
  const std::optional<double> p99 = value.is_array() ? value[1].number() : p50;
  if (!p50 || !p99 || !(*p50 >= 0) || !(*p99 >= *p50) || (*p50 == 0 && *p99 > 0)) {
    return config_error("latency", "seconds of 0 or more are needed, or (p50, p99) with 0 < p50 <= p99");
  }
  latency.p50 = *p50;
  latency.p99 = *p99;
  return latency;
}

Result<Config> read_config(json::Value root) {
  Config config;
  for (const auto [key, member] : root.members()) {
    const std::string name = key.string_or();
    if (name == "protocols") {
      Result<std::vector<Protocol>> protocols = read_protocols(member);
      if (!protocols) return std::move(protocols).error();
      config.protocols = std::move(protocols).value();
    } else if (name == "latency") {
      const Result<Latency> latency = read_latency(member);
      if (!latency) return latency.error();
      config.latency = *latency;
    } else if (name == "faults") {
      if (!member.is_array()) return config_error(name, "a list of Faults is needed");
      for (const json::Value element : member.elements()) {
        const Result<Fault> fault = read_fault(element, "faults[" + std::to_string(config.faults.size()) + "]");
        if (!fault) return fault.error();
        config.faults.push_back({*fault});
      }
    } else if (name == "rate_limits") {
      if (!member) continue;
      config.per_minute = member.number();
      if (!config.per_minute || !(*config.per_minute >= 1)) {
        return config_error(name, "None, or requests per minute of 1 or more, are needed");
      }
    } else if (name == "seed") {
      const std::optional<std::int64_t> seed = member.integer();
      if (!seed) return config_error(name, "a whole number is needed");
      config.seed = static_cast<std::uint64_t>(*seed);
    } else {
      return config_error(name, "unknown key");
    }
  }
  if (config.protocols.empty()) return config_error("protocols", "a list of names is needed");
  return config;
}

protocol::ServerReply complete(ScriptedReply scripted, json::Value body, std::string model, std::int64_t number) {
  protocol::ServerReply reply;
  reply.id = "fake-" + std::to_string(number);
  reply.model = std::move(model);
  reply.text = std::move(scripted.text);
  reply.reasoning = std::move(scripted.reasoning);
  reply.refusal = std::move(scripted.refusal);
  reply.tool_calls = std::move(scripted.tool_calls);
  reply.finish = scripted.finish;
  std::size_t bytes =
      reply.text.size() + (reply.reasoning ? reply.reasoning->size() : 0) + (reply.refusal ? reply.refusal->size() : 0);
  for (std::size_t i = 0; i < reply.tool_calls.size(); ++i) {
    chat::ToolCall& call = reply.tool_calls[i];
    if (call.id.empty()) call.id = "call_" + std::to_string(number) + "_" + std::to_string(i);
    bytes += call.name.size() + call.arguments.size();
  }
  if (scripted.usage) {
    reply.usage = std::move(*scripted.usage);
  } else {
    reply.usage.input_tokens = std::max<std::int64_t>(1, estimate_tokens(text_bytes(body)));
    reply.usage.output_tokens = estimate_tokens(bytes);
  }
  return reply;
}

}  // namespace

struct FakeProviders::State {
  explicit State(Config read) : config(std::move(read)) {}

  http::Answer answer(http::ServerExchange exchange);
  http::Answer answer_call(Protocol& protocol, const Call& call, std::int64_t number);
  void record(std::shared_ptr<Call> call);
  void closed(std::uint64_t exchange, double at);
  // Takes what is to be done for this call: a fault (none: no value) and the reply (none: a made-up one).
  std::pair<std::optional<Fault>, std::optional<ScriptedReply>> next(std::int64_t number);

  Config config;
  json::Document document;  // of the server's thread
  mutable std::mutex mutex;
  std::deque<ScriptItem> items;             // guarded by mutex
  std::deque<std::shared_ptr<Call>> calls;  // guarded by mutex; in the order of Call::exchange
  std::size_t recorded = 0;                 // guarded by mutex; bytes of calls
  std::int64_t call_count = 0;              // of the server's thread
  std::unique_ptr<http::Server> server;     // last: its thread uses the others
  std::uint16_t port = 0;
};

http::Answer FakeProviders::State::answer(http::ServerExchange exchange) {
  const std::string_view whole = exchange.path;
  const std::string_view path = whole.substr(0, whole.find('?'));
  const std::string_view prefix = path.substr(0, path.find('/', 1));
  Protocol* protocol = nullptr;
  for (Protocol& candidate : config.protocols) {
    if (candidate.prefix == prefix) protocol = &candidate;
  }
  if (protocol == nullptr) {
    return http::plain_answer(404, "application/json", R"({"error":{"message":"no such protocol here"}})");
  }
  const std::string_view rest = path.substr(prefix.size());
  if (exchange.method == "GET" && rest.ends_with("/models")) {
    return http::plain_answer(200, "application/json", std::string(kModels));
  }
  if (exchange.method != "POST" || !protocol->format->serves(rest)) {
    return error_answer(*protocol->format, 404, "there is nothing at this path");
  }
  auto call = std::make_shared<Call>();
  call->protocol = protocol->format->name();
  call->method = std::move(exchange.method);
  call->headers = std::move(exchange.headers);
  call->body = std::move(exchange.body);
  call->received_at = exchange.received_at;
  call->exchange = exchange.number;
  call->path = std::move(exchange.path);
  record(call);
  return answer_call(*protocol, *call, ++call_count);
}

http::Answer FakeProviders::State::answer_call(Protocol& protocol, const Call& call, std::int64_t number) {
  if (config.per_minute) {
    const double wait = protocol.bucket.take(*config.per_minute, call.received_at);
    if (wait > 0) return error_answer(*protocol.format, 429, "the rate limit of requests per minute is reached", wait);
  }
  if (const auto problem = document.parse_copy(call.body)) {
    return error_answer(*protocol.format, 400, "the body: " + problem->message);
  }
  Result<protocol::ServerRequest> request = protocol.format->read_request(document.root());
  if (!request) return error_answer(*protocol.format, 400, request.error().message);

  auto [fault, scripted] = next(number);
  if (!scripted) {
    scripted.emplace();
    scripted->text = generate_text(text_seed(config.seed, document.root()));
  }
  const protocol::ServerReply reply = complete(*std::move(scripted), document.root(), request->model, number);
  const std::uint64_t seed = config.seed ^ (static_cast<std::uint64_t>(number) * 0xd1342543de82ef95u);
  return make_answer({*protocol.format, *request, reply, fault ? &*fault : nullptr, config.latency.sample(seed)});
}

std::pair<std::optional<Fault>, std::optional<ScriptedReply>> FakeProviders::State::next(std::int64_t number) {
  std::pair<std::optional<Fault>, std::optional<ScriptedReply>> out;
  const auto hit = std::find_if(config.faults.begin(), config.faults.end(),
                                [number](const CountedFault& counted) { return counted.hits_call(number); });
  if (hit != config.faults.end()) {
    ++hit->hits;
    out.first = hit->fault;
    // The script is kept for the call that gets an answer.
    if (!hit->fault.is_harmless()) return out;
  }
  const std::lock_guard lock(mutex);
  if (items.empty()) return out;
  if (auto* reply = std::get_if<ScriptedReply>(&items.front())) {
    out.second = std::move(*reply);
  } else {
    out.first = std::get<Fault>(items.front());
  }
  items.pop_front();
  return out;
}

void FakeProviders::State::record(std::shared_ptr<Call> call) {
  const auto size = [](const Call& recorded_call) {
    return sizeof(Call) + recorded_call.body.size() + recorded_call.headers.size() * 96;
  };
  const std::lock_guard lock(mutex);
  recorded += size(*call);
  calls.push_back(std::move(call));
  while (recorded > kMostRecorded && calls.size() > 1) {
    recorded -= size(*calls.front());
    calls.pop_front();
  }
}

void FakeProviders::State::closed(std::uint64_t exchange, double at) {
  const std::lock_guard lock(mutex);
  const auto found = std::lower_bound(calls.begin(), calls.end(), exchange,
                                      [](const auto& call, std::uint64_t wanted) { return call->exchange < wanted; });
  if (found != calls.end() && (*found)->exchange == exchange) (*found)->closed_at = at;
}

FakeProviders::FakeProviders(std::unique_ptr<State> state) : state_(std::move(state)) {}
FakeProviders::~FakeProviders() { close(); }

Result<std::unique_ptr<FakeProviders>> FakeProviders::open(std::string config) {
  json::Document document;
  if (const auto problem = document.parse(std::move(config))) return config_error("FakeProviders", problem->message);
  Result<Config> read = read_config(document.root());
  if (!read) return std::move(read).error();
  auto state = std::make_unique<State>(std::move(read).value());
  State* raw = state.get();
  try {
    state->server = std::make_unique<http::Server>(
        [raw](http::ServerExchange exchange) { return raw->answer(std::move(exchange)); },
        [raw](std::uint64_t number, double at) { raw->closed(number, at); });
  } catch (const std::runtime_error& error) {
    return config_error("FakeProviders", std::string("no loopback port: ") + error.what());
  }
  state->port = state->server->port();
  return std::unique_ptr<FakeProviders>(new FakeProviders(std::move(state)));
}

Result<std::string> FakeProviders::url(std::string_view protocol) const {
  std::string names;
  for (const Protocol& candidate : state_->config.protocols) {
    if (candidate.format->name() == protocol) {
      return "http://127.0.0.1:" + std::to_string(state_->port) + candidate.prefix + std::string(kVersionPath);
    }
    names.append(names.empty() ? "" : ", ").append(candidate.format->name());
  }
  return config_error("protocol", "no '" + std::string(protocol) + "' here; known are " + names);
}

Status FakeProviders::script(std::string list) {
  json::Document document;
  if (const auto problem = document.parse(std::move(list))) return config_error("script", problem->message);
  Result<std::vector<ScriptItem>> items = read_script(document.root());
  if (!items) return std::move(items).error();
  const std::lock_guard lock(state_->mutex);
  for (ScriptItem& item : *items) state_->items.push_back(std::move(item));
  return Done{};
}

std::vector<std::shared_ptr<const Call>> FakeProviders::calls() const {
  const std::lock_guard lock(state_->mutex);
  return {state_->calls.begin(), state_->calls.end()};
}

void FakeProviders::close() { state_->server->stop(); }

}  // namespace orchestra::fake
