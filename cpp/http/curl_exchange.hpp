// CurlExchange: the exchange over libcurl: HTTP/1.1 with kept connections, TLS, proxies. It lives on one event loop and
// belongs to that loop's thread, its making and destruction too. Any number of them may live in one process, each on
// its own loop; they share nothing. One that is never used holds no file and has not touched libcurl.
//
// libcurl calls back while it runs, and must not be called again from there. So a start or cancel that a sink asks for
// in such a call is done right after libcurl has returned, and resume() always by a timer of the same turn.
//
// The thread must not die of SIGPIPE, which TLS raises on a dead connection: runtime::start_thread blocks it.
//
// Destruction cancels every exchange and closes every connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http/response_head.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::http {

class CurlOrigin;
class CurlTransfer;

class CurlExchange final : public runtime::Exchange, private runtime::Watcher {
 public:
  explicit CurlExchange(runtime::EventLoop& loop, HeadLimits limits = {});
  ~CurlExchange() override;

  runtime::ExchangeId start(runtime::ExchangeRequest request, runtime::ExchangeSink& sink) override;
  void pause(runtime::ExchangeId id) override;
  void resume(runtime::ExchangeId id) override;
  void cancel(runtime::ExchangeId id) override;
  [[nodiscard]] std::size_t connections() const override { return open_sockets_; }
  [[nodiscard]] std::string_view name() const override { return "curl"; }

 private:
  struct Shard;
  struct Callbacks;  // what libcurl calls about sockets and timeouts
  class InsideCurl;
  struct Buffer;

  struct Slot {
    std::unique_ptr<CurlTransfer> transfer;  // nullptr: free
    std::uint32_t generation = 0;
  };
  struct Socket {
    Shard* shard = nullptr;
    runtime::Readiness wanted = 0;
    runtime::Readiness watched = 0;
    bool counted = false;  // opened for a request, not by libcurl for itself
  };

  void on_ready(int fd, runtime::Readiness ready) override;
  void act(Shard& shard, int fd, int events);
  void add(CurlTransfer& transfer);
  void detach(CurlTransfer& transfer);
  void settle();
  void reap(Shard& shard);
  void proceed(runtime::ExchangeId id);
  void proceed_later(runtime::ExchangeId id);
  void end(runtime::ExchangeId id);
  void recycle(std::unique_ptr<CurlTransfer> transfer);

  [[nodiscard]] CurlOrigin& origin_of(const std::shared_ptr<const runtime::Origin>& origin);
  [[nodiscard]] runtime::ExchangeId place(std::unique_ptr<CurlTransfer> transfer);
  [[nodiscard]] CurlTransfer* find(runtime::ExchangeId id) const;
  [[nodiscard]] std::unique_ptr<CurlTransfer> take(runtime::ExchangeId id);
  [[nodiscard]] Socket& socket(int fd);
  [[nodiscard]] Shard& shard(std::size_t number);

  runtime::EventLoop& loop_;
  HeadLimits limits_;
  std::unique_ptr<Buffer> buffer_;
  std::vector<Socket> sockets_;  // by fd
  std::size_t open_sockets_ = 0;
  std::vector<std::unique_ptr<Shard>> shards_;  // nullptr: not needed yet
  std::unordered_map<const runtime::Origin*, std::unique_ptr<CurlOrigin>> origins_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;

  bool inside_curl_ = false;
  std::vector<runtime::ExchangeId> to_add_;               // started inside libcurl
  std::vector<std::unique_ptr<CurlTransfer>> to_detach_;  // cancelled inside libcurl
  std::vector<runtime::ExchangeId> to_proceed_;
  runtime::Timer proceed_timer_;
};

// The version of libcurl and of the TLS library that it uses, such as "7.88.1 (OpenSSL/3.0.22)".
std::string curl_version_text();

}  // namespace orchestra::http
