#include "engine/address.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace orchestra::engine {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_host_char(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c) || c == '.' || c == '-' || c == '_';
}
bool is_address_6_char(char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f') || c == ':' || c == '.'; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || !std::ranges::all_of(text, is_digit)) return false;
  std::uint32_t port = 0;
  for (const char digit : text) port = port * 10 + static_cast<std::uint32_t>(digit - '0');
  return port >= 1 && port <= 65535;
}

// host, host:port or [::1]:port
bool split_authority(std::string_view authority, std::string& host, std::string_view& port) {
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    host = lowered(authority.substr(0, end + 1));
    if (!std::ranges::all_of(authority.substr(1, end - 1), is_address_6_char)) return false;
    authority.remove_prefix(end + 1);
  } else {
    const std::size_t end = std::min(authority.find(':'), authority.size());
    host = lowered(authority.substr(0, end));
    if (host.empty() || !std::ranges::all_of(host, is_host_char)) return false;
    authority.remove_prefix(end);
  }
  if (authority.empty()) return true;
  port = authority.substr(1);
  return authority.front() == ':' && is_port(port);
}

// 127.0.0.0/8, in the usual four numbers
bool is_address_4_loopback(std::string_view host) {
  return host.starts_with("127.") && std::ranges::count(host, '.') == 3 &&
         std::ranges::all_of(host, [](char c) { return is_digit(c) || c == '.'; });
}

chat::Error refuse(std::string_view text) { return chat::make_error(chat::ErrorKind::Config, std::string(text)); }

}  // namespace

Result<Address> read_address(std::string_view base_url) {
  const std::size_t colon = base_url.find("://");
  if (colon == std::string_view::npos) return refuse("is no address such as https://host/v1");
  const std::string scheme = lowered(base_url.substr(0, colon));
  if (scheme != "http" && scheme != "https") return refuse("must begin with http:// or https://");
  const std::string_view rest = base_url.substr(colon + 3);
  const std::size_t slash = std::min(rest.find_first_of("/?#"), rest.size());
  const std::string_view authority = rest.substr(0, slash);
  std::string_view path = rest.substr(slash);
  if (authority.find('@') != std::string_view::npos) return refuse("holds a user name; give the key as api_key");
  if (path.find_first_of("?#") != std::string_view::npos)
    return refuse("must end with the path: no query, no fragment");
  if (!std::ranges::all_of(path, [](char c) { return c > ' ' && c < '\x7f'; })) {
    return refuse("has a path with spaces or characters that need %-escapes");
  }
  std::string host;
  std::string_view port;
  if (!split_authority(authority, host, port)) return refuse("has no valid host or port");
  while (path.ends_with('/')) path.remove_suffix(1);
  Address address;
  address.origin = scheme + "://" + host;
  if (!port.empty()) address.origin.append(":").append(port);
  address.path = std::string(path);
  address.loopback =
      host == "localhost" || host.ends_with(".localhost") || host == "[::1]" || is_address_4_loopback(host);
  return address;
}

bool is_proxy_address(std::string_view text) {
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos) return false;
  constexpr std::array<std::string_view, 6> kSchemes = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
  const std::string scheme = lowered(text.substr(0, colon));
  if (std::ranges::find(kSchemes, scheme) == kSchemes.end()) return false;
  std::string_view authority = text.substr(colon + 3);
  if (authority.ends_with('/')) authority.remove_suffix(1);
  const std::size_t at = authority.rfind('@');
  if (at != std::string_view::npos) authority.remove_prefix(at + 1);
  std::string host;
  std::string_view port;
  return split_authority(authority, host, port) &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace orchestra::engine
