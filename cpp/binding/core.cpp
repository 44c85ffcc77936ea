// The engine as Python sees it: Core, Queue, Handle.
#include "binding/core.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "binding/faults.hpp"
#include "binding/handle.hpp"
#include "binding/json_python.hpp"
#include "binding/outcome.hpp"
#include "binding/unlocked.hpp"
#include "engine/engine.hpp"

namespace orchestra::binding {

namespace py = pybind11;

namespace {

// Python's signal handlers run in the main thread only; a wait there looks for them this often.
constexpr double kSignalCheck = 0.02;
constexpr double kLongWait = 3600;

// Waits with the GIL released; Ctrl-C raises KeyboardInterrupt. Empty after `seconds` (None: waits until there is one).
std::vector<std::uint64_t> wait(Queue& queue, std::optional<double> seconds) {
  if (keeps_lock()) throw std::runtime_error("the interpreter is ending");
  double left = seconds.value_or(kLongWait);
  for (;;) {
    const double slice = is_main_thread() ? std::min(left, kSignalCheck) : left;
    std::vector<std::uint64_t> tickets;
    {
      const Unlocked unlocked;
      tickets = queue.wait(slice);
    }
    if (!tickets.empty()) return tickets;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    left -= slice;
    if (left <= 0) {
      if (seconds) return tickets;
      left = kLongWait;
    }
  }
}

engine::Secrets read_secrets(const py::sequence& values, const engine::Config& config) {
  engine::Secrets secrets;
  for (const py::handle value : values) {
    if (value.is_none()) {
      secrets.push_back({.dynamic = true, .value = {}});
    } else {
      secrets.push_back({.dynamic = false, .value = value.cast<std::string>()});
    }
  }
  if (config.secret_count > secrets.size())
    throw py::value_error("the configuration names a secret that was not given");
  return secrets;
}

std::string json_of(const py::handle value, chat::ErrorKind kind) {
  std::string json;
  if (Status written = append_json(json, value); !written) {
    written.error().kind = kind;
    throw Fault{std::move(written).error()};
  }
  return json;
}

std::shared_ptr<const engine::Config> read_config(const py::dict& config) {
  return value_or_throw(engine::parse_config(json_of(config, chat::ErrorKind::Config)));
}

class Core {
 public:
  Core(const py::dict& config, const py::sequence& secrets, bool default_providers) {
    engine::Settings settings;
    settings.config = read_config(config);
    settings.default_providers = default_providers;
    engine_ = std::make_shared<engine::Engine>(std::move(settings), read_secrets(secrets, *settings.config));
  }

  std::uint64_t update(const py::dict& config, const py::sequence& secrets, bool default_providers) {
    auto read = read_config(config);
    auto values = read_secrets(secrets, *read);
    return engine_->update(std::move(read), default_providers, std::move(values));
  }

  // Everything but the start: a program that is interrupted between the two has a handle and no call that runs.
  std::shared_ptr<Handle> prepare(const py::dict& call, const std::shared_ptr<Queue>& queue, std::uint64_t ticket,
                                  bool stream) {
    std::string json = json_of(call, chat::ErrorKind::InvalidRequest);
    const Unlocked unlocked;
    auto handle = std::make_shared<Handle>(engine_, queue, ticket);
    handle->prepare(value_or_throw(engine_->prepare(std::move(json), stream, handle)));
    return handle;
  }

  std::shared_ptr<Handle> submit(const py::dict& call, const std::shared_ptr<Queue>& queue, std::uint64_t ticket,
                                 bool stream) {
    auto handle = prepare(call, queue, ticket, stream);
    start(*handle);
    return handle;
  }

  static void start(Handle& handle) {
    const Unlocked unlocked;
    if (!handle.start()) throw std::runtime_error("the engine is closed");
  }

  // submit() and wait in one step.
  ReplyView chat(const py::dict& call) {
    const auto queue = std::make_shared<Queue>();
    const auto handle = submit(call, queue, 0, false);
    try {
      wait(*queue, std::nullopt);
    } catch (...) {
      handle->cancel("interrupted");
      throw;
    }
    return ReplyView(handle->outcome());
  }

  void close(double seconds) {
    const auto engine = engine_;
    for (double left = seconds; left > 0;) {  // in slices, so that Ctrl-C ends the wait
      const double slice = std::min(left, is_main_thread() ? kSignalCheck : left);
      {
        const Unlocked unlocked;
        if (engine->refuse_calls(slice)) break;
      }
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      left -= slice;
    }
    const Unlocked unlocked;
    engine->close(0);
  }

