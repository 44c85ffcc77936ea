#include "binding/core.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "binding/faults.hpp"
#include "binding/json_python.hpp"
#include "binding/outcome.hpp"
#include "binding/unlocked.hpp"

namespace orchestra::binding {

namespace py = pybind11;

namespace {

// Python's signal handlers run in the main thread only; a wait there looks for them this often.
constexpr double kSignalCheck = 0.02;
constexpr double kLongWait = 3600;
// Reading a request takes about a nanosecond for each byte: of a smaller one other threads have nothing to gain.
constexpr std::size_t kWorthUnlocking = 32 << 10;

std::shared_ptr<const engine::SecretList> read_secrets(const py::sequence& values, const engine::Config& config) {
  auto secrets = std::make_shared<engine::SecretList>();
  for (const py::handle value : values) {
    if (value.is_none()) {
      secrets->push_back({.dynamic = true, .value = {}});
    } else {
      secrets->push_back({.dynamic = false, .value = value.cast<std::string>()});
    }
  }
  if (config.secret_count > secrets->size())
    throw py::value_error("the configuration names a secret that was not given");
  return secrets;
}

std::shared_ptr<const engine::Config> read_config(const py::dict& config) {
  return value_or_throw(engine::parse_config(json_of(config, chat::ErrorKind::Config)));
}

}  // namespace

std::string json_of(py::handle value, chat::ErrorKind kind) {
  thread_local std::string kept;  // what is given away has just the size that it needs
  constexpr std::size_t kMostKept = 64 << 10;
  kept.clear();
  if (Status written = append_json(kept, value); !written) {
    written.error().kind = kind;
    throw Fault{std::move(written).error()};
  }
  return kept.size() > kMostKept ? std::move(kept) : kept;
}

void wait_for(Queue& queue, std::optional<double> seconds, std::vector<Announcement>& into) {
  leave_if_ending();
  double left = seconds.value_or(kLongWait);
  for (;;) {
    const double slice = is_main_thread() ? std::min(left, kSignalCheck) : left;
    {
      const Unlocked unlocked;
      queue.wait(slice, into);
    }
    leave_if_ending();
    if (!into.empty()) return;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    left -= slice;
    if (left <= 0) {
      if (seconds) return;
      left = kLongWait;
    }
  }
}

Core::Core(const py::dict& config, const py::sequence& secrets, bool default_providers) {
  engine::Settings settings;
  settings.config = read_config(config);
  settings.secrets = read_secrets(secrets, *settings.config);
  settings.default_providers = default_providers;
  engine_ = std::make_shared<engine::Engine>(std::move(settings));
}

std::uint64_t Core::update(const py::dict& config, const py::sequence& secrets, bool default_providers) {
  auto read = read_config(config);
  auto values = read_secrets(secrets, *read);
  return engine_->update(std::move(read), default_providers, std::move(values));
}

std::shared_ptr<engine::Call> Core::prepare(std::string json, bool stream, std::shared_ptr<dispatch::Listener> listener,
                                            std::uint64_t ticket) {
  const auto engine = engine_;
  std::optional<Unlocked> unlocked;
  if (json.size() >= kWorthUnlocking) unlocked.emplace();
  return value_or_throw(engine->prepare(std::move(json), stream, std::move(listener), ticket));
}

void Core::start(const std::shared_ptr<engine::Call>& call) {
  if (!engine_->start(call)) throw std::runtime_error("the engine is closed");
}

py::object Core::chat(const py::dict& call) {
  const auto engine = engine_;
  const auto queue = std::make_shared<Queue>();
  const auto running = prepare(json_of(call, chat::ErrorKind::InvalidRequest), false, queue, 0);
  start(running);
  std::vector<Announcement> ended;
  try {
    wait_for(*queue, std::nullopt, ended);
  } catch (...) {
    engine->cancel(running, chat::make_error(chat::ErrorKind::Cancelled, "interrupted"));
    throw;
  }
  return make_reply(std::move(ended.front().outcome));
}

void Core::close(double seconds) {
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

py::dict Core::stats() const {
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

py::list Core::connections() const {
  py::list list;
  for (const engine::ConnectionView& view : engine_->connections()) {
    list.append(
        py::make_tuple(to_str(view.provider), to_str(view.exchange), to_str(view.url), str_or_none(view.proxy)));
  }
  return list;
}

py::object Core::wait_for_question() {
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

void Core::answer_secret(std::uint64_t number, const std::optional<std::string>& value, const std::string& problem) {
  if (value) {
    engine_->answer_secret(number, *value);
  } else {
    engine_->answer_secret(number, chat::make_error(chat::ErrorKind::Config, problem));
  }
}

void Core::abandon() {
  if (engine_) new std::shared_ptr<engine::Engine>(std::move(engine_));
  forget_unlocked_threads();
}

void bind_core(py::module_& module) {
  py::class_<Core>(module, "Core", "The engine of the core.")
      .def(py::init<const py::dict&, const py::sequence&, bool>(), py::arg("config"), py::arg("secrets"),
           py::arg("default_providers"))
      .def("update", &Core::update, py::arg("config"), py::arg("secrets"), py::arg("default_providers"))
      .def("chat", &Core::chat, py::arg("call"))
      .def("close", &Core::close, py::arg("seconds"))
      .def_property_readonly("closed", &Core::is_closed)
      .def("stats", &Core::stats)
      .def("connections", &Core::connections)
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
  module.def(
      "ca_store",
      [](const std::string& ca_file, const std::string& fallback) {
        const auto [found, looked_at] = engine::find_certificates(ca_file, fallback);
        return py::make_tuple(str_or_none(found), looked_at);
      },
      py::arg("ca_file") = "", py::arg("fallback") = "",
      "The file or folder of the certificates that are trusted, or None, and where it was looked for.");
  module.def("stop_waiting", &stop_unlocking,
             "From now on no thread but the main one waits for the core: for the interpreter's end.");
  module.def("waiting_threads", &unlocked_threads, "Threads that are in the core without the GIL.");
}

}  // namespace orchestra::binding
