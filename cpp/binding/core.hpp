#pragma once

#include <pybind11/pybind11.h>

namespace orchestra::binding {

void bind_core(pybind11::module_& module);

}  // namespace orchestra::binding