  [[nodiscard]] bool is_closed() const { return engine_->is_closed(); }

  [[nodiscard]] py::dict stats() const {
    const engine::StatsView view = engine_->stats();
    py::dict models;
    for (const auto& [name, figures] : view.models) {
      py::dict model;
      model["calls"] = figures.calls;
      model["errors"] = figures.errors;
      model["p50"] = figures.p50;
      model["p99"] = figures.p99;
      models[to_str(name)] = model;
    }
    py::dict stats;
    stats["in_flight"] = view.in_flight;
    stats["queued"] = view.queued;
    stats["connections"] = view.connections;
    stats["calls"] = view.calls;
    stats["errors"] = view.errors;
    stats["cost"] = view.cost;
    stats["models"] = models;
    return stats;
  }

  // The next (number, secret) that is asked for; None: the engine is closed.
  py::object wait_for_question() {
    engine::SecretQuestion question;
    bool asked = false;
    {
      const auto engine = engine_;
      const Unlocked unlocked;
      asked = engine->wait_for_question(question);
    }
    if (!asked) return py::none();
    return py::make_tuple(question.number, question.secret);
  }

  void answer_secret(std::uint64_t number, const std::optional<std::string>& value, const std::string& problem) {
    if (value) {
      engine_->answer_secret(number, *value);
    } else {
      engine_->answer_secret(number, chat::make_error(chat::ErrorKind::Config, problem));
    }
  }

  // Gives the engine up without ending it: for a forked child, where its thread does not exist.
  void abandon() {
    if (engine_) new std::shared_ptr<engine::Engine>(std::move(engine_));
    forget_unlocked_threads();
  }

 private:
  std::shared_ptr<engine::Engine> engine_;
};

}  // namespace

void bind_core(py::module_& module) {
  py::class_<Queue, std::shared_ptr<Queue>>(module, "Queue", "Where ended calls and deltas are announced.")
      .def(py::init<>())
      .def("fileno", &Queue::descriptor)
      .def("drain", &Queue::drain)
      .def("wait", &wait, py::arg("seconds") = py::none());

  py::class_<Handle, std::shared_ptr<Handle>>(module, "Handle", "One call that runs.")
      .def_property_readonly("ticket", &Handle::ticket)
      .def("cancel", &Handle::cancel, py::arg("why"), py::call_guard<Unlocked>())
      .def("start", &Core::start)
      .def("take_deltas", &Handle::take_deltas)
      .def("outcome",
           [](Handle& handle) -> std::optional<ReplyView> {
             auto outcome = handle.outcome();
             if (!outcome) return std::nullopt;
             return ReplyView(std::move(outcome));
           })
      // What has come so far; of an ended call its outcome, whether its deltas were taken or not.
      .def("partial", [](Handle& handle) {
        dispatch::Partial partial;
        std::shared_ptr<engine::Outcome> ended;
        {
          const Unlocked unlocked;
          ended = handle.ended();
          if (!ended) partial = handle.partial();
          if (!ended && partial.format == nullptr) ended = handle.ended();
        }
        return ReplyView(ended ? ended : outcome_of_partial(partial));
      });

  py::class_<Core>(module, "Core", "The engine of the core.")
      .def(py::init<const py::dict&, const py::sequence&, bool>(), py::arg("config"), py::arg("secrets"),
           py::arg("default_providers"))
      .def("update", &Core::update, py::arg("config"), py::arg("secrets"), py::arg("default_providers"))
      .def("prepare", &Core::prepare, py::arg("call"), py::arg("queue"), py::arg("ticket"), py::arg("stream") = false)
      .def("submit", &Core::submit, py::arg("call"), py::arg("queue"), py::arg("ticket"), py::arg("stream") = false)
      .def("chat", &Core::chat, py::arg("call"))
      .def("close", &Core::close, py::arg("seconds"))
      .def_property_readonly("closed", &Core::is_closed)
      .def("stats", &Core::stats)
      .def("wait_for_question", &Core::wait_for_question)
      .def("answer_secret", &Core::answer_secret, py::arg("number"), py::arg("value"), py::arg("problem") = "")
      .def("abandon", &Core::abandon);

  module.def(
      "versions",
      [] {
        py::dict versions;
        for (const auto& [name, version] : engine::versions()) versions[to_str(name)] = to_str(version);
        return versions;
      },
      "Versions of the libraries below the core.");
  module.def("stop_waiting", &stop_unlocking,
             "From now on no thread but the main one waits for the core: for the interpreter's end.");
  module.def("waiting_threads", &unlocked_threads, "Threads that are in the core without the GIL.");
}

}  // namespace orchestra::binding
