#include "binding/faults.hpp"

#include <exception>

#include "binding/json_python.hpp"

namespace orchestra::binding {

namespace py = pybind11;

py::dict fault_fields(const chat::Error& error) {
  py::dict fields;
  if (error.status) fields["status"] = *error.status;
  if (error.retry_after) fields["retry_after"] = *error.retry_after;
  if (!error.phase.empty()) fields["phase"] = error.phase;
  if (error.has_body) fields["body"] = to_str(error.body);
  fields["is_retryable"] = error.retryable;
  return fields;
}

void bind_faults(py::module_&) {
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Fault& fault) {
      const py::object make = py::module_::import("orchestra.errors").attr("from_fault");
      const py::object error =
          make(to_str(chat::error_name(fault.error.kind)), to_str(fault.error.message), **fault_fields(fault.error));
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    }
  });
}

}  // namespace orchestra::binding
