#include "engine/engine.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <unordered_map>
#include <utility>

#include "engine/curl_library.hpp"
#include "engine/selection.hpp"
#include "http/ca_store.hpp"
#include "http/own_exchange.hpp"
#include "http/proxy.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/thread.hpp"

namespace orchestra::engine {

using chat::Error;
using chat::ErrorKind;

struct Engine::State final : dispatch::SecretSource {
  mutable std::mutex mutex;
  std::shared_ptr<const Settings> settings;
  std::atomic<bool> closed = false;
  bool ending = false;  // somebody joins the thread

  // The thread and what lives on it; made by the first call.
  std::unique_ptr<runtime::EventLoop> loop;
  std::thread thread;
  std::atomic<runtime::EventLoop*> running_loop = nullptr;  // the same loop, for those without the mutex
  dispatch::Environment* environment = nullptr;             // belongs to the loop's thread
  std::atomic<std::size_t> connections{0};

  std::condition_variable all_ended;
  // A call counts itself first and then looks whether the engine is closed; close() closes first and then waits for the
  // count: one of both sees the other.
  std::atomic<std::uint64_t> in_flight = 0;
  std::atomic<std::uint64_t> calls = 0;
  Stats stats;

  // Dynamic secrets
  std::condition_variable question_asked;
  std::deque<SecretQuestion> questions;
  std::uint64_t next_question = 1;
  std::unordered_map<std::uint64_t, Answer> answers;  // belongs to the loop's thread

