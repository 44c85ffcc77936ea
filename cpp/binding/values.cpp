#include "binding/values.hpp"

#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "binding/json_python.hpp"
#include "chat/reply.hpp"
#include "engine/engine.hpp"
#include "spend/cost.hpp"

namespace orchestra::binding {

namespace py = pybind11;
using chat::ToolFragment;
using chat::Usage;
using dispatch::Attempt;
using spend::Cost;

namespace {

std::optional<std::int64_t> total_tokens(const Usage& usage) {
  if (!usage.reported()) return std::nullopt;
  return *usage.input_tokens + *usage.output_tokens;
}

std::string shown(std::string_view name, const std::optional<std::int64_t>& value) {
  return std::string(name) + "=" + (value ? std::to_string(*value) : "None");
}

std::string usage_repr(const Usage& usage) {
  return "Usage(" + shown("input_tokens", usage.input_tokens) + ", " + shown("output_tokens", usage.output_tokens) +
         ", " + shown("cached_tokens", usage.cached_tokens) + ", " +
         shown("cache_write_tokens", usage.cache_write_tokens) + ", " +
         shown("reasoning_tokens", usage.reasoning_tokens) + ")";
}

std::string plain_number(double value) { return py::cast<std::string>(py::repr(py::float_(value))); }

std::string cost_repr(const Cost& cost) {
  const std::string estimated = cost.estimated ? ", estimated" : "";
  if (!cost.known)
    return "Cost(unknown, at least $" + plain_number(spend::nano_to_usd(cost.at_least_nano_usd)) + estimated + ")";
  return "Cost($" + plain_number(spend::nano_to_usd(cost.nano_usd)) + estimated + ")";
}

// A part of a known cost in USD; None when the cost is unknown.
template <class Get>
auto part(Get get) {
  return [get](const Cost& cost) -> std::optional<double> {
    if (!cost.known) return std::nullopt;
    return get(cost);
  };
}

// 128 bits travel as two numbers of 64.
constexpr std::int64_t kSplit = 1'000'000'000'000'000;

// pybind11 makes an instance without its value, which __init__ is to add; what is left without it reads memory that
// nobody has written. So __new__ does both, or refuses; what comes from C++ is made by neither.
PyObject* make_whole(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  PyObject* made = py::detail::make_new_instance(type);
  if (made != nullptr && type->tp_init(made, arguments, keywords) != 0) Py_CLEAR(made);
  return made;
}

PyObject* refuse_to_make(PyTypeObject* type, PyObject*, PyObject*) {
  PyErr_Format(PyExc_TypeError, "%s: it comes from a call and cannot be made", type->tp_name);
  return nullptr;
}

py::custom_type_setup made_by(newfunc make) {
  return py::custom_type_setup([make](PyHeapTypeObject* type) { type->ht_type.tp_new = make; });
}

py::tuple usage_state(const Usage& usage) {
  return py::make_tuple(usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens,
                        usage.cache_write_1h_tokens, usage.reasoning_tokens, usage.audio_input_tokens,
                        usage.audio_output_tokens, py::bytes(usage.service_tier), py::bytes(usage.raw));
}

Usage usage_from_state(const py::sequence& state) {
  Usage usage;
  std::size_t place = 0;
  for (auto* count :
       {&usage.input_tokens, &usage.output_tokens, &usage.cached_tokens, &usage.cache_write_tokens,
        &usage.cache_write_1h_tokens, &usage.reasoning_tokens, &usage.audio_input_tokens, &usage.audio_output_tokens}) {
    *count = state[place++].cast<std::optional<std::int64_t>>();
  }
  usage.service_tier = state[place++].cast<std::string>();
  usage.raw = state[place++].cast<std::string>();
  return usage;
}

py::tuple attempt_state(const Attempt& attempt) {
  const py::object error = attempt.error ? py::object(py::int_(static_cast<int>(*attempt.error))) : py::none();
  const py::object usage = attempt.usage ? py::object(usage_state(*attempt.usage)) : py::none();
  return py::make_tuple(py::bytes(attempt.model), attempt.status, error, py::bytes(attempt.error_message),
                        attempt.started, attempt.latency, attempt.retry_after, usage, cost_state(attempt.cost),
                        attempt.dropped, attempt.transport);
}

Attempt attempt_from_state(const py::sequence& state) {
  Attempt attempt;
  attempt.model = state[0].cast<std::string>();
  attempt.status = state[1].cast<std::optional<int>>();
  if (!state[2].is_none()) attempt.error = static_cast<chat::ErrorKind>(state[2].cast<int>());
  attempt.error_message = state[3].cast<std::string>();
  attempt.started = state[4].cast<double>();
  attempt.latency = state[5].cast<double>();
  attempt.retry_after = state[6].cast<std::optional<double>>();
  if (!state[7].is_none()) attempt.usage = usage_from_state(state[7].cast<py::sequence>());
  attempt.cost = cost_from_state(state[8].cast<py::sequence>());
  attempt.dropped = state[9].cast<std::vector<std::string>>();
  attempt.transport = state[10].cast<std::string>();
  return attempt;
}

py::tuple fragment_state(const ToolFragment& fragment) {
  return py::make_tuple(fragment.index, py::bytes(fragment.id), py::bytes(fragment.name),
                        py::bytes(fragment.arguments));
}

ToolFragment fragment_from_state(const py::sequence& state) {
  return {.index = state[0].cast<std::int64_t>(),
          .id = state[1].cast<std::string>(),
          .name = state[2].cast<std::string>(),
          .arguments = state[3].cast<std::string>()};
}

// Makes the values of a class copyable, and picklable by every protocol.
template <class Value>
void restorable(py::class_<Value>& type, py::tuple (*state)(const Value&), Value (*restore)(const py::sequence&)) {
  type.def_static("_restore", restore);
  type.def("__reduce__", [state](const py::object& self) {
    const py::object maker = py::module_::import("orchestra.reply").attr("_restore");
    return py::make_tuple(maker, py::make_tuple(py::type::of(self).attr("__name__"), state(self.cast<const Value&>())));
  });
}

}  // namespace

py::tuple cost_state(const Cost& cost) {
  const auto parts = [](spend::FemtoUsd amount) {
    return py::make_tuple(static_cast<std::int64_t>(amount / kSplit), static_cast<std::int64_t>(amount % kSplit));
  };
  return py::make_tuple(cost.known, cost.estimated, cost.nano_usd, cost.at_least_nano_usd, parts(cost.input),
                        parts(cost.output), parts(cost.cached_input), parts(cost.cache_write));
}

Cost cost_from_state(const py::sequence& state) {
  const auto amount = [](const py::object& part) {
    const auto [high, low] = part.cast<std::pair<std::int64_t, std::int64_t>>();
    return static_cast<spend::FemtoUsd>(high) * kSplit + low;
  };
  Cost cost;
  cost.known = state[0].cast<bool>();
  cost.estimated = state[1].cast<bool>();
  cost.nano_usd = state[2].cast<std::int64_t>();
  cost.at_least_nano_usd = state[3].cast<std::int64_t>();
  cost.input = amount(state[4]);
  cost.output = amount(state[5]);
  cost.cached_input = amount(state[6]);
  cost.cache_write = amount(state[7]);
  return cost;
}

void bind_values(py::module_& module) {
  py::class_<Usage> usage_class(module, "Usage",
                                "Token counts of a reply as its provider reported them. None: not reported.",
                                py::is_final(), made_by(&make_whole));
  usage_class
      .def(py::init([](std::optional<std::int64_t> input, std::optional<std::int64_t> output,
                       std::optional<std::int64_t> cached, std::optional<std::int64_t> cache_write,
                       std::optional<std::int64_t> cache_write_1h, std::optional<std::int64_t> reasoning,
                       std::optional<std::int64_t> audio_input, std::optional<std::int64_t> audio_output) {
             Usage usage;
             usage.input_tokens = input;
             usage.output_tokens = output;
             usage.cached_tokens = cached;
             usage.cache_write_tokens = cache_write;
             usage.cache_write_1h_tokens = cache_write_1h;
             usage.reasoning_tokens = reasoning;
             usage.audio_input_tokens = audio_input;
             usage.audio_output_tokens = audio_output;
             return usage;
           }),
           py::kw_only(), py::arg("input_tokens") = py::none(), py::arg("output_tokens") = py::none(),
           py::arg("cached_tokens") = py::none(), py::arg("cache_write_tokens") = py::none(),
           py::arg("cache_write_1h_tokens") = py::none(), py::arg("reasoning_tokens") = py::none(),
           py::arg("audio_input_tokens") = py::none(), py::arg("audio_output_tokens") = py::none())
      .def_readonly("input_tokens", &Usage::input_tokens)
      .def_readonly("output_tokens", &Usage::output_tokens)
      .def_readonly("cached_tokens", &Usage::cached_tokens)
      .def_readonly("cache_write_tokens", &Usage::cache_write_tokens)
      .def_readonly("cache_write_1h_tokens", &Usage::cache_write_1h_tokens)
      .def_readonly("reasoning_tokens", &Usage::reasoning_tokens)
      .def_readonly("audio_input_tokens", &Usage::audio_input_tokens)
      .def_readonly("audio_output_tokens", &Usage::audio_output_tokens)
      .def_property_readonly("total_tokens", &total_tokens)
      .def_property_readonly("raw", [](const Usage& usage) { return to_python(usage.raw); })
      .def("__repr__", &usage_repr);

  py::class_<Cost> cost_class(module, "Cost", "What something cost, exact in whole nano-dollars. None: unknown.",
                              py::is_final(), made_by(&refuse_to_make));
  cost_class.def_readonly("known", &Cost::known)
      .def_readonly("estimated", &Cost::estimated)
      .def_property_readonly("nano_usd",
                             [](const Cost& cost) -> std::optional<std::int64_t> {
                               if (!cost.known) return std::nullopt;
                               return cost.nano_usd;
                             })
      .def_property_readonly("usd", part([](const Cost& cost) { return spend::nano_to_usd(cost.nano_usd); }))
      .def_property_readonly("at_least_usd",
                             [](const Cost& cost) { return spend::nano_to_usd(cost.at_least_nano_usd); })
      .def_property_readonly("input", part([](const Cost& cost) { return spend::to_usd(cost.input); }))
      .def_property_readonly("output", part([](const Cost& cost) { return spend::to_usd(cost.output); }))
      .def_property_readonly("cached_input", part([](const Cost& cost) { return spend::to_usd(cost.cached_input); }))
      .def_property_readonly("cache_write", part([](const Cost& cost) { return spend::to_usd(cost.cache_write); }))
      .def_static(
          "sum",
          [](const py::iterable& costs) {
            Cost sum = spend::zero();
            for (const py::handle cost : costs) sum += cost.cast<const Cost&>();
            return sum;
          },
          py::arg("costs"), "The sum; an unknown part makes it unknown, with at_least_usd.")
      .def("__repr__", &cost_repr);

  py::class_<Attempt> attempt_class(module, "Attempt", "One request to one provider.", py::is_final(),
                                    made_by(&refuse_to_make));
  attempt_class.def_readonly("model", &Attempt::model)
      .def_readonly("status", &Attempt::status)
      .def_property_readonly(
          "error",
          [](const Attempt& attempt) -> py::object {
            if (!attempt.error) return py::none();
            return to_str(std::string(chat::error_name(*attempt.error)) + ": " + attempt.error_message);
          })
      .def_property_readonly("error_kind",
                             [](const Attempt& attempt) -> py::object {
                               if (!attempt.error) return py::none();
                               return to_str(chat::error_name(*attempt.error));
                             })
      .def_readonly("started", &Attempt::started)
      .def_readonly("latency", &Attempt::latency)
      .def_readonly("retry_after", &Attempt::retry_after)
      .def_readonly("usage", &Attempt::usage)
      .def_readonly("cost", &Attempt::cost)
      .def_readonly("dropped", &Attempt::dropped)
      .def_readonly("transport", &Attempt::transport)
      .def("__repr__", [](const py::object& self) {
        return py::str("Attempt(model={!r}, status={!r}, error={!r}, latency={:.3f}, cost={!r}, dropped={!r})")
            .format(self.attr("model"), self.attr("status"), self.attr("error"), self.attr("latency"),
                    self.attr("cost"), self.attr("dropped"));
      });

  py::class_<ToolFragment> fragment_class(module, "ToolFragment", "A piece of a streamed tool call.", py::is_final(),
                                          made_by(&refuse_to_make));
  fragment_class.def_readonly("index", &ToolFragment::index)
      .def_property_readonly("id", [](const ToolFragment& fragment) { return str_or_none(fragment.id); })
      .def_property_readonly("name", [](const ToolFragment& fragment) { return str_or_none(fragment.name); })
      .def_property_readonly("arguments_json", [](const ToolFragment& fragment) { return to_str(fragment.arguments); })
      .def("__repr__", [](const py::object& self) {
        return py::str("ToolFragment(index={}, id={!r}, name={!r}, arguments_json={!r})")
            .format(self.attr("index"), self.attr("id"), self.attr("name"), self.attr("arguments_json"));
      });
  restorable(usage_class, &usage_state, &usage_from_state);
  restorable(cost_class, &cost_state, &cost_from_state);
  restorable(attempt_class, &attempt_state, &attempt_from_state);
  restorable(fragment_class, &fragment_state, &fragment_from_state);
}

}  // namespace orchestra::binding
