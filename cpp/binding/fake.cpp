#include "binding/fake.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "binding/faults.hpp"
#include "binding/json_python.hpp"
#include "binding/unlocked.hpp"
#include "fake/fake_providers.hpp"
#include "fake/fault.hpp"
#include "json/value.hpp"

namespace orchestra::binding {
namespace {

namespace py = pybind11;

// What is wrong with the argument of a constructor is a ConfigError, whoever notices it.
std::string config_json(py::handle value) {
  std::string json;
  Status written = append_json(json, value);
  if (!written) {
    written.error().kind = chat::ErrorKind::Config;
    throw Fault{std::move(written).error()};
  }
  return json;
}

// Looks at a recorded call; closed_at still changes.
class CallView {
 public:
  explicit CallView(std::shared_ptr<const fake::Call> call) : call_(std::move(call)) {}

  [[nodiscard]] py::str protocol() const { return to_str(call_->protocol); }
  [[nodiscard]] py::str method() const { return to_str(call_->method); }
  [[nodiscard]] py::str path() const { return to_str(call_->path); }
  [[nodiscard]] py::object body() const { return to_python(call_->body); }
  [[nodiscard]] double received_at() const { return call_->received_at; }

  // Names in lower case; of a repeated one the values are joined.
  [[nodiscard]] py::dict headers() const {
    py::dict headers;
    for (const auto& [as_came, value] : call_->headers) {
      std::string name = as_came;
      std::transform(name.begin(), name.end(), name.begin(), [](char letter) {
        return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
      });
      const py::str key = to_str(name);
      std::string joined = value;
      if (headers.contains(key)) joined = headers[key].cast<std::string>() + ", " + joined;
      headers[key] = to_str(joined);
    }
    return headers;
  }
  [[nodiscard]] py::object closed_at() const {
    const double at = call_->closed_at;
    if (at == 0) return py::none();
    return py::float_(at);
  }
  [[nodiscard]] py::str text() const {
    return to_str("<request " + call_->protocol + " " + call_->method + " " + call_->path + ">");
  }

 private:
  std::shared_ptr<const fake::Call> call_;
};

}  // namespace

void bind_fake(py::module_& module) {
  py::class_<CallView>(module, "FakeRequest",
                       "A call that FakeProviders has recorded. Times are those of time.monotonic().")
      .def_property_readonly("protocol", &CallView::protocol)
      .def_property_readonly("method", &CallView::method)
      .def_property_readonly("path", &CallView::path)
      .def_property_readonly("headers", &CallView::headers, "A dict with the names in lower case.")
      .def_property_readonly("body", &CallView::body, "The decoded JSON; None when it is none.")
      .def_property_readonly("time", &CallView::received_at)
      .def_property_readonly("received_at", &CallView::received_at)
      .def_property_readonly("closed_at", &CallView::closed_at, "None until the client has closed the connection.")
      .def("__repr__", &CallView::text);

  py::class_<fake::FakeProviders>(module, "FakeProviders")
      .def(py::init([](const py::dict& config) {
             std::string json = config_json(config);
             const Unlocked unlocked;
             return value_or_throw(fake::FakeProviders::open(std::move(json)));
           }),
           py::arg("config"))
      .def(
          "url",
          [](const fake::FakeProviders& fake, const std::string& protocol) {
            return value_or_throw(fake.url(protocol));
          },
          py::arg("protocol"))
      .def(
          "script",
          [](fake::FakeProviders& fake, const py::list& items) { value_or_throw(fake.script(config_json(items))); },
          py::arg("items"))
      .def_property_readonly("requests",
                             [](const fake::FakeProviders& fake) {
                               py::list requests;
                               for (auto& call : fake.calls()) requests.append(CallView(std::move(call)));
                               return requests;
                             })
      .def("close", &fake::FakeProviders::close, py::call_guard<Unlocked>());

  module.def(
      "check_fault",
      [](const py::dict& fault, const std::string& path) {
        json::Document document;
        if (auto problem = document.parse(config_json(fault))) throw Fault{fake::config_error(path, problem->message)};
        value_or_throw(fake::read_fault(document.root(), path));
      },
      py::arg("fault"), py::arg("path"));
}

}  // namespace orchestra::binding
