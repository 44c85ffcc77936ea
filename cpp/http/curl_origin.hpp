// CurlOrigin: what all requests to one origin share: parsed URLs by target, the last list of headers, settings of TLS
// and proxy, and how busy each shard is with it. Owned by CurlExchange; the loop's thread alone.
#pragma once

#include <curl/curl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "http/ca_store.hpp"
#include "http/proxy.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::http {

// libcurl walks all connections of a multi for each request. Spread over several multis in the same thread, 1000
// requests in flight cost 0.64 of what they cost in one; below 100 it makes no difference.
inline constexpr std::size_t kShards = 8;

class CurlTransfer;

class CurlOrigin {
 public:
  explicit CurlOrigin(std::shared_ptr<const runtime::Origin> origin);
  ~CurlOrigin();
  CurlOrigin(const CurlOrigin&) = delete;
  CurlOrigin& operator=(const CurlOrigin&) = delete;

  // Sets once what every request of the origin has in common.
  void configure(CURL* easy) const;
  // nullptr: no URL.
  [[nodiscard]] std::shared_ptr<CURLU> url(const std::string& target);
  // nullptr: a header holds a line break or a NUL byte, which would let it speak for another.
  [[nodiscard]] std::shared_ptr<curl_slist> headers(const std::shared_ptr<const runtime::RequestHead>& head);

  // What keeps every request from a secure connection; "": nothing.
  [[nodiscard]] const std::string& trust_fault() const { return trust_fault_; }
  // Empty: none. What the environment says is read once for an origin.
  [[nodiscard]] const std::optional<Proxy>& proxy() const { return proxy_; }

  // The shard with the fewest requests to this origin in flight: so a connection is opened only when all are in use.
  [[nodiscard]] std::size_t enter_shard();
  void leave_shard(std::size_t shard);

  // Nobody else knows the origin any more and nothing runs.
  [[nodiscard]] bool is_forgotten() const { return running_ == 0 && origin_.use_count() == 1; }

  std::vector<std::unique_ptr<CurlTransfer>> idle;  // last used last

 private:
  std::shared_ptr<const runtime::Origin> origin_;
  std::optional<Proxy> proxy_;
  CaStore trusted_;
  std::string trust_fault_;
  std::unordered_map<std::string, std::shared_ptr<CURLU>> urls_;  // by target
  std::shared_ptr<const runtime::RequestHead> last_head_;
  std::shared_ptr<curl_slist> last_list_;
  std::array<std::uint32_t, kShards> in_flight_{};
  std::size_t running_ = 0;
};

}  // namespace orchestra::http
