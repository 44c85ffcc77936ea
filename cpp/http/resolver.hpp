// Resolver: the addresses of a host, found by threads that call getaddrinfo, which may hang for as long as it likes: it
// holds up neither the loop, nor destruction, nor (up to kMostThreads) other names. Addresses written in numbers and
// localhost (RFC 6761, section 6.3) need no thread. Answers are kept for a minute, failures not at all.
//
// Belongs to the loop's thread.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/loop.hpp"

namespace orchestra::http {

// An address of either family, without a port.
class NetworkAddress {
 public:
  explicit NetworkAddress(const in_addr& address);
  explicit NetworkAddress(const in6_addr& address, std::uint32_t scope = 0);

  // "127.0.0.1", "::1"; nothing for what is not written in numbers.
  [[nodiscard]] static std::optional<NetworkAddress> parse(const std::string& text);

  [[nodiscard]] int family() const { return family_; }
  // The size of what was filled in.
  [[nodiscard]] socklen_t fill(sockaddr_storage& into, std::uint16_t port) const;
  [[nodiscard]] std::string text() const;

 private:
  int family_;
  in_addr v4_{};
  in6_addr v6_{};
  std::uint32_t scope_ = 0;
};

struct Resolution {
  std::vector<NetworkAddress> addresses;  // in the order in which they are to be tried
  std::string fault;                      // why there are none
};

// Called on threads of the resolver, several at once.
using ResolveFunction = std::function<Resolution(const std::string& host)>;
Resolution resolve_by_system(const std::string& host);

class Resolver {
 public:
  static constexpr std::size_t kMostThreads = 8;
  static constexpr runtime::Duration kKept = std::chrono::seconds(60);

  using Callback = std::function<void(const Resolution& resolution)>;
  using Ticket = std::uint64_t;  // 0: none

  explicit Resolver(runtime::Loop& loop, ResolveFunction resolve = resolve_by_system);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // What is known without waiting; nullptr: ask. Valid until the next call of anything here.
  [[nodiscard]] const Resolution* known(const std::string& host);
  // Calls back from the loop, never from inside. All who ask for one host share one lookup.
  Ticket ask(const std::string& host, Callback callback);
  // The callback does not come any more.
  void cancel(Ticket ticket);
  // None of its addresses could be reached: the next one to ask gets new ones.
  void forget(const std::string& host) { kept_.erase(host); }

 private:
  struct Shared;
  class Lookup;
  struct Waiter {
    Ticket ticket = 0;
    Callback callback;
  };
  struct Kept {
    Resolution resolution;
    runtime::TimePoint until;
  };

  static void work(const std::shared_ptr<Shared>& shared);
  void finish(Lookup& lookup);

  runtime::Loop& loop_;
  std::shared_ptr<Shared> shared_;  // with the threads, which may outlive this
  std::unordered_map<std::string, Kept> kept_;
  std::unordered_map<std::string, Lookup*> lookups_;  // that run or wait for a thread
  Lookup* finishing_ = nullptr;                       // its callbacks are being called
  Ticket last_ticket_ = 0;
};

}  // namespace orchestra::http
