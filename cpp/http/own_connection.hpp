// OwnConnection: one socket from its connect to its close, and the exchange that runs on it. Owned by OwnExchange,
// which is told what happens by the Owner interface; a closed one must stay until no call of it is on the stack.
//
// Edge-triggered: what has come is remembered (may_read_) until a read has found nothing more. All connections read
// into the same ReceiveBuffer. The loop's thread alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/content_decoder.hpp"
#include "http/resolver.hpp"
#include "http/response_parser.hpp"
#include "http/tls_context.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::http {

class OwnOrigin;

// Memory for one read, shared by all connections of a loop since only one is ever read.
struct OwnReceiveBuffer {
  static constexpr std::size_t kSize = std::size_t{64} << 10;
  std::array<char, kSize + runtime::kReadableBehind> plain;
  std::vector<char> encrypted;  // kSize, once there is a TLS connection
};

class OwnConnection final : private runtime::Watcher, private ResponseEvents {
 public:
  class Owner {
   public:
    // TCP stands: send() or secure().
    virtual void on_tcp(OwnConnection& connection) = 0;
    // The handshake is done: send().
    virtual void on_open(OwnConnection& connection) = 0;
    // No connection: closed, with errno.
    virtual void on_unreachable(OwnConnection& connection, int fault) = 0;
    // The handshake failed: closed.
    virtual void on_refused(OwnConnection& connection, std::string message) = 0;
    // It was idle, and is closed.
    virtual void on_idle_closed(OwnConnection& connection) = 0;
    // The exchange is over; the connection is idle or closed.
    virtual void on_answered(OwnConnection& connection, runtime::End end) = 0;

   protected:
    ~Owner() = default;
  };

  OwnConnection(runtime::EventLoop& loop, OwnOrigin& origin, Owner& owner, OwnReceiveBuffer& buffer, HeadLimits limits);
  ~OwnConnection() override;
  OwnConnection(const OwnConnection&) = delete;
  OwnConnection& operator=(const OwnConnection&) = delete;

  // Begins to connect; errno when it cannot. on_tcp() or on_unreachable() follows, from the loop.
  [[nodiscard]] int connect(const NetworkAddress& address, std::uint16_t port);
  // Begins the handshake; on_open() or on_refused() follows, perhaps from inside.
  void secure(const TlsContext& context, TlsSession& session, const std::string& host);
  // REQUIRES: on_tcp() of one without TLS, on_open(), or idle. Sends, and gives the sink the answer, perhaps from
  // inside. False: it was dead before any of the request was sent, and is closed. Head and body must stay until it is
  // over.
  [[nodiscard]] bool send(std::string_view head, std::string_view body, runtime::ExchangeSink& sink, bool is_paused);
  // The sink is told nothing more until go_on(), which calls it.
  void pause();
  void go_on();
  // Tells nobody.
  void close();

  [[nodiscard]] bool is_closed() const { return fd_ < 0; }
  // REQUIRES: idle. Looks whether the other side has closed it, or sent what nobody asked for.
  [[nodiscard]] bool is_dead();
  // For the owner.
  [[nodiscard]] OwnOrigin& origin() const { return origin_; }
  std::size_t place = 0;             // in its owner's list
  runtime::ExchangeId exchange = 0;  // that runs on it, or for which it is made
  runtime::TimePoint idle_since;

 private:
  enum class State : std::uint8_t { New, Connecting, Handshaking, Idle, Busy, Closed };

  void on_ready(int fd, runtime::Readiness ready) override;
  void finish_connect(runtime::Readiness ready);
  void shake_hands();
  void look_while_idle();
  void on_head(runtime::AnswerHead head) override;
  void on_body(std::span<char> bytes) override;

  [[nodiscard]] bool is_sending() const { return sent_ < to_send_; }
  [[nodiscard]] std::span<const char> next_to_send();
  void send_more();
  [[nodiscard]] ssize_t receive(std::span<char> into);
  void read();
  void read_plain();
  void read_encrypted();
  void decrypt();
  void hold_encrypted();
  [[nodiscard]] bool is_decryption_held_up() const { return tls_ != nullptr && !tls_->rest().empty(); }
  [[nodiscard]] std::size_t feed(std::span<char> bytes);
  void feed_and_hold(std::span<char> bytes);
  void on_input_end(bool is_clean, const std::string& fault);
  void answer_over(runtime::EndKind kind, std::string message);
  void finish(runtime::End end);
  [[nodiscard]] bool is_drained();
  void refuse(std::string message);

  runtime::EventLoop& loop_;
  OwnOrigin& origin_;
  Owner& owner_;
  OwnReceiveBuffer& buffer_;
  const HeadLimits limits_;
  int fd_ = -1;
  State state_ = State::New;
  bool may_read_ = false;   // an edge came that was not read to its end
  bool is_ending_ = false;  // the other side has closed or broken the connection: reads go on until they say so
  bool is_paused_ = false;
  bool is_feeding_ = false;  // the parser is on the stack
  bool is_stopped_ = false;  // by a pause: the parser is to be fed again, be it with nothing
  bool is_kept_ = false;     // an answer came on it before
  bool is_unasked_ = false;  // bytes came behind the answer
  bool is_send_broken_ = false;
  std::unique_ptr<TlsStream> tls_;

  runtime::ExchangeSink* sink_ = nullptr;
  std::string_view head_;
  std::string_view body_;
  std::array<char, 24> length_{};  // of the body, and the end of the head
  std::size_t length_size_ = 0;
  std::size_t sent_ = 0;
  std::size_t to_send_ = 0;
  ResponseParser parser_;
  std::shared_ptr<DecodingSink> decoding_;  // nullptr: the answer is not encoded
  std::optional<runtime::End> end_;         // that a pause holds back
  std::vector<char> held_;                  // what a pause left from held_begin_ on, and room behind it
  std::size_t held_begin_ = 0;
  std::vector<char> held_encrypted_;
};

}  // namespace orchestra::http
