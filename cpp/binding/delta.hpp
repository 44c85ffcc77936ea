// Delta as Python sees it: plain attributes, made with CPython's interface, since a stream makes one for every token.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "chat/reply.hpp"

namespace orchestra::binding {

// A list of new Delta objects. With the GIL.
pybind11::list make_deltas(const std::vector<chat::Delta>& deltas);

// REQUIRES: bind_values() came before.
void bind_delta(pybind11::module_& module);

}  // namespace orchestra::binding
