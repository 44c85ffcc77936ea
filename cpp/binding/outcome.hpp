// Outcome as Python sees it: an ended call, its reply read on demand. A type of its own, made with CPython's interface
// and extended by orchestra.Reply: objects of pybind11 cost 0.3 us each to make and as much to read, several times a
// call.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

#include "engine/engine.hpp"

namespace orchestra::binding {

// A new reply object. With the GIL.
pybind11::object make_reply(std::shared_ptr<const dispatch::Outcome> outcome);

// The outcome of a body by itself, as decode_reply and a partial reply need it. Throws Fault.
std::shared_ptr<dispatch::Outcome> outcome_of_body(const protocol::Format& format,
                                                   const protocol::DecodeOptions& options, int status,
                                                   protocol::Headers headers, std::string body);
// The same for what has come of a reply: never fails, whatever is missing.
std::shared_ptr<dispatch::Outcome> outcome_of_partial(const dispatch::Partial& partial);

void bind_outcome(pybind11::module_& module);

}  // namespace orchestra::binding
