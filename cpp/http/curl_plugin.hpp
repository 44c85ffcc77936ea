// What the library with the exchange over libcurl offers to the core, which loads it when it is needed. Both come from
// one build: they share the classes of runtime/.
#pragma once

#include <cstddef>

#include "http/response_head.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::http {

inline constexpr const char* kCurlPlugin = "_curl_exchange.so";

// A new CurlExchange; the caller owns it.
using MakeCurlExchange = runtime::Exchange*(runtime::EventLoop& loop, const HeadLimits& limits);
inline constexpr const char* kMakeCurlExchange = "orchestra_make_curl_exchange";
// What both sides think the shared classes look like: files of two builds must not meet.
inline constexpr std::size_t kSharedLayout = sizeof(runtime::EventLoop) | sizeof(runtime::Timer) << 12 |
                                             sizeof(runtime::Origin) << 24 | sizeof(runtime::AnswerHead) << 36 |
                                             sizeof(HeadLimits) << 44 | sizeof(runtime::RequestHead) << 52;
using SharedLayout = std::size_t();
inline constexpr const char* kSharedLayoutOf = "orchestra_shared_layout";
using CurlVersion = const char*();
inline constexpr const char* kCurlVersion = "orchestra_curl_version";

}  // namespace orchestra::http
