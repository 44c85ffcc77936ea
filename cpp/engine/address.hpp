// Address: a provider's base_url, taken apart. Pure.
#pragma once

#include <string>
#include <string_view>

#include "chat/result.hpp"

namespace orchestra::engine {

struct Address {
  std::string origin;     // "https://host:port", as a runtime::Origin wants it; the port only when one was given
  std::string path;       // "" or "/v1": no slash at the end
  bool loopback = false;  // localhost, 127.0.0.0/8, ::1
};

// Fails with Config and a message without a path. The message never quotes an address that may hold a password.
Result<Address> read_address(std::string_view base_url);

// Whether the text is the address of a proxy: http, https or socks, a host, perhaps a port and credentials.
bool is_proxy_address(std::string_view text);

}  // namespace orchestra::engine
