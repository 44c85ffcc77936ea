// chat::Error into the Python exception tree of orchestra.errors.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>

#include "chat/result.hpp"

namespace orchestra::binding {

// Thrown by binding code with the GIL or without; arrives in Python as the exception that errors.from_fault makes.
struct Fault {
  chat::Error error;
};

template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw Fault{std::move(result).error()};
  return *std::move(result);
}

// The error's fields by name, as errors.from_fault takes them. Wants the GIL.
pybind11::dict fault_fields(const chat::Error& error);

void bind_faults(pybind11::module_& module);

}  // namespace orchestra::binding
