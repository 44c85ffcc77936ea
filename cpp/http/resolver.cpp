#include "http/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <system_error>
#include <utility>

#include "runtime/thread.hpp"

namespace orchestra::http {

namespace {

// A thread without work waits this long for more before it ends.
constexpr auto kThreadPatience = std::chrono::seconds(10);

bool is_localhost(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  return host == "localhost" || host.ends_with(".localhost");
}

}  // namespace

NetworkAddress::NetworkAddress(const in_addr& address) : family_(AF_INET), v4_(address) {}
NetworkAddress::NetworkAddress(const in6_addr& address, std::uint32_t scope)
    : family_(AF_INET6), v6_(address), scope_(scope) {}

std::optional<NetworkAddress> NetworkAddress::parse(const std::string& text) {
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return NetworkAddress(v4);
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) return NetworkAddress(v6);
  return std::nullopt;
}

socklen_t NetworkAddress::fill(sockaddr_storage& into, std::uint16_t port) const {
  std::memset(&into, 0, sizeof into);
  if (family_ == AF_INET) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr = v4_;
    std::memcpy(&into, &address, sizeof address);
    return sizeof address;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  address.sin6_addr = v6_;
  address.sin6_scope_id = scope_;
  std::memcpy(&into, &address, sizeof address);
  return sizeof address;
}

std::string NetworkAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  inet_ntop(family_, family_ == AF_INET ? static_cast<const void*>(&v4_) : &v6_, buffer, sizeof buffer);
  return buffer;
}

Resolution resolve_by_system(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  Resolution resolution;
  if (const int fault = getaddrinfo(host.c_str(), nullptr, &hints, &list); fault != 0) {
    resolution.fault = fault == EAI_SYSTEM ? std::generic_category().message(errno) : gai_strerror(fault);
    return resolution;
  }
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family == AF_INET) {
      sockaddr_in address{};
      std::memcpy(&address, entry->ai_addr, sizeof address);
      resolution.addresses.emplace_back(address.sin_addr);
    } else if (entry->ai_family == AF_INET6) {
      sockaddr_in6 address{};
      std::memcpy(&address, entry->ai_addr, sizeof address);
      resolution.addresses.emplace_back(address.sin6_addr, address.sin6_scope_id);
    }
  }
  freeaddrinfo(list);
  if (resolution.addresses.empty()) resolution.fault = "the name has no address";
  return resolution;
}

// One name that is being looked up. A thread fills it in; it frees itself on the loop.
class Resolver::Lookup final : public runtime::Work {
 public:
  Lookup(Resolver& resolver, std::string name) : resolver_(&resolver), host(std::move(name)) {}

  void forget_resolver() { resolver_ = nullptr; }
  void run() override {
    if (resolver_ != nullptr) resolver_->finish(*this);
    delete this;
  }
  void drop() override { delete this; }

 private:
  Resolver* resolver_;  // the loop's thread; nullptr: gone

 public:
  const std::string host;
  std::vector<Waiter> waiters;  // the loop's thread
  Resolution resolution;        // the thread's that works on it, then the loop's
};

struct Resolver::Shared {
  explicit Shared(runtime::Loop& resolver_loop, ResolveFunction function)
      : resolve(std::move(function)), loop(&resolver_loop) {}

  const ResolveFunction resolve;

  std::mutex mutex;
  std::condition_variable changed;
  // All guarded by mutex:
  runtime::Loop* loop;  // nullptr: the resolver is gone
  std::deque<Lookup*> queue;
  std::size_t threads = 0;
  std::size_t idle = 0;
};

Resolver::Resolver(runtime::Loop& loop, ResolveFunction resolve)
    : loop_(loop), shared_(std::make_shared<Shared>(loop, std::move(resolve))) {}

Resolver::~Resolver() {
  for (const auto& entry : lookups_) entry.second->forget_resolver();
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
  for (Lookup* lookup : shared_->queue) lookup->drop();
  shared_->queue.clear();
  shared_->changed.notify_all();
}

const Resolution* Resolver::known(const std::string& host) {
  const auto found = kept_.find(host);
  if (found != kept_.end()) {
    if (found->second.until > loop_.now()) return &found->second.resolution;
    kept_.erase(found);
  }
  Resolution resolution;
  if (const auto address = NetworkAddress::parse(host)) {
    resolution.addresses.push_back(*address);
  } else if (is_localhost(host)) {
    resolution.addresses.emplace_back(in6addr_loopback);
    resolution.addresses.emplace_back(in_addr{htonl(INADDR_LOOPBACK)});
  } else {
    return nullptr;
  }
  return &kept_.insert_or_assign(host, Kept{std::move(resolution), runtime::kNever}).first->second.resolution;
}

Resolver::Ticket Resolver::ask(const std::string& host, Callback callback) {
  const Ticket ticket = ++last_ticket_;
  Lookup*& lookup = lookups_[host];
  const bool runs = lookup != nullptr;
  if (!runs) lookup = new Lookup(*this, host);
  lookup->waiters.push_back({ticket, std::move(callback)});
  if (runs) return ticket;
  const std::lock_guard lock(shared_->mutex);
  shared_->queue.push_back(lookup);
  if (shared_->queue.size() <= shared_->idle || shared_->threads == kMostThreads) {
    shared_->changed.notify_one();
    return ticket;
  }
  try {
    runtime::start_thread("orchestra-dns", [shared = shared_] { work(shared); }).detach();
    ++shared_->threads;
  } catch (const std::system_error& fault) {
    if (shared_->threads > 0) return ticket;  // it waits for one of these
    shared_->queue.pop_back();
    lookup->resolution.fault = std::string("no thread can be started: ") + fault.code().message();
    loop_.post(*lookup);
  }
  return ticket;
}

void Resolver::cancel(Ticket ticket) {
  // The lookup itself goes on: its answer is kept for the next one.
  const auto leave = [&](Lookup& lookup) {
    for (Waiter& waiter : lookup.waiters) {
      if (waiter.ticket == ticket) waiter.callback = nullptr;
    }
  };
  for (const auto& entry : lookups_) leave(*entry.second);
  if (finishing_ != nullptr) leave(*finishing_);
}

void Resolver::work(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  while (shared->loop != nullptr) {
    if (shared->queue.empty()) {
      ++shared->idle;
      const bool more = shared->changed.wait_for(lock, kThreadPatience,
                                                 [&] { return !shared->queue.empty() || shared->loop == nullptr; });
      --shared->idle;
      if (!more) break;
      continue;
    }
    Lookup* lookup = shared->queue.front();
    shared->queue.pop_front();
    lock.unlock();
    lookup->resolution = shared->resolve(lookup->host);
    lock.lock();
    if (shared->loop == nullptr) {
      lookup->drop();
    } else {
      shared->loop->post(*lookup);
    }
  }
  --shared->threads;
}

void Resolver::finish(Lookup& lookup) {
  lookups_.erase(lookup.host);
  if (!lookup.resolution.addresses.empty()) {
    if (kept_.size() >= 1024) kept_.clear();
    kept_.insert_or_assign(lookup.host, Kept{lookup.resolution, loop_.now() + kKept});
  }
  finishing_ = &lookup;  // a callback may cancel another's
  for (Waiter& waiter : lookup.waiters) {
    if (const Callback callback = std::exchange(waiter.callback, nullptr)) callback(lookup.resolution);
  }
  finishing_ = nullptr;
}

}  // namespace orchestra::http
