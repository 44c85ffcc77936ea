#include "http/curl_exchange.hpp"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include "http/curl_origin.hpp"
#include "http/curl_transfer.hpp"

namespace orchestra::http {

using runtime::EndKind;
using runtime::ExchangeId;
using runtime::Readiness;

namespace {

// Connections that a shard keeps, busy and idle: above any number of requests in flight that was measured, so that none
// is closed only to be opened again.
constexpr long kConnectionsPerShard = 1024;
// Easy handles that an origin keeps for reuse.
constexpr std::size_t kIdleTransfers = 256;

void start_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_ALL); });
}

}  // namespace

struct CurlExchange::Buffer {
  ReceiveBuffer bytes;
};

// One multi of libcurl, with connections of its own.
struct CurlExchange::Shard {
  explicit Shard(CurlExchange& owner)
      : exchange(owner),
        multi(curl_multi_init()),
        timer(owner.loop_, [this] { exchange.act(*this, CURL_SOCKET_TIMEOUT, 0); }) {}
  ~Shard() { curl_multi_cleanup(multi); }
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  CurlExchange& exchange;
  CURLM* multi;
  runtime::Timer timer;
};

class CurlExchange::InsideCurl {
 public:
  explicit InsideCurl(CurlExchange& exchange) : exchange_(exchange) { exchange_.inside_curl_ = true; }
  ~InsideCurl() { exchange_.inside_curl_ = false; }
  InsideCurl(const InsideCurl&) = delete;
  InsideCurl& operator=(const InsideCurl&) = delete;

 private:
  CurlExchange& exchange_;
};

struct CurlExchange::Callbacks {
  static int on_socket(CURL*, curl_socket_t fd, int what, void* shard_pointer, void*) {
    auto& shard = *static_cast<Shard*>(shard_pointer);
    CurlExchange& exchange = shard.exchange;
    Socket& socket = exchange.socket(fd);
    socket.shard = &shard;
    socket.wanted = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) socket.wanted |= runtime::kReadable;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) socket.wanted |= runtime::kWritable;
    if (socket.wanted != 0) {
      if (socket.wanted != socket.watched) exchange.loop_.watch(fd, socket.wanted, exchange);
      socket.watched = socket.wanted;
    } else if (!socket.counted) {
      // libcurl's own (the end of a name lookup), which it closes without a word.
      exchange.loop_.unwatch(fd);
      socket = Socket{};
    }
    // A connection that is not wanted now will be by the next request: it stays watched until something comes that
    // nobody wants. Watching anew each time costs 14 % of a request.
    return 0;
  }

  static int on_timeout(CURLM*, long milliseconds, void* shard_pointer) {
    auto& shard = *static_cast<Shard*>(shard_pointer);
    if (milliseconds < 0) {
      shard.timer.cancel();
    } else {
      shard.timer.set(shard.exchange.loop_.now() + std::chrono::milliseconds(milliseconds));
    }
    return 0;
  }

  static curl_socket_t on_open(void* transfer_pointer, curlsocktype, curl_sockaddr* address) {
    auto& transfer = *static_cast<CurlTransfer*>(transfer_pointer);
    // libcurl is about to repeat a request (see CurlTransfer::on_ready_to_send): not even a connection for that.
    if (transfer.is_sent()) return CURL_SOCKET_BAD;
    const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
      transfer.note_socket_fault(errno);
      return CURL_SOCKET_BAD;
    }
    CurlExchange& exchange = transfer.exchange();
    Socket& socket = exchange.socket(fd);
    // libcurl 7.88 closes a socket that was still connecting without on_close: its number comes back here.
    if (socket.watched != 0) exchange.loop_.unwatch(fd);
    if (!socket.counted) ++exchange.open_sockets_;
    socket = Socket{.counted = true};
    return fd;
  }

  static int on_close(void* exchange_pointer, curl_socket_t fd) {
    auto& exchange = *static_cast<CurlExchange*>(exchange_pointer);
    Socket& socket = exchange.socket(fd);
    if (socket.watched != 0) exchange.loop_.unwatch(fd);
    if (socket.counted) --exchange.open_sockets_;
    socket = Socket{};
    ::shutdown(fd, SHUT_RDWR);  // a forked child may hold it too
    return ::close(fd);
  }
};

