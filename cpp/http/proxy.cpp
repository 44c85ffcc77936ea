#include "http/proxy.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

namespace orchestra::http {

namespace {

constexpr std::uint16_t kDefaultPort = 1080;  // libcurl's, of every scheme but https
constexpr std::uint16_t kDefaultTlsPort = 443;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// A URL taken apart as libcurl does it; of what follows the host nothing is kept.
struct Url {
  std::string scheme;
  std::string user, password;
  std::string host;  // an IPv6 address in brackets
  std::string port;
};

bool is_blank_or_control(char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }

// Empty when it holds a control character, or a percent sign without its digits stays as it is.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* const digits = text.data() + i + 1;
    const bool escaped =
        text[i] == '%' && i + 2 < text.size() && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2;
    out += escaped ? static_cast<char>(byte) : text[i];
    if (static_cast<unsigned char>(out.back()) < 0x20) return {};
    if (escaped) i += 2;
  }
  return out;
}

// Nothing: no URL.
std::optional<Url> parse(std::string_view text, std::string_view scheme_when_there_is_none = "") {
  if (std::ranges::any_of(text, is_blank_or_control)) return std::nullopt;
  Url url;
  if (const std::size_t at = text.find("://"); at != std::string_view::npos && at > 0) {
    url.scheme = text.substr(0, at);
    text.remove_prefix(at + 3);
  } else {
    url.scheme = scheme_when_there_is_none;
  }
  std::ranges::transform(url.scheme, url.scheme.begin(), lower);
  const bool is_scheme = !url.scheme.empty() && std::ranges::all_of(url.scheme, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  });
  if (!is_scheme) return std::nullopt;
  std::string_view authority = text.substr(0, text.find_first_of("/?#"));
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = authority.substr(0, at);
    const std::size_t colon = std::min(login.find(':'), login.size());
    url.user = percent_decoded(login.substr(0, colon));
    if (colon < login.size()) url.password = percent_decoded(login.substr(colon + 1));
    authority.remove_prefix(at + 1);
  }
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : std::string_view::npos;
  if (authority.starts_with('[') && bracket == std::string_view::npos) return std::nullopt;
  const std::size_t end = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  url.host = authority.substr(0, end);
  if (end != std::string_view::npos) url.port = authority.substr(end + 1);
  constexpr std::string_view kNoHost = "!{}\\$'\"^`*<>=;,+&()";
  const bool is_port = std::ranges::all_of(url.port, [](char c) { return c >= '0' && c <= '9'; });
  // "127.1" and the other old ways to write an address in numbers.
  if (in_addr number{}; !url.host.empty() && url.host.front() >= '0' && url.host.front() <= '9' &&
                        inet_aton(url.host.c_str(), &number) != 0) {
    std::array<char, INET_ADDRSTRLEN> usual{};
    url.host = inet_ntop(AF_INET, &number, usual.data(), usual.size());
  }
  if (url.host.empty() || !is_port || url.host.find_first_of(kNoHost) != std::string::npos) return std::nullopt;
  return url;
}

bool same_text(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

struct Variable {
  std::string name;
  std::string value;
};

// The first of them that is set and not empty.
std::optional<Variable> variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return Variable{name, value};
  }
  return std::nullopt;
}

