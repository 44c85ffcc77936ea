// Which proxy a request to an origin goes through, read as libcurl reads it: the argument, else the environment. Any
// thread, as long as none changes the environment meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace orchestra::http {

struct Proxy {
  std::string address;  // as it was given, credentials included: for libcurl
  std::string scheme;   // "http", "https", "socks4", "socks4a", "socks5", "socks5h"; another word: none that is known
  std::string host;     // an IPv6 address in brackets
  std::uint16_t port = 0;
  std::string user, password;  // percent-decoded
  std::string source;          // "proxy" for the argument, else the variable, such as "https_proxy"

  // Without credentials, to be shown to people.
  [[nodiscard]] std::string shown() const;
};

// `url`: scheme://host:port, with or without a path. `given`: as in runtime::Origin: "" as the environment says, "-"
// none. Empty: no proxy. A URL or an address that cannot be read gives a Proxy without a host, which no request gets
// through.
//
// The variables: http_proxy in lower case only (a web server may set HTTP_PROXY from a header of its client);
// https_proxy or HTTPS_PROXY; without these, all_proxy or ALL_PROXY. no_proxy or NO_PROXY lists hosts that are asked
// directly, whatever proxy was given: a name stands for itself and the names below it, with or without a leading dot;
// an address (IPv6 without brackets) may have a mask ("10.0.0.0/8"); "*" alone is all hosts. A port in the list matches
// nothing.
std::optional<Proxy> proxy_for(std::string_view url, std::string_view given);

// Whether the list of a no_proxy variable names this host; an IPv6 address comes in brackets.
bool is_without_proxy(std::string_view host, std::string_view list);

}  // namespace orchestra::http
