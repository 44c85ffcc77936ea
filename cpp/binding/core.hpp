// The engine as Python sees it: Core.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "binding/queue.hpp"
#include "engine/engine.hpp"

namespace orchestra::binding {

// The JSON of a call or a configuration. Throws Fault of this kind.
std::string json_of(pybind11::handle value, chat::ErrorKind kind);

// Waits with the GIL released; Ctrl-C raises KeyboardInterrupt. Empty after `seconds` (none: waits until there is one).
void wait_for(Queue& queue, std::optional<double> seconds, std::vector<Announcement>& into);

class Core {
 public:
  Core(const pybind11::dict& config, const pybind11::sequence& secrets, bool default_providers);

  std::uint64_t update(const pybind11::dict& config, const pybind11::sequence& secrets, bool default_providers);

  // A plain call that is ready to be started; the listener knows it by its ticket. Throws Fault.
  std::shared_ptr<engine::Call> prepare(std::string json, bool stream, std::shared_ptr<dispatch::Listener> listener,
                                        std::uint64_t ticket);
  // Starts it. Throws std::runtime_error when the engine is closed.
  void start(const std::shared_ptr<engine::Call>& call);
  // Both, and waits for the end.
  pybind11::object chat(const pybind11::dict& call);

  void close(double seconds);
  [[nodiscard]] bool is_closed() const { return engine_->is_closed(); }
  [[nodiscard]] pybind11::dict stats() const;
  // For each provider: its name, the exchange that carries its requests, and the proxy on the way, if there is one.
  [[nodiscard]] pybind11::list connections() const;

  // The next (number, secret) that is asked for; None: the engine is closed.
  pybind11::object wait_for_question();
  void answer_secret(std::uint64_t number, const std::optional<std::string>& value, const std::string& problem);

  // Gives the engine up without ending it: for a forked child, where its thread does not exist.
  void abandon();

  [[nodiscard]] const std::shared_ptr<engine::Engine>& engine() const { return engine_; }

 private:
  std::shared_ptr<engine::Engine> engine_;
};

void bind_core(pybind11::module_& module);

}  // namespace orchestra::binding
