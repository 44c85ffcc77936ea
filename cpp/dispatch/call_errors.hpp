// Errors that dispatch itself makes, and what a status means to it.
#pragma once

#include <string>

#include "chat/error.hpp"

namespace orchestra::dispatch {

inline bool is_success(int status) { return status >= 200 && status < 300; }

// DeadlineExceeded of this phase ("total", "connect", "first_token", "idle").
chat::Error deadline_error(std::string phase, double seconds);

}  // namespace orchestra::dispatch
