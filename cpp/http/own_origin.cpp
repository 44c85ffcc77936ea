#include "http/own_origin.hpp"

#include <algorithm>
#include <utility>

namespace orchestra::http {

namespace {

constexpr std::string_view kMalformedUrl = "the URL is malformed";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool same_name(std::string_view name, std::string_view lower_name) {
  return std::equal(name.begin(), name.end(), lower_name.begin(), lower_name.end(),
                    [](char a, char b) { return lower(a) == b; });
}

// RFC 9110, section 5.6.2.
bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

bool has_line_break(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

bool is_visible(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
}

// A name, or an IPv4 address.
bool is_host(std::string_view text) {
  return !text.empty() && text.size() < 256 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '.' || c == '_';
  });
}

bool is_ipv6(std::string_view text) {
  return text.size() >= 2 && std::all_of(text.begin(), text.end(), [](char c) {
           return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f') || c == ':' || c == '.';
         });
}

std::optional<std::uint16_t> read_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  unsigned port = 0;
  for (const char c : text) port = port * 10 + static_cast<unsigned>(c - '0');
  if (port == 0 || port > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

}  // namespace

std::optional<OriginAddress> OriginAddress::read(std::string_view url) {
  OriginAddress address;
  if (url.starts_with("https://")) {
    address.tls = true;
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  const std::uint16_t usual = address.tls ? 443 : 80;
  const bool bracketed = url.starts_with('[');
  const std::size_t host_end = bracketed ? url.find(']') : std::min(url.find(':'), url.size());
  if (host_end == std::string_view::npos) return std::nullopt;
  const std::string_view host = bracketed ? url.substr(1, host_end - 1) : url.substr(0, host_end);
  if (!(bracketed ? is_ipv6(host) : is_host(host))) return std::nullopt;
  url.remove_prefix(bracketed ? host_end + 1 : host_end);
  address.port = usual;
  if (!url.empty()) {
    const auto port = url.front() == ':' ? read_port(url.substr(1)) : std::nullopt;
    if (!port) return std::nullopt;
    address.port = *port;
  }
  address.host = host;
  std::transform(address.host.begin(), address.host.end(), address.host.begin(), lower);
  address.authority = bracketed ? "[" + address.host + "]" : address.host;
  if (address.port != usual) address.authority += ":" + std::to_string(address.port);
  return address;
}

HeadBytes write_head(const OriginAddress& address, const runtime::RequestHead& head) {
  const std::string_view target = std::string_view(head.target).substr(0, head.target.find('#'));
  if (!target.starts_with('/') || !is_visible(target)) return {nullptr, kMalformedUrl};
  bool has_host = false;
  bool has_accept = false;
  std::size_t size = target.size() + address.authority.size() + 64;
  for (const auto& [name, value] : head.headers) {
    if (has_line_break(name) || has_line_break(value)) return {nullptr, "a header holds a line break"};
    if (!is_token(name)) return {nullptr, "a header's name holds a character that is not allowed"};
    if (!is_value(value)) return {nullptr, "a header holds a control character"};
    // They say where a request ends, which is decided here.
    if (same_name(name, "content-length") || same_name(name, "transfer-encoding") || same_name(name, "expect")) {
      return {nullptr,
              "a header is given (Content-Length, Transfer-Encoding or Expect) that is not the caller's to set"};
    }
    has_host = has_host || same_name(name, "host");
    has_accept = has_accept || same_name(name, "accept");
    size += name.size() + value.size() + 4;
  }
  std::string bytes;
  bytes.reserve(size);
  bytes.append("POST ").append(target).append(" HTTP/1.1\r\n");
  if (!has_host) bytes.append("Host: ").append(address.authority).append("\r\n");
  if (!has_accept) bytes.append("Accept: */*\r\n");
  for (const auto& [name, value] : head.headers) {
    bytes.append(name).append(value.empty() ? ":" : ": ").append(value).append("\r\n");
  }
  bytes.append("Content-Length: ");
  return {std::make_shared<const std::string>(std::move(bytes)), {}};
}

OwnOrigin::OwnOrigin(std::shared_ptr<const runtime::Origin> origin)
    : origin_(std::move(origin)), address_(OriginAddress::read(origin_->url)) {}

}  // namespace orchestra::http