CurlExchange::CurlExchange(runtime::EventLoop& loop, HeadLimits limits)
    : loop_(loop),
      limits_(limits),
      buffer_(std::make_unique_for_overwrite<Buffer>()),
      shards_(kShards),
      proceed_timer_(loop, [this] {
        for (const ExchangeId id : std::exchange(to_proceed_, {})) proceed(id);
      }) {}

CurlExchange::~CurlExchange() {
  for (Slot& slot : slots_) {
    if (slot.transfer == nullptr) continue;
    slot.transfer->forget_sink();
    detach(*slot.transfer);
  }
  slots_.clear();
  origins_.clear();
  shards_.clear();  // closes the connections
}

// Each multi holds files and memory, so one is made when the first request needs it.
CurlExchange::Shard& CurlExchange::shard(std::size_t number) {
  std::unique_ptr<Shard>& shard = shards_[number];
  if (shard != nullptr) return *shard;
  shard = std::make_unique<Shard>(*this);
  curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, &Callbacks::on_socket);
  curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard.get());
  curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, &Callbacks::on_timeout);
  curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard.get());
  curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, kConnectionsPerShard);
  curl_multi_setopt(shard->multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  return *shard;
}

CurlExchange::Socket& CurlExchange::socket(int fd) {
  const auto place = static_cast<std::size_t>(fd);
  if (place >= sockets_.size()) sockets_.resize(place + 1);
  return sockets_[place];
}

CurlOrigin& CurlExchange::origin_of(const std::shared_ptr<const runtime::Origin>& origin) {
  if (const auto found = origins_.find(origin.get()); found != origins_.end()) return *found->second;
  std::erase_if(origins_, [](const auto& entry) { return entry.second->is_forgotten(); });
  return *origins_.emplace(origin.get(), std::make_unique<CurlOrigin>(origin)).first->second;
}

// An id is the place of its slot and how often that was used, so that the id of an exchange that has ended names none.
ExchangeId CurlExchange::place(std::unique_ptr<CurlTransfer> transfer) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  slots_[index].transfer = std::move(transfer);
  return (static_cast<ExchangeId>(slots_[index].generation) << 32) | (index + 1);
}

CurlTransfer* CurlExchange::find(ExchangeId id) const {
  const std::size_t index = static_cast<std::uint32_t>(id) - std::size_t{1};
  if (index >= slots_.size() || slots_[index].generation != id >> 32) return nullptr;
  return slots_[index].transfer.get();
}

std::unique_ptr<CurlTransfer> CurlExchange::take(ExchangeId id) {
  if (find(id) == nullptr) return nullptr;
  const std::uint32_t index = static_cast<std::uint32_t>(id) - 1;
  ++slots_[index].generation;
  free_slots_.push_back(index);
  return std::move(slots_[index].transfer);
}

ExchangeId CurlExchange::start(runtime::ExchangeRequest request, runtime::ExchangeSink& sink) {
  CurlOrigin& origin = origin_of(request.head->origin);
  std::unique_ptr<CurlTransfer> owned;
  if (origin.idle.empty()) {
    start_curl_once();
    owned = std::make_unique<CurlTransfer>(*this, origin, buffer_->bytes);
    curl_easy_setopt(owned->easy(), CURLOPT_OPENSOCKETFUNCTION, &Callbacks::on_open);
    curl_easy_setopt(owned->easy(), CURLOPT_OPENSOCKETDATA, owned.get());
    curl_easy_setopt(owned->easy(), CURLOPT_CLOSESOCKETFUNCTION, &Callbacks::on_close);
    curl_easy_setopt(owned->easy(), CURLOPT_CLOSESOCKETDATA, this);  // connections outlive the transfer that opens them
  } else {
    owned = std::move(origin.idle.back());
    origin.idle.pop_back();
  }
  CurlTransfer& transfer = *owned;
  transfer.shard = origin.enter_shard();
  const ExchangeId id = place(std::move(owned));
  if (auto fault = transfer.begin(id, std::move(request), sink, limits_)) {
    transfer.finish(fault->kind, std::move(fault->message));
    proceed_later(id);
  } else if (inside_curl_) {
    to_add_.push_back(id);
  } else {
    add(transfer);
  }
  return id;
}

void CurlExchange::add(CurlTransfer& transfer) {
  transfer.in_multi = curl_multi_add_handle(shard(transfer.shard).multi, transfer.easy()) == CURLM_OK;
  if (transfer.in_multi) return;
  transfer.finish(EndKind::NotConnected, "out of memory");
  proceed_later(transfer.id());
}

