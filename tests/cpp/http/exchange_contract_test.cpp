#include "runtime/exchange_contract.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "http/curl_exchange.hpp"
#include "http/own_exchange.hpp"
#include "http/raw_server.hpp"
#include "http/test_loop.hpp"

namespace orchestra::http {
namespace {

using runtime::Script;
using runtime::ScriptStep;

std::string chunk(std::string_view bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string(bytes) + "\r\n";
}

// A server on a socket, and one of the exchanges on an event loop.
template <class SocketExchange>
class SocketDriver {
 public:
  SocketDriver() : server_([this](RawServer::Connection& connection) { follow_scripts(connection); }) {
    exchange_.emplace(loop_.loop());
    origin_ = std::make_shared<const runtime::Origin>(runtime::Origin{.url = server_.url(), .proxy = "-"});
  }

  runtime::Loop& loop() { return loop_.loop(); }
  runtime::Exchange& exchange() { return *exchange_; }
  void destroy_exchange() { exchange_.reset(); }
  void serve(std::vector<Script> scripts) {
    const std::lock_guard lock(mutex_);
    scripts_ = std::move(scripts);
  }
  runtime::ExchangeRequest request(std::string body) {
    return runtime::request_of({.origin = origin_, .target = "/v1/chat"}, std::move(body));
  }
  static runtime::ExchangeRequest refused_request() {
    std::string url;
    {
      const RawServer gone([](RawServer::Connection&) {});
      url = gone.url();
    }
    return runtime::request_of(
        {.origin = std::make_shared<const runtime::Origin>(runtime::Origin{.url = url, .proxy = "-"}), .target = "/"});
  }
  bool run_until(const std::function<bool()>& condition) { return loop_.run_until(condition); }
  void run_for(runtime::Duration duration) { loop_.run_for(duration); }
  [[nodiscard]] std::size_t requests_seen() const { return requests_; }
  [[nodiscard]] std::size_t closed_early() const { return closed_early_; }

 private:
  void follow_scripts(RawServer::Connection& connection) {
    while (!connection.read_request().empty()) {
      Script script;
      {
        const std::lock_guard lock(mutex_);
        script = scripts_[std::min(requests_.fetch_add(1), scripts_.size() - 1)];
      }
      for (const ScriptStep& step : script) {
        switch (step.kind) {
          case ScriptStep::Kind::Head: connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); break;
          case ScriptStep::Kind::Bytes: {
            const std::size_t piece = step.piece == 0 ? step.text.size() : step.piece;
            for (std::size_t at = 0; at < step.text.size(); at += piece) {
              connection.send(chunk(std::string_view(step.text).substr(at, piece)));
            }
            break;
          }
          case ScriptStep::Kind::Break: return;
          case ScriptStep::Kind::Garbage: connection.send("220 mail.example.com ready\r\n"); return;
          case ScriptStep::Kind::Stall:
            if (connection.wait_for_close()) ++closed_early_;
            return;
          case ScriptStep::Kind::End: connection.send("0\r\n\r\n"); break;
        }
      }
    }
  }

  std::mutex mutex_;
  std::vector<Script> scripts_;  // guarded by mutex_
  std::atomic<std::size_t> requests_ = 0;
  std::atomic<std::size_t> closed_early_ = 0;
  RawServer server_;
  TestLoop loop_;
  std::shared_ptr<const runtime::Origin> origin_;
  std::optional<SocketExchange> exchange_;
};

}  // namespace
}  // namespace orchestra::http

namespace orchestra::runtime {
INSTANTIATE_TYPED_TEST_SUITE_P(Curl, ExchangeContract, http::SocketDriver<http::CurlExchange>);
INSTANTIATE_TYPED_TEST_SUITE_P(Own, ExchangeContract, http::SocketDriver<http::OwnExchange>);
}  // namespace orchestra::runtime
