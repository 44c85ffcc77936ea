// RawClient: a client's end of one TCP connection to a loopback port, for tests that look at the very bytes.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace orchestra::http {

class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool was_reset() const { return was_reset_; }
  [[nodiscard]] bool ended() const { return ended_; }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  // Everything until the text has come (it included), or the connection ends, or ten seconds pass.
  std::string read_until(std::string_view text) {
    while (received_.find(text) == std::string::npos && read_some()) {
    }
    const std::size_t found = received_.find(text);
    const std::size_t size = found == std::string::npos ? received_.size() : found + text.size();
    std::string out = received_.substr(0, size);
    received_.erase(0, size);
    return out;
  }

  std::string read_exactly(std::size_t size) {
    while (received_.size() < size && read_some()) {
    }
    std::string out = received_.substr(0, size);
    received_.erase(0, out.size());
    return out;
  }

  std::string read_to_end() {
    while (read_some()) {
    }
    return std::move(received_);
  }

  // One recv: what has come by now, at least a byte; empty at the end.
  std::string read_piece() {
    read_some();
    return std::exchange(received_, {});
  }

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

 private:
  bool read_some() {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, 10'000) <= 0) return false;
    char bytes[65536];
    const ssize_t size = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (size < 0) was_reset_ = errno == ECONNRESET;
    if (size <= 0) {
      ended_ = true;
      return false;
    }
    received_.append(bytes, static_cast<std::size_t>(size));
    return true;
  }

  int socket_;
  bool connected_ = false;
  bool was_reset_ = false;
  bool ended_ = false;
  std::string received_;
};

}  // namespace orchestra::http
