// Python values to JSON text and back. All functions want the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "chat/result.hpp"
#include "json/value.hpp"

namespace orchestra::binding {

// Appends the value as JSON: str, int, float, bool, None, list, tuple, and dict with str keys. Fails with
// InvalidRequest whose message begins with the path of what is no JSON.
Status append_json(std::string& out, pybind11::handle value);

// A JSON value as Python objects; an absent one is None.
pybind11::object to_python(json::Value value);
// The same from text that this package wrote; None when it is empty or no JSON.
pybind11::object to_python(const std::string& text);

pybind11::str to_str(std::string_view utf8);
// The same; None for an empty text.
pybind11::object str_or_none(std::string_view utf8);

}  // namespace orchestra::binding
