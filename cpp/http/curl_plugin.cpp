#include "http/curl_plugin.hpp"

#include <string>

#include "http/curl_exchange.hpp"

using orchestra::http::CurlExchange;
using orchestra::http::HeadLimits;
using orchestra::runtime::EventLoop;
using orchestra::runtime::Exchange;

#pragma GCC visibility push(default)

extern "C" Exchange* orchestra_make_curl_exchange(EventLoop& loop, const HeadLimits& limits) {
  return std::make_unique<CurlExchange>(loop, limits).release();
}

extern "C" std::size_t orchestra_shared_layout() { return orchestra::http::kSharedLayout; }

extern "C" const char* orchestra_curl_version() {
  static const std::string text = orchestra::http::curl_version_text();
  return text.c_str();
}

#pragma GCC visibility pop
