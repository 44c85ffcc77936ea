// Functions that CPython calls must not throw.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>

namespace orchestra::binding {

// Calls a function that gives an object or throws; nullptr: Python's error is set.
template <class Use>
PyObject* guarded(Use use) noexcept {
  try {
    return use().release().ptr();
  } catch (pybind11::error_already_set& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

}  // namespace orchestra::binding
