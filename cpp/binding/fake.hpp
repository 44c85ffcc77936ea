// FakeProviders for Python: orchestra.testing is built on it.
#pragma once

#include <pybind11/pybind11.h>

namespace orchestra::binding {

void bind_fake(pybind11::module_& module);

}  // namespace orchestra::binding
