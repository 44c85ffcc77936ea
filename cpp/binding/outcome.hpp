// Outcome as Python sees it: an ended call, its reply read on demand.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>
#include <vector>

#include "engine/engine.hpp"

namespace orchestra::binding {

// Belongs to Python: used with the GIL only.
class ReplyView {
 public:
  explicit ReplyView(std::shared_ptr<const dispatch::Outcome> outcome) : outcome_(std::move(outcome)) {}

  [[nodiscard]] const dispatch::Outcome& outcome() const { return *outcome_; }
  // Decoded at the first use; at least one, an empty one when nothing came.
  const std::vector<chat::Choice>& choices();

 private:
  std::shared_ptr<const dispatch::Outcome> outcome_;
  std::vector<chat::Choice> choices_;
};

// The outcome of a body by itself, as decode_reply and a partial reply need it. Throws Fault.
std::shared_ptr<dispatch::Outcome> outcome_of_body(const protocol::Format& format,
                                                   const protocol::DecodeOptions& options, int status,
                                                   protocol::Headers headers, std::string body);
// The same for what has come of a reply: never fails, whatever is missing.
std::shared_ptr<dispatch::Outcome> outcome_of_partial(const dispatch::Partial& partial);

void bind_outcome(pybind11::module_& module);

}  // namespace orchestra::binding
