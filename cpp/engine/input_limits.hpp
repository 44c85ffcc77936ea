// InputLimits: what an engine reads at most of its providers, and sends at most. Plain data.
#pragma once

#include <string_view>

#include "chat/result.hpp"
#include "http/response_head.hpp"
#include "json/value.hpp"
#include "protocol/format.hpp"

namespace orchestra::engine {

struct InputLimits {
  http::HeadLimits head;
  protocol::Limits reply;
};

// {"head_bytes", "head_lines", "body", "decompression_ratio", "line", "event", "text", "json_depth", "tool_calls",
// "request"}, each a whole number, sizes in bytes; what is left out keeps its default. A value that does not exist is
// all defaults. Fails with Config; the message begins with the path.
Result<InputLimits> read_input_limits(json::Value value, std::string_view path);

}  // namespace orchestra::engine
