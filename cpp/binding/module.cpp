// The compiled module orchestra._core. Only python/orchestra/_compiled.py imports it.
#include <pybind11/pybind11.h>

#include "binding/calls.hpp"
#include "binding/core.hpp"
#include "binding/delta.hpp"
#include "binding/fake.hpp"
#include "binding/faults.hpp"
#include "binding/forks.hpp"
#include "binding/json_python.hpp"
#include "binding/outcome.hpp"
#include "binding/values.hpp"
#include "binding/wire.hpp"
#include "engine/config.hpp"
#include "json/value.hpp"

namespace py = pybind11;

PYBIND11_MODULE(_core, module) {
  using namespace orchestra;           // NOLINT(google-build-using-namespace)
  using namespace orchestra::binding;  // NOLINT(google-build-using-namespace)
  module.attr("version") = ORCHESTRA_VERSION;
  count_forks();
  bind_faults(module);
  bind_values(module);
  bind_delta(module);
  bind_outcome(module);
  bind_core(module);
  bind_calls(module);
  bind_wire(module);
  bind_fake(module);

  module.def(
      "parse_json",
      [](const std::string& text) {
        json::Document document;
        if (const auto problem = document.parse_copy(text)) throw py::value_error(problem->message);
        return to_python(document.root());
      },
      py::arg("text"), "The value of a JSON text. ValueError: it is none.");

  // Checks one object of a configuration as its constructor needs it: kind "provider" or "model".
  module.def(
      "check",
      [](const std::string& kind, const py::dict& value) {
        std::string json;
        Status written = append_json(json, value);
        if (!written) {
          written.error().kind = chat::ErrorKind::Config;
          throw Fault{std::move(written).error()};
        }
        value_or_throw(kind == "provider" ? engine::validate_provider(std::move(json))
                                          : engine::validate_model(std::move(json)));
      },
      py::arg("kind"), py::arg("value"));
}
