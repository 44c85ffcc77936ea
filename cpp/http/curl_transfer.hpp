// CurlTransfer: one request on one reused easy handle: what its sink is told, and when. It knows nothing of sockets,
// multis and shards, which are CurlExchange's. Owned by CurlExchange, in flight or idle with its origin; the loop's
// thread alone.
//
// The sink is called from inside libcurl (on_connected, on_head, on_bytes), where libcurl must not be called again: see
// CurlExchange.
#pragma once

#include <curl/curl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "http/content_decoder.hpp"
#include "http/curl_origin.hpp"
#include "http/response_head.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::http {

// libcurl hands up at most CURL_MAX_WRITE_SIZE bytes, in a buffer that may end right behind them. They are copied here,
// once for all transfers of a loop, since only one call is ever running.
using ReceiveBuffer = std::array<char, CURL_MAX_WRITE_SIZE + runtime::kReadableBehind>;

class CurlExchange;

class CurlTransfer {
 public:
  // easy() is nullptr when there is no memory for it.
  CurlTransfer(CurlExchange& exchange, CurlOrigin& origin, ReceiveBuffer& buffer);
  ~CurlTransfer();
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  // Gets ready for a request. An error: why it cannot be sent.
  std::optional<runtime::End> begin(runtime::ExchangeId id, runtime::ExchangeRequest request,
                                    runtime::ExchangeSink& sink, HeadLimits limits);
  // The sink hears nothing any more.
  void forget_sink();
  // libcurl has finished with it; the sink is told by give_held() when it is not paused.
  void finish(CURLcode result);
  // It never got to libcurl.
  void finish(runtime::EndKind kind, std::string message) { end_ = runtime::End{kind, std::move(message)}; }
  // Drops what the request held.
  void clear();

  void pause();
  void resume();
  [[nodiscard]] bool is_paused() const { return paused_; }
  // Gives the head that came while it was paused. The sink may do anything in that call.
  void give_held_head();
  // Gives the decoded bytes that a paused sink did not take. The sink may do anything in that call.
  void give_held_bytes();
  // The content cannot be decoded; libcurl, which may be still at it, knows nothing of that.
  [[nodiscard]] bool has_broken_content() const { return decoding_ != nullptr && !decoding_->fault().empty(); }
  // Whether libcurl was told to stop reading; it must be told to go on. Forgets it.
  [[nodiscard]] bool take_stopped() { return std::exchange(stopped_, false); }
  [[nodiscard]] bool has_ended() const { return end_.has_value(); }
  [[nodiscard]] runtime::End take_end();

  [[nodiscard]] CURL* easy() const { return easy_; }
  [[nodiscard]] runtime::ExchangeId id() const { return id_; }
  [[nodiscard]] runtime::ExchangeSink* sink() const { return sink_; }
  [[nodiscard]] CurlExchange& exchange() const { return exchange_; }
  [[nodiscard]] CurlOrigin& origin() const { return origin_; }
  // The request has gone out: no second connection may be opened for it.
  [[nodiscard]] bool is_sent() const { return sent_; }

  // No socket could be made for it: errno.
  void note_socket_fault(int fault) { socket_fault_ = fault; }

  std::size_t shard = 0;
  bool in_multi = false;

 private:
  static int on_ready_to_send(void* self, char*, char*, int, int);
  static std::size_t on_head_line(char* bytes, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self);
  [[nodiscard]] runtime::End end_of(CURLcode result) const;
  [[nodiscard]] std::string connect_message(CURLcode result) const;

  CurlExchange& exchange_;
  CurlOrigin& origin_;
  ReceiveBuffer& buffer_;
  CURL* easy_;
  std::array<char, CURL_ERROR_SIZE> error_{};

  runtime::ExchangeId id_ = 0;
  runtime::ExchangeSink* sink_ = nullptr;
  std::shared_ptr<CURLU> url_;
  std::shared_ptr<curl_slist> headers_;
  std::shared_ptr<const std::string> body_;
  HeadLimits limits_;
  ResponseHead head_{HeadLimits{}};
  std::shared_ptr<DecodingSink> decoding_;  // nullptr: the content is plain
  std::optional<runtime::End> end_;
  int socket_fault_ = 0;
  bool sent_ = false;
  bool again_ = false;  // libcurl tried to send it a second time
  bool paused_ = false;
  bool stopped_ = false;    // libcurl was told to stop reading
  bool held_head_ = false;  // complete, and not given yet
};

}  // namespace orchestra::http
