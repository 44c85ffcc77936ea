// RawServer: a TCP server on a free loopback port that sends exactly the bytes it is told to, so that a test decides
// about every segment, close and reset. One thread a connection, which runs the test's handler.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "runtime/thread.hpp"

namespace orchestra::http {

class RawServer {
 public:
  class Connection {
   public:
    explicit Connection(int fd) : fd_(fd) {
      const int on = 1;
      setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }

    // A whole request with the body that its Content-Length announces; "" when the client closes before.
    std::string read_request() {
      while (true) {
        if (const std::size_t size = request_size(); size != 0) {
          std::string request = received_.substr(0, size);
          received_.erase(0, size);
          return request;
        }
        if (!receive()) return "";
      }
    }
    // False when the client is gone.
    bool send(std::string_view bytes) const {
      while (!bytes.empty()) {
        const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      }
      return true;
    }
    // Sends while the client takes it at once; the bytes sent.
    [[nodiscard]] std::size_t send_what_fits(std::string_view bytes, int patience_milliseconds) const {
      std::size_t total = 0;
      while (!bytes.empty()) {
        pollfd entry{.fd = fd_, .events = POLLOUT, .revents = 0};
        if (poll(&entry, 1, patience_milliseconds) != 1) break;
        const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0) break;
        total += static_cast<std::size_t>(sent);
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      }
      return total;
    }
    // Until the client closes; false when it has not within ten seconds.
    bool wait_for_close() {
      while (receive()) received_.clear();
      return gone_;
    }
    // The close that follows becomes a reset.
    void reset_on_close() const {
      const linger now{.l_onoff = 1, .l_linger = 0};
      setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    // Bytes lie in the socket that read_request() has not taken.
    [[nodiscard]] bool wait_for_bytes() const {
      pollfd entry{.fd = fd_, .events = POLLIN, .revents = 0};
      return poll(&entry, 1, kPatienceMilliseconds) == 1;
    }
    [[nodiscard]] int fd() const { return fd_; }

   private:
    static constexpr int kPatienceMilliseconds = 10'000;

    bool receive() {
      char buffer[16384];
      if (!wait_for_bytes()) return false;
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
      gone_ = got <= 0;
      if (gone_) return false;
      received_.append(buffer, static_cast<std::size_t>(got));
      return true;
    }
    [[nodiscard]] std::size_t request_size() const {
      const std::size_t head = received_.find("\r\n\r\n");
      if (head == std::string::npos) return 0;
      const std::size_t length = received_.find("Content-Length: ");
      const std::size_t body = length < head ? std::strtoul(received_.c_str() + length + 16, nullptr, 10) : 0;
      return received_.size() >= head + 4 + body ? head + 4 + body : 0;
    }

    int fd_;
    bool gone_ = false;
    std::string received_;
  };
  using Handler = std::function<void(Connection& connection)>;

  explicit RawServer(Handler handler) : handler_(std::move(handler)), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 1024) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~RawServer() {
    stopping_ = true;
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    close(listener_);
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url(std::string_view scheme = "http") const {
    return std::string(scheme) + "://127.0.0.1:" + std::to_string(port_);
  }
  [[nodiscard]] std::size_t connections_seen() const { return seen_; }

 private:
  void accept_all() {
    while (!stopping_) {
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) continue;
      ++seen_;
      const std::lock_guard lock(mutex_);
      open_.push_back(fd);
      // Deaf to SIGPIPE, which a TLS library raises when the client is gone.
      threads_.push_back(runtime::start_thread("raw-server", [this, fd] {
        Connection connection(fd);
        handler_(connection);
        const std::lock_guard closing(mutex_);
        std::erase(open_, fd);
        close(fd);
      }));
    }
  }

  Handler handler_;
  int listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::size_t> seen_ = 0;
  std::mutex mutex_;
  std::vector<int> open_;             // guarded by mutex_
  std::vector<std::thread> threads_;  // the acceptor's, until it is joined
  std::thread acceptor_;
};

}  // namespace orchestra::http
