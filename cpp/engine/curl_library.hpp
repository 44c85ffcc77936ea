// CurlLibrary: the exchange over libcurl, whose library is loaded with the first request that goes through it. libcurl
// brings some twenty libraries along, which take longer to load than all of the core; most programs never need them.
// Belongs to the loop's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/response_head.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::engine {

class CurlLibrary final : public runtime::Exchange {
 public:
  CurlLibrary(runtime::EventLoop& loop, http::HeadLimits limits);

  // When the library cannot be loaded, the exchange ends with NotConnected, which says why.
  runtime::ExchangeId start(runtime::ExchangeRequest request, runtime::ExchangeSink& sink) override;
  void pause(runtime::ExchangeId id) override;
  void resume(runtime::ExchangeId id) override;
  void cancel(runtime::ExchangeId id) override;
  [[nodiscard]] std::size_t connections() const override { return exchange_ ? exchange_->connections() : 0; }
  [[nodiscard]] std::string_view name() const override { return "curl"; }

 private:
  void load();
  void end_refused();

  runtime::EventLoop& loop_;
  const http::HeadLimits limits_;
  std::unique_ptr<runtime::Exchange> exchange_;
  std::string fault_;  // why there is none
  runtime::ExchangeId last_refused_ = 0;
  std::vector<std::pair<runtime::ExchangeId, runtime::ExchangeSink*>> refused_;
  runtime::Timer refused_timer_;
};

// The version of libcurl and of the TLS library that it uses, such as "7.88.1 (OpenSSL/3.0.22)"; loads it.
std::string curl_version_text();

}  // namespace orchestra::engine