  std::uint64_t ask(dispatch::SecretHandle secret, Answer answer) override;
  void forget(std::uint64_t question) override { answers.erase(question); }
  void run();
  runtime::EventLoop& ensure_thread();
  void leave();  // a call less is in flight
};

Engine::Engine(Settings settings) : state_(std::make_unique<State>()) {
  state_->settings = std::make_shared<const Settings>(std::move(settings));
}

Engine::~Engine() { close(0); }

runtime::EventLoop& Engine::State::ensure_thread() {
  if (auto* running = running_loop.load(std::memory_order_acquire)) return *running;
  const std::lock_guard lock(mutex);
  if (loop) return *loop;
  loop = std::make_unique<runtime::EventLoop>();
  try {
    thread = runtime::start_thread(runtime::kIoThreadName, [this] { run(); });
  } catch (...) {
    loop.reset();
    throw;
  }
  running_loop.store(loop.get(), std::memory_order_release);
  return *loop;
}

void Engine::State::leave() {
  if (--in_flight > 0 || !closed) return;
  const std::lock_guard lock(mutex);
  all_ended.notify_all();
  question_asked.notify_all();  // nobody asks any more
}

void Engine::State::run() {
  std::uint64_t seed = 0;
  InputLimits limits;
  {
    const std::lock_guard lock(mutex);
    seed = settings->config->seed ? *settings->config->seed : std::random_device{}();
    limits = settings->config->input_limits;
  }
  CurlLibrary curl(*loop, limits.head);
  http::OwnExchange own(*loop, limits.head);
  dispatch::Environment here(*loop, curl, *this, seed, &own);
  here.limits = limits.reply;
  here.on_outcome = [this](const Outcome& outcome) {
    stats.add(outcome);
    leave();
  };
  loop->on_turn_end(
      [this, &curl, &own] { connections.store(curl.connections() + own.connections(), std::memory_order_relaxed); });
  environment = &here;
  loop->run();
  environment = nullptr;
  connections = 0;
}

Result<std::shared_ptr<Call>> Engine::prepare(std::string json, bool stream, std::shared_ptr<Listener> listener,
                                              std::uint64_t ticket) {
  auto request = chat::Request::parse(std::move(json));
  if (!request) return std::move(request).error();
  auto spec = select(*settings(), *std::move(request), stream);
  if (!spec) return std::move(spec).error();
  return std::make_shared<Call>(*std::move(spec), std::move(listener), ticket);
}

bool Engine::start(const std::shared_ptr<Call>& call) {
  ++state_->in_flight;
  if (state_->closed) {
    state_->leave();
    return false;
  }
  try {
    call->start_on(state_->ensure_thread(), state_->environment);
  } catch (...) {
    state_->leave();
    throw;
  }
  ++state_->calls;
  return true;
}

namespace {

// Runs work on the loop's thread while there is one.
template <class State, class Work>
bool post(State& state, Work work) {
  const std::lock_guard lock(state.mutex);
  if (!state.loop) return false;
  state.loop->post(std::move(work));
  return true;
}

}  // namespace

void Engine::cancel(const std::shared_ptr<Call>& call, Error error) {
  post(*state_, [call, error = std::move(error)]() mutable { call->cancel(std::move(error)); });
}

void Engine::pause(const std::shared_ptr<Call>& call) {
  post(*state_, [call] { call->pause(); });
}

void Engine::resume(const std::shared_ptr<Call>& call) {
  post(*state_, [call] { call->resume(); });
}

dispatch::Partial Engine::partial(const std::shared_ptr<Call>& call) {
  auto promise = std::make_shared<std::promise<dispatch::Partial>>();
  auto future = promise->get_future();
  if (!post(*state_, [call, promise] { promise->set_value(call->partial()); })) return {};
  try {
    return future.get();
  } catch (const std::future_error&) {
    return {};  // the engine was closed before it came to this
  }
}

std::uint64_t Engine::update(std::shared_ptr<const Config> config, bool default_providers,
                             std::shared_ptr<const SecretList> secrets) {
  const std::lock_guard lock(state_->mutex);
  auto next = std::make_shared<Settings>();
  next->config = std::move(config);
  next->secrets = std::move(secrets);
  next->default_providers = default_providers;
  next->version = state_->settings->version + 1;
  state_->settings = next;
  return next->version;
}

std::shared_ptr<const Settings> Engine::settings() const {
  const std::lock_guard lock(state_->mutex);
  return state_->settings;
}

bool Engine::refuse_calls(double seconds) {
  constexpr double kLongest = 1e8;  // three years: longer waits overflow the clock
  std::unique_lock lock(state_->mutex);
  state_->closed = true;
  state_->question_asked.notify_all();
  return state_->all_ended.wait_for(lock, std::chrono::duration<double>(std::min(seconds, kLongest)),
                                    [this] { return state_->in_flight == 0; });
}

void Engine::close(double seconds) {
  const bool all_ended = refuse_calls(seconds);
  std::thread thread;
  {
    std::unique_lock lock(state_->mutex);
    if (!all_ended && state_->in_flight > 0) {
      State* state = state_.get();
      state_->loop->post(
          [state] { state->environment->cancel_all(chat::make_error(ErrorKind::Cancelled, "the engine was closed")); });
      state_->all_ended.wait(lock, [this] { return state_->in_flight == 0; });
    }
    if (state_->ending) {  // by another thread
      state_->all_ended.wait(lock, [this] { return !state_->loop; });
      return;
    }
    if (!state_->loop) return;
    state_->ending = true;
    thread = std::move(state_->thread);
    state_->loop->stop();
  }
  thread.join();
  const std::lock_guard lock(state_->mutex);
  state_->running_loop = nullptr;
  state_->loop.reset();
  state_->all_ended.notify_all();
}

bool Engine::is_closed() const { return state_->closed; }

StatsView Engine::stats() const {
  StatsView view;
  state_->stats.fill(view);
  view.in_flight = state_->in_flight;
  view.calls = state_->calls;
  view.connections = state_->connections.load(std::memory_order_relaxed);
  return view;
}

std::uint64_t Engine::State::ask(dispatch::SecretHandle secret, Answer answer) {
  const std::lock_guard lock(mutex);
  const std::uint64_t number = next_question++;
  answers.emplace(number, std::move(answer));
  questions.push_back({number, secret});
  question_asked.notify_one();
  return number;
}

bool Engine::wait_for_question(SecretQuestion& question) {
  std::unique_lock lock(state_->mutex);
  // Running calls may still ask while a closing engine waits for them.
  state_->question_asked.wait(
      lock, [this] { return !state_->questions.empty() || (state_->closed && state_->in_flight == 0); });
  if (state_->questions.empty()) return false;
  question = state_->questions.front();
  state_->questions.pop_front();
  return true;
}

void Engine::answer_secret(std::uint64_t number, Result<std::string> value) {
  State* state = state_.get();
  post(*state_, [state, number, value = std::move(value)]() mutable {
    const auto found = state->answers.find(number);
    if (found == state->answers.end()) return;  // nobody waits for it any more
    const dispatch::SecretSource::Answer answer = std::move(found->second);
    state->answers.erase(found);
    answer(std::move(value));
  });
}

std::vector<ConnectionView> Engine::connections() const {
  std::vector<ConnectionView> views;
  for (const auto& provider : settings()->config->providers) {
    const runtime::Origin& origin = *provider->link->origin;
    const auto proxy = http::proxy_for(origin.url, origin.proxy);
    views.push_back({provider->name, origin.own ? "own" : "curl", origin.url,
                     proxy ? proxy->shown() + " (" + proxy->source + ")" : std::string()});
  }
  return views;
}

std::pair<std::string, std::vector<std::string>> find_certificates(const std::string& ca_file,
                                                                   const std::string& fallback) {
  http::CaStore store = http::find_ca_store(ca_file, fallback);
  return {store.file.empty() ? store.directory : store.file, std::move(store.looked_at)};
}

std::vector<std::pair<std::string, std::string>> versions() { return {{"libcurl", curl_version_text()}}; }

}  // namespace orchestra::engine
