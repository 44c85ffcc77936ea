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
  py::class_<Usage>(module, "Usage", "Token counts of a reply as its provider reported them. None: not reported.")
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

  py::class_<Cost>(module, "Cost", "What something cost, exact in whole nano-dollars. None: unknown.")
      .def_readonly("known", &Cost::known)
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
      .def("__repr__", &cost_repr)
      .def(py::pickle(&cost_state, [](const py::tuple& state) { return cost_from_state(state); }));

  py::class_<Attempt>(module, "Attempt", "One request to one provider.")
      .def_readonly("model", &Attempt::model)
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

  py::class_<ToolFragment>(module, "ToolFragment", "A piece of a streamed tool call.")
      .def_readonly("index", &ToolFragment::index)
      .def_property_readonly("id", [](const ToolFragment& fragment) { return str_or_none(fragment.id); })
      .def_property_readonly("name", [](const ToolFragment& fragment) { return str_or_none(fragment.name); })
      .def_property_readonly("arguments_json", [](const ToolFragment& fragment) { return to_str(fragment.arguments); })
      .def("__repr__", [](const py::object& self) {
        return py::str("ToolFragment(index={}, id={!r}, name={!r}, arguments_json={!r})")
            .format(self.attr("index"), self.attr("id"), self.attr("name"), self.attr("arguments_json"));
      });
}

}  // namespace orchestra::binding