std::optional<Variable> proxy_variable(std::string_view scheme) {
  return scheme == "https" ? variable({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
                           : variable({"http_proxy", "all_proxy", "ALL_PROXY"});
}

Proxy read_proxy(std::string address, std::string source) {
  Proxy proxy{.address = std::move(address), .source = std::move(source)};
  const std::optional<Url> url = parse(proxy.address, "http");
  if (!url) return proxy;
  proxy.scheme = url->scheme == "socks" ? "socks4" : url->scheme;
  proxy.host = url->host;
  proxy.user = url->user;
  proxy.password = url->password;
  const std::string& port = url->port;
  proxy.port = proxy.scheme == "https" ? kDefaultTlsPort : kDefaultPort;
  std::from_chars(port.data(), port.data() + port.size(), proxy.port);
  return proxy;
}

template <std::size_t kBytes>
std::optional<std::array<unsigned char, kBytes>> address_of(std::string_view text) {
  std::array<unsigned char, kBytes> bytes{};
  const int family = kBytes == 4 ? AF_INET : AF_INET6;
  return inet_pton(family, std::string(text).c_str(), bytes.data()) == 1 ? std::optional(bytes) : std::nullopt;
}

// "192.0.2.0/24"; without a mask, or with one of 0 bits, the address alone.
template <std::size_t kBytes>
bool is_in_network(const std::array<unsigned char, kBytes>& address, std::string_view entry) {
  const std::size_t slash = std::min(entry.find('/'), entry.size());
  const auto network = address_of<kBytes>(entry.substr(0, slash));
  if (!network) return false;
  long bits = slash < entry.size() ? std::strtol(std::string(entry.substr(slash + 1)).c_str(), nullptr, 10) : 0;
  constexpr long kAll = kBytes * 8;
  if (bits < 0 || bits > kAll) return false;
  if (bits == 0) bits = kAll;
  for (std::size_t i = 0; i < kBytes && bits > 0; ++i) {
    const long here = std::min(bits, 8L);
    const int mask = (0xFF00 >> here) & 0xFF;
    if (((address[i] ^ (*network)[i]) & mask) != 0) return false;
    bits -= here;
  }
  return true;
}

bool is_below(std::string_view host, std::string_view entry) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (entry.ends_with('.')) entry.remove_suffix(1);
  if (entry.starts_with('.')) entry.remove_prefix(1);
  if (host.size() == entry.size()) return same_text(host, entry);
  if (host.size() < entry.size()) return false;
  const std::size_t place = host.size() - entry.size();
  return host[place - 1] == '.' && same_text(host.substr(place), entry);
}

}  // namespace

std::string Proxy::shown() const {
  if (host.empty()) return "an address that cannot be read";
  return scheme + "://" + host + ":" + std::to_string(port);
}

bool is_without_proxy(std::string_view host, std::string_view list) {
  if (host.empty()) return false;
  if (list == "*") return true;
  const auto v4 = address_of<4>(host);
  std::optional<std::array<unsigned char, 16>> v6;
  if (host.starts_with('[') && host.ends_with(']')) {
    v6 = address_of<16>(host.substr(1, host.size() - 2));
  }
  constexpr std::string_view kBlanks = " \t";
  while (!list.empty()) {
    list.remove_prefix(std::min(list.find_first_not_of(kBlanks), list.size()));
    const std::string_view entry = list.substr(0, std::min(list.find_first_of(" \t,"), list.size()));
    list.remove_prefix(entry.size());
    if (!entry.empty()) {
      const bool listed = v4 ? is_in_network(*v4, entry) : v6 ? is_in_network(*v6, entry) : is_below(host, entry);
      if (listed) return true;
    }
    list.remove_prefix(std::min(list.find_first_not_of(kBlanks), list.size()));
    list.remove_prefix(std::min(list.find_first_not_of(','), list.size()));
  }
  return false;
}

std::optional<Proxy> proxy_for(std::string_view url, std::string_view given) {
  if (given == "-") return std::nullopt;
  const std::optional<Url> parsed = parse(url);
  if (!parsed) return Proxy{.address = std::string(given), .source = "proxy"};
  const std::optional<Variable> list = variable({"no_proxy", "NO_PROXY"});
  if (list && is_without_proxy(parsed->host, list->value)) return std::nullopt;
  if (!given.empty()) return read_proxy(std::string(given), "proxy");
  std::optional<Variable> found = proxy_variable(parsed->scheme);
  if (!found) return std::nullopt;
  return read_proxy(std::move(found->value), std::move(found->name));
}

}  // namespace orchestra::http
