#include "http/proxy.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <utility>

namespace orchestra::http {

namespace {

constexpr std::uint16_t kDefaultPort = 1080;  // libcurl's, of every scheme but https
constexpr std::uint16_t kDefaultTlsPort = 443;

using Url = std::unique_ptr<CURLU, void (*)(CURLU*)>;

// nullptr: no URL.
Url parse(std::string_view text, unsigned flags) {
  Url url(curl_url(), curl_url_cleanup);
  const std::string copy(text);
  const bool fine = url != nullptr && copy.find('\0') == std::string::npos &&
                    curl_url_set(url.get(), CURLUPART_URL, copy.c_str(), flags) == CURLUE_OK;
  return fine ? std::move(url) : Url(nullptr, curl_url_cleanup);
}

std::string part(const Url& url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, void (*)(void*)> owned(text, curl_free);
  return text;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

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
  const Url url = parse(proxy.address, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME);
  if (url == nullptr) return proxy;
  proxy.scheme = part(url, CURLUPART_SCHEME);
  if (proxy.scheme == "socks") proxy.scheme = "socks4";
  proxy.host = part(url, CURLUPART_HOST);
  proxy.user = part(url, CURLUPART_USER, CURLU_URLDECODE);
  proxy.password = part(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
  const std::string port = part(url, CURLUPART_PORT);
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
  const Url parsed = parse(url, 0);
  if (parsed == nullptr) return Proxy{.address = std::string(given), .source = "proxy"};
  const std::optional<Variable> list = variable({"no_proxy", "NO_PROXY"});
  if (list && is_without_proxy(part(parsed, CURLUPART_HOST), list->value)) return std::nullopt;
  if (!given.empty()) return read_proxy(std::string(given), "proxy");
  std::optional<Variable> found = proxy_variable(part(parsed, CURLUPART_SCHEME));
  if (!found) return std::nullopt;
  return read_proxy(std::move(found->value), std::move(found->name));
}

}  // namespace orchestra::http
