// Plain values of the core as Python classes: Usage, Cost, Attempt, Delta, ToolFragment.
#pragma once

#include <pybind11/pybind11.h>

#include "spend/cost.hpp"

namespace orchestra::binding {

// A Cost as a tuple of plain numbers, exactly, and back.
pybind11::tuple cost_state(const spend::Cost& cost);
spend::Cost cost_from_state(const pybind11::sequence& state);

void bind_values(pybind11::module_& module);

}  // namespace orchestra::binding
