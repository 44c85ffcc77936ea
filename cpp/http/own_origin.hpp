// OwnOrigin: what all requests to one origin share: where it is, its idle connections, the last TLS session, and the
// bytes with which requests begin. Owned by OwnExchange; the loop's thread alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/tls_context.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::http {

class OwnConnection;

// An origin's URL, taken apart.
struct OriginAddress {
  bool tls = false;
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string authority;  // for the Host field: brackets around an IPv6 address, no port that goes without saying

  // Nothing for what is no http://host:port or https://host:port.
  static std::optional<OriginAddress> read(std::string_view url);
};

// The bytes of a request from its first to "Content-Length: ", or why it cannot be sent.
struct HeadBytes {
  std::shared_ptr<const std::string> bytes;
  std::string_view fault;
};
HeadBytes write_head(const OriginAddress& address, const runtime::RequestHead& head);

class OwnOrigin {
 public:
  explicit OwnOrigin(std::shared_ptr<const runtime::Origin> origin);
  OwnOrigin(const OwnOrigin&) = delete;
  OwnOrigin& operator=(const OwnOrigin&) = delete;

  [[nodiscard]] const runtime::Origin& settings() const { return *origin_; }
  // Nothing: the URL is malformed.
  [[nodiscard]] const std::optional<OriginAddress>& address() const { return address_; }
  // Nobody else knows the origin any more and nothing runs. The heads of requests know it, too.
  [[nodiscard]] bool is_forgotten() const { return running == 0 && origin_.use_count() == 1; }

  std::vector<OwnConnection*> idle;  // last used last
  std::size_t running = 0;           // requests
  bool closes_early = false;         // its server closes connections that were used a moment ago
  std::shared_ptr<const TlsContext> tls;
  TlsSession session;

 private:
  const std::shared_ptr<const runtime::Origin> origin_;
  const std::optional<OriginAddress> address_;
};

}  // namespace orchestra::http
