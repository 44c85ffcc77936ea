// OwnExchange: the exchange without a library: HTTP/1.1 on kept connections, over TLS by OpenSSL, without proxies. It
// costs a fraction of what libcurl costs. It lives on one event loop and belongs to that loop's thread, its making and
// destruction too. Any number of them may live in one process, each on its own loop; they share nothing.
//
// start() and resume() only remember: what follows is done later in the same turn by a timer, when all that the turn
// brought is known. So no idle connection is used that has just been told to be closed.
//
// Destruction cancels every exchange and closes every connection.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "http/own_connection.hpp"
#include "http/own_origin.hpp"
#include "http/resolver.hpp"
#include "http/response_head.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::http {

struct OwnOptions {
  ResolveFunction resolve = resolve_by_system;
  // RFC 8305, section 5: the next address is tried when one has not answered so long.
  runtime::Duration attempt_delay = std::chrono::milliseconds(250);
  // A connection that has idled longer is not used again. The race that it avoids: the server closes while our request
  // is on its way, and nobody can tell whether it was read. Local servers close after 5 s (uvicorn, Node.js and
  // llama.cpp by default), the front ends of vendors after 60 s and more (AWS load balancers 60, nginx 75).
  runtime::Duration idle_limit = std::chrono::seconds(4);
  runtime::Duration idle_limit_tls = std::chrono::seconds(50);
};

class OwnExchange final : public runtime::Exchange, private OwnConnection::Owner {
 public:
  explicit OwnExchange(runtime::EventLoop& loop, HeadLimits limits = {}, OwnOptions options = {});
  ~OwnExchange() override;

  // Whether it can carry requests there: no proxy is set, neither by the origin nor by the environment.
  [[nodiscard]] static bool serves(const runtime::Origin& origin);

  runtime::ExchangeId start(runtime::ExchangeRequest request, runtime::ExchangeSink& sink) override;
  void pause(runtime::ExchangeId id) override;
  void resume(runtime::ExchangeId id) override;
  void cancel(runtime::ExchangeId id) override;
  [[nodiscard]] std::size_t connections() const override { return connections_.size(); }
  [[nodiscard]] std::string_view name() const override { return "own"; }

 private:
  // The search for an address that answers.
  struct Dial {
    Dial(runtime::Loop& loop, std::function<void()> on_delay) : delay(loop, std::move(on_delay)) {}

    Resolver::Ticket ticket = 0;
    std::vector<NetworkAddress> addresses;
    std::size_t next = 0;
    std::vector<OwnConnection*> attempts;
    runtime::Timer delay;
    int fault = 0;  // errno of the attempt that tells most
  };
  // A request in flight.
  struct Call {
    std::uint32_t generation = 0;
    bool is_used = false;
    bool is_paused = false;
    bool told_connected = false;
    runtime::ExchangeId id = 0;
    runtime::ExchangeSink* sink = nullptr;
    runtime::ExchangeRequest request;
    std::shared_ptr<const std::string> head;
    OwnOrigin* origin = nullptr;
    std::unique_ptr<Dial> dial;
    OwnConnection* connection = nullptr;
    std::optional<runtime::End> end;  // not told yet
  };
  struct KnownHead {
    std::weak_ptr<const runtime::RequestHead> head;
    OwnOrigin* origin = nullptr;
    HeadBytes bytes;
  };

  void on_tcp(OwnConnection& connection) override;
  void on_open(OwnConnection& connection) override;
  void on_unreachable(OwnConnection& connection, int fault) override;
  void on_refused(OwnConnection& connection, std::string message) override;
  void on_idle_closed(OwnConnection& connection) override;
  void on_answered(OwnConnection& connection, runtime::End end) override;

  void proceed_later(runtime::ExchangeId id);
  void proceed_all();
  void proceed(runtime::ExchangeId id);
  void begin(Call& call);
  void dial(Call& call);
  void try_addresses(Call& call, const Resolution& resolution);
  void try_next_address(Call& call);
  void leave_dial(Call& call, const OwnConnection* chosen);
  void serve(Call& call, OwnConnection& connection);
  void fail(Call& call, runtime::EndKind kind, std::string message);
  void end(Call& call, runtime::End how);
  [[nodiscard]] bool prepare_tls(Call& call);

  [[nodiscard]] OwnConnection& make_connection(Call& call);
  void discard(OwnConnection& connection);
  [[nodiscard]] OwnConnection* take_idle(OwnOrigin& origin);
  [[nodiscard]] runtime::Duration idle_limit(const OwnOrigin& origin) const;
  void close_aged();

  [[nodiscard]] const KnownHead& known_head(const std::shared_ptr<const runtime::RequestHead>& head);
  [[nodiscard]] OwnOrigin& origin_of(const std::shared_ptr<const runtime::Origin>& origin);
  void forget_origins();
  [[nodiscard]] Call& take_slot();
  [[nodiscard]] Call* find(runtime::ExchangeId id);
  void free_slot(Call& call);

  runtime::EventLoop& loop_;
  const HeadLimits limits_;
  const OwnOptions options_;
  const std::unique_ptr<OwnReceiveBuffer> buffer_;
  Resolver resolver_;
  std::unordered_map<std::string, std::weak_ptr<const TlsContext>> tls_;  // by setting of trust
  std::unordered_map<const runtime::Origin*, std::unique_ptr<OwnOrigin>> origins_;
  std::unordered_map<const runtime::RequestHead*, KnownHead> heads_;
  const KnownHead* last_head_ = nullptr;
  const runtime::RequestHead* last_head_address_ = nullptr;

  std::deque<Call> calls_;  // addresses stay
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::unique_ptr<OwnConnection>> connections_;
  std::vector<std::unique_ptr<OwnConnection>> discarded_;  // closed, perhaps still on the stack
  std::vector<runtime::ExchangeId> to_proceed_;
  std::vector<runtime::ExchangeId> proceeding_;
  bool is_late_ = false;  // this turn began long ago
  runtime::Timer proceed_timer_;
  runtime::Timer age_timer_;
};

}  // namespace orchestra::http
