// The formats offline: decoding bytes that came from elsewhere.
#pragma once

#include <pybind11/pybind11.h>

namespace orchestra::binding {

void bind_wire(pybind11::module_& module);

}  // namespace orchestra::binding
