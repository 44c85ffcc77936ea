// The exchanges over sockets, for tests that all of them must pass.
#pragma once

#include <memory>
#include <string_view>

#include "http/curl_exchange.hpp"
#include "http/own_exchange.hpp"
#include "runtime/event_loop.hpp"

namespace orchestra::http {

inline constexpr std::string_view kExchanges[] = {"curl", "own"};

inline std::unique_ptr<runtime::Exchange> make_exchange(std::string_view name, runtime::EventLoop& loop,
                                                        HeadLimits limits = {}) {
  if (name == "curl") return std::make_unique<CurlExchange>(loop, limits);
  return std::make_unique<OwnExchange>(loop, limits);
}

}  // namespace orchestra::http