// Of a transfer that has not finished this closes its connection, so that the server sees that nobody listens any more.
void CurlExchange::detach(CurlTransfer& transfer) {
  if (!std::exchange(transfer.in_multi, false)) return;
  curl_multi_remove_handle(shard(transfer.shard).multi, transfer.easy());
}

void CurlExchange::pause(ExchangeId id) {
  if (CurlTransfer* transfer = find(id)) transfer->pause();
}

void CurlExchange::resume(ExchangeId id) {
  CurlTransfer* transfer = find(id);
  if (transfer == nullptr || !transfer->is_paused()) return;
  transfer->resume();
  proceed_later(id);
}

void CurlExchange::cancel(ExchangeId id) {
  std::unique_ptr<CurlTransfer> transfer = take(id);
  if (transfer == nullptr) return;
  transfer->forget_sink();
  if (inside_curl_) {
    to_detach_.push_back(std::move(transfer));
    return;
  }
  detach(*transfer);
  recycle(std::move(transfer));
}

void CurlExchange::on_ready(int fd, Readiness ready) {
  Socket& known = socket(fd);
  if (known.wanted == 0 || known.shard == nullptr) {
    // Closed by the server while idle, or bytes for a paused exchange. libcurl will find out when it looks.
    loop_.unwatch(fd);
    known.watched = 0;
    return;
  }
  int events = 0;
  if ((ready & runtime::kReadable) != 0) events |= CURL_CSELECT_IN;
  if ((ready & runtime::kWritable) != 0) events |= CURL_CSELECT_OUT;
  if ((ready & runtime::kBroken) != 0) events |= CURL_CSELECT_ERR;
  act(*known.shard, fd, events);
}

void CurlExchange::act(Shard& shard, int fd, int events) {
  {
    const InsideCurl inside(*this);
    int running = 0;
    curl_multi_socket_action(shard.multi, fd, events, &running);
  }
  settle();
  reap(shard);
}

// Does what sinks asked for while libcurl ran.
void CurlExchange::settle() {
  for (auto& transfer : std::exchange(to_detach_, {})) {
    detach(*transfer);
    recycle(std::move(transfer));
  }
  for (const ExchangeId id : std::exchange(to_add_, {})) {
    if (CurlTransfer* transfer = find(id)) add(*transfer);
  }
}

void CurlExchange::reap(Shard& shard) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(shard.multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;
    CurlTransfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    transfer->finish(result);
    detach(*transfer);
    proceed(transfer->id());
  }
}

// Gives a sink what was held back, unless it is paused: the head, then the bytes that libcurl kept, then the end.
void CurlExchange::proceed(ExchangeId id) {
  CurlTransfer* transfer = find(id);
  if (transfer == nullptr || transfer->is_paused()) return;
  transfer->give_held_head();
  if (find(id) != transfer || transfer->is_paused()) return;
  transfer->give_held_bytes();
  if (find(id) != transfer || transfer->is_paused()) return;
  if (transfer->has_broken_content() && !transfer->has_ended()) {
    transfer->finish(CURLE_WRITE_ERROR);
    detach(*transfer);
  }
  if (transfer->has_ended()) {
    end(id);
  } else if (transfer->take_stopped()) {
    Shard& own = shard(transfer->shard);
    {
      const InsideCurl inside(*this);
      curl_easy_pause(transfer->easy(), CURLPAUSE_CONT);
    }
    settle();
    reap(own);
  }
}

void CurlExchange::proceed_later(ExchangeId id) {
  to_proceed_.push_back(id);
  proceed_timer_.set(loop_.now());
}

void CurlExchange::end(ExchangeId id) {
  std::unique_ptr<CurlTransfer> transfer = take(id);
  runtime::ExchangeSink& sink = *transfer->sink();
  runtime::End how = transfer->take_end();
  recycle(std::move(transfer));
  sink.on_end(std::move(how));
}

void CurlExchange::recycle(std::unique_ptr<CurlTransfer> transfer) {
  CurlOrigin& origin = transfer->origin();
  origin.leave_shard(transfer->shard);
  transfer->clear();
  if (origin.idle.size() < kIdleTransfers && transfer->easy() != nullptr) origin.idle.push_back(std::move(transfer));
}

std::string curl_version_text() {
  const curl_version_info_data* info = curl_version_info(CURLVERSION_NOW);
  std::string text = info->version;
  if (info->ssl_version != nullptr) text += std::string(" (") + info->ssl_version + ")";
  return text;
}

}  // namespace orchestra::http
