// What goes over the wire for one call: a right answer, or one with a fault.
#pragma once

#include <cstdint>
#include <string_view>

#include "fake/fault.hpp"
#include "http/server.hpp"
#include "protocol/format.hpp"

namespace orchestra::fake {

struct CallAnswer {
  const protocol::Format& format;
  const protocol::ServerRequest& request;
  const protocol::ServerReply& reply;
  const Fault* fault = nullptr;  // nullptr: none
  double latency = 0;            // seconds before the first byte
};

http::Answer make_answer(const CallAnswer& call);

// An error in the protocol's own shape.
http::Answer error_answer(const protocol::Format& format, int status, std::string_view message,
                          std::optional<double> retry_after = std::nullopt);

}  // namespace orchestra::fake
