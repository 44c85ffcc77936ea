// Engine: takes calls from any thread, runs them on one thread of its own, and tells a listener. The only header of the
// core that the binding, a gateway and a simulation need.
//
// Thread-safety: every member may be called from any thread. The thread starts with the first call. After a fork the
// child must not touch an Engine of the parent, its destructor included.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat/result.hpp"
#include "dispatch/call.hpp"
#include "dispatch/outcome.hpp"
#include "engine/config.hpp"
#include "engine/known_targets.hpp"
#include "engine/stats.hpp"

namespace orchestra::engine {

using dispatch::Call;
using dispatch::Listener;
using dispatch::Outcome;
using dispatch::SecretList;

// Replaced whole by update().
struct Settings {
  std::shared_ptr<const Config> config;
  std::shared_ptr<const SecretList> secrets;
  std::shared_ptr<KnownTargets> targets = std::make_shared<KnownTargets>();
  // The providers are those whose keys were found: naming another built-in one is told with the key that it wants.
  bool default_providers = false;
  std::uint64_t version = 1;
};

// A question for the value of a dynamic secret, answered by answer_secret().
struct SecretQuestion {
  std::uint64_t number = 0;
  dispatch::SecretHandle secret = 0;
};

struct ConnectionView {
  std::string provider;
  std::string exchange;  // "own" or "curl"
  std::string url;       // scheme://host:port
  std::string proxy;     // without its password, and what names it; "": none
};

class Engine {
 public:
  explicit Engine(Settings settings);
  ~Engine();  // close(0)
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Reads a call (the keywords of `chat` as JSON, with model, timeout, retry, ...), chooses its targets and encodes the
  // request for the first. Nothing is sent. Fails with InvalidRequest, Config or Unsupported.
  // The listener knows the call by its ticket.
  Result<std::shared_ptr<Call>> prepare(std::string json, bool stream, std::shared_ptr<Listener> listener,
                                        std::uint64_t ticket = 0);
  // Starts it. False, and nothing happens, when the engine is closed.
  bool start(const std::shared_ptr<Call>& call);
  void cancel(const std::shared_ptr<Call>& call, chat::Error error);
  void pause(const std::shared_ptr<Call>& call);
  void resume(const std::shared_ptr<Call>& call);
  // What has come of a running stream; waits for the engine's thread.
  dispatch::Partial partial(const std::shared_ptr<Call>& call);

  // Later calls see this configuration, running ones keep theirs. Returns the version.
  // REQUIRES: `secrets` begins with the secrets of before: their numbers stay.
  std::uint64_t update(std::shared_ptr<const Config> config, bool default_providers,
                       std::shared_ptr<const SecretList> secrets);
  [[nodiscard]] std::shared_ptr<const Settings> settings() const;

  // Refuses new calls and waits up to `seconds` for the running ones; whether all have ended.
  bool refuse_calls(double seconds);
  // The same, then cancels the rest, closes all connections and ends the thread. Idempotent; a second caller waits for
  // the first.
  void close(double seconds);
  [[nodiscard]] bool is_closed() const;

  [[nodiscard]] StatsView stats() const;
  // How the requests of each provider travel.
  [[nodiscard]] std::vector<ConnectionView> connections() const;

  // Dynamic secrets: waits for a question (false: the engine is closed); the answer may come from any thread.
  bool wait_for_question(SecretQuestion& question);
  void answer_secret(std::uint64_t number, Result<std::string> value);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The file or folder of the certificates that TLS trusts ("": none was found), and where it was looked for; arguments
// as find_ca_store() has them.
std::pair<std::string, std::vector<std::string>> find_certificates(const std::string& ca_file,
                                                                   const std::string& fallback);

// Names and versions of the libraries that the core runs on.
std::vector<std::pair<std::string, std::string>> versions();

}  // namespace orchestra::engine
