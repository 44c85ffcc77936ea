#include "http/server.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/thread.hpp"

namespace orchestra::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using ErrorCode = boost::system::error_code;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;

constexpr std::size_t kMostBody = 64u << 20;
constexpr std::uint32_t kMostHead = 64u << 10;
constexpr std::size_t kMostPipelined = 256u << 10;  // bytes taken in while an answer is on its way; then reading stops
constexpr std::size_t kReadSize = 64u << 10;
constexpr int kWritesPerTurn = 64;  // then other connections get their turn
constexpr auto kLinger = std::chrono::seconds(10);
constexpr auto kAcceptPause = std::chrono::milliseconds(10);  // when descriptors have run out

double monotonic_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::string to_string(beast::string_view text) { return {text.data(), text.size()}; }

// Beast's parser, filling a ServerExchange directly. One is made for each request: it cannot be used again.
class Parser final : public beast::http::basic_parser<true> {
 public:
  explicit Parser(ServerExchange& exchange) : exchange_(exchange) {
    eager(true);
    header_limit(kMostHead);
    body_limit(kMostBody);
  }
  [[nodiscard]] bool expects_continue() const { return expects_continue_; }
  void forget_continue() { expects_continue_ = false; }

 private:
  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target, int,
                       ErrorCode&) override {
    exchange_.method = to_string(method);
    exchange_.path = to_string(target);
  }
  void on_response_impl(int, beast::string_view, int, ErrorCode&) override {}
  void on_field_impl(beast::http::field name, beast::string_view name_text, beast::string_view value,
                     ErrorCode&) override {
    if (name == beast::http::field::expect && beast::iequals(value, "100-continue")) expects_continue_ = true;
    exchange_.headers.emplace_back(to_string(name_text), to_string(value));
  }
  void on_header_impl(ErrorCode&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>& length, ErrorCode&) override {
    if (length) exchange_.body.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(*length, 1u << 20)));
  }
  std::size_t on_body_impl(beast::string_view bytes, ErrorCode&) override {
    exchange_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, ErrorCode&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view bytes, ErrorCode&) override {
    exchange_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(ErrorCode&) override {}

  ServerExchange& exchange_;
  bool expects_continue_ = false;
};

// What all connections share.
struct Shared {
  asio::io_context io{1};
  Server::Handler handler;
  Server::Closed closed;
  std::uint64_t last_number = 0;
  std::array<char, kReadSize> read_buffer{};
};

// One connection. A read is always pending (but for a client that pipelines too much), so that the client's close is
// seen at once; what is pending keeps the object alive.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Shared& shared, Socket socket) : shared_(shared), socket_(std::move(socket)), timer_(shared.io) {}

  void start() {
    ErrorCode ignored;
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket_.non_blocking(true, ignored);
    ::fcntl(socket_.native_handle(), F_SETFD, FD_CLOEXEC);
    await_input();
  }

 private:
  enum class Phase : std::uint8_t { Reading, Answering, Lingering, Over };

  void await_input() {
    if (reading_ || phase_ == Phase::Over) return;
    if (phase_ == Phase::Answering && input_.size() > kMostPipelined) return;
    reading_ = true;
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](ErrorCode error) {
      self->reading_ = false;
      if (!error) self->on_readable();
    });
  }

  void on_readable() {
    if (phase_ == Phase::Over) return;
    ErrorCode error;
    const std::size_t size = socket_.read_some(asio::buffer(shared_.read_buffer), error);
    if (error == asio::error::would_block) return await_input();
    if (error) return on_client_closed();
    const std::string_view bytes(shared_.read_buffer.data(), size);
    if (phase_ == Phase::Reading && input_.empty()) {
      // The common case: a whole request, read in place.
      const std::size_t used = parse(bytes);
      input_.append(bytes.substr(used));
      if (phase_ == Phase::Answering) advance();
    } else if (phase_ != Phase::Lingering) {
      input_.append(bytes);
      advance();
    }
    await_input();
  }

  // Answers what can be answered, until something has to be waited for.
  void advance() {
    for (;;) {
      if (phase_ == Phase::Reading) {
        if (input_.empty()) return;
        input_.erase(0, parse(input_));
      }
      if (phase_ != Phase::Answering || waiting_) return;
      if (!play()) return;
      answer_.clear();
      step_ = written_ = 0;
      if (close_after_answer_) return linger();
      phase_ = Phase::Reading;
      await_input();
    }
  }

  // Reads on in the request; returns the bytes used. When the request is whole, its answer stands in answer_.
  std::size_t parse(std::string_view bytes) {
    if (!parser_) {
      exchange_ = {};
      parser_.emplace(exchange_);
    }
    std::size_t used = 0;
    while (used < bytes.size() && !parser_->is_done()) {
      ErrorCode error;
      const std::size_t taken = parser_->put(asio::buffer(bytes.data() + used, bytes.size() - used), error);
      used += taken;
      if (error == beast::http::error::need_more) break;
      if (error) {
        refuse(error);
        return bytes.size();
      }
      if (taken == 0) break;
    }
    if (parser_->is_done()) {
      close_after_answer_ = !parser_->keep_alive();
      parser_.reset();
      exchange_.number = ++shared_.last_number;
      exchange_.received_at = monotonic_seconds();
      numbers_.push_back(exchange_.number);
      answer_ = shared_.handler(std::move(exchange_));
      phase_ = Phase::Answering;
    } else if (parser_->is_header_done() && parser_->expects_continue()) {
      parser_->forget_continue();
      // Nothing else is on its way on this connection now, so that these few bytes always fit.
      ErrorCode ignored;
      socket_.write_some(asio::buffer(std::string_view("HTTP/1.1 100 Continue\r\n\r\n")), ignored);
    }
    return used;
  }

  void refuse(ErrorCode error) {
    parser_.reset();
    const int status = error == beast::http::error::body_limit     ? 413
                       : error == beast::http::error::header_limit ? 431
                                                                   : 400;
    answer_ = plain_answer(status, "text/plain", error.message());
    close_after_answer_ = true;
    phase_ = Phase::Answering;
  }

  // Takes the steps of the answer; false when it waits, or the connection is over.
  bool play() {
    for (int writes = 0; step_ < answer_.size(); ++writes) {
      if (writes == kWritesPerTurn) {
        waiting_ = true;
        asio::post(shared_.io, [self = shared_from_this()] { self->go_on(); });
        return false;
      }
      Step& step = answer_[step_];
      if (const auto* write = std::get_if<Write>(&step)) {
        if (!send(write->bytes, write->bytes.size())) return false;
      } else if (const auto* drip = std::get_if<Drip>(&step)) {
        if (!send(drip->bytes, std::max<std::size_t>(drip->size, 1))) return false;
      } else if (const auto* wait = std::get_if<Wait>(&step)) {
        const double seconds = wait->seconds;
        next_step();
        if (seconds > 0) {
          pause(seconds);
          return false;
        }
      } else if (std::holds_alternative<Reset>(step)) {
        ErrorCode ignored;
        socket_.set_option(asio::socket_base::linger(true, 0), ignored);
        finish();
        return false;
      } else {
        linger();
        return false;
      }
    }
    return true;
  }

  void next_step() {
    ++step_;
    written_ = 0;
  }

  // Writes the next bytes of this step, at most so many; false when the connection is full or broken.
  bool send(const std::string& bytes, std::size_t most) {
    if (written_ < bytes.size()) {
      ErrorCode error;
      const std::size_t size = std::min(most, bytes.size() - written_);
      written_ += socket_.write_some(asio::buffer(bytes.data() + written_, size), error);
      if (error == asio::error::would_block) {
        waiting_ = true;
        socket_.async_wait(Socket::wait_write, [self = shared_from_this()](ErrorCode failed) {
          if (!failed) self->go_on();
        });
        return false;
      }
      if (error) {
        on_client_closed();
        return false;
      }
    }
    if (written_ == bytes.size()) next_step();
    return true;
  }

  void pause(double seconds) {
    waiting_ = true;
    constexpr double kMost = 1e9;
    timer_.expires_after(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::min(seconds, kMost))));
    timer_.async_wait([self = shared_from_this()](ErrorCode error) {
      if (!error) self->go_on();
    });
  }

  void go_on() {
    if (phase_ == Phase::Over) return;
    waiting_ = false;
    advance();
  }

  // Sends FIN and reads until the client closes too: closing with unread bytes would send RST, which could overtake the
  // answer.
  void linger() {
    ErrorCode ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    phase_ = Phase::Lingering;
    input_.clear();
    timer_.expires_after(kLinger);
    timer_.async_wait([self = shared_from_this()](ErrorCode error) {
      if (!error) self->finish();
    });
    await_input();
  }

  void on_client_closed() {
    if (phase_ == Phase::Over) return;
    const double now = monotonic_seconds();
    finish();
    for (const std::uint64_t number : numbers_) shared_.closed(number, now);
    numbers_.clear();
  }

  void finish() {
    phase_ = Phase::Over;
    ErrorCode ignored;
    timer_.cancel();
    socket_.close(ignored);
  }

  Shared& shared_;
  Socket socket_;
  Timer timer_;
  Phase phase_ = Phase::Reading;
  bool reading_ = false;             // a read is pending
  bool waiting_ = false;             // the answer waits for the timer, or for room in the socket
  bool close_after_answer_ = false;  // the client asked for it
  std::string input_;                // read, and not parsed yet
  ServerExchange exchange_;
  std::optional<Parser> parser_;
  Answer answer_;
  std::size_t step_ = 0;
  std::size_t written_ = 0;             // bytes of this step
  std::vector<std::uint64_t> numbers_;  // all requests of this connection
};

std::string_view known_reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 529: return "Overloaded";
    default: return "Status";
  }
}

}  // namespace

struct Server::State {
  Shared shared;
  Acceptor acceptor{shared.io};
  Timer accept_pause{shared.io};
  std::thread thread;
  std::uint16_t port = 0;
  pid_t process = ::getpid();

  void listen() {
    const asio::ip::tcp::endpoint endpoint(asio::ip::address_v4::loopback(), 0);
    acceptor.open(endpoint.protocol());
    ::fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
    acceptor.bind(endpoint);
    acceptor.listen(asio::socket_base::max_listen_connections);
    port = acceptor.local_endpoint().port();
  }

  void accept() {
    acceptor.async_accept([this](ErrorCode error, Socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) {
        accept_pause.expires_after(kAcceptPause);
        accept_pause.async_wait([this](ErrorCode stopped) {
          if (!stopped) accept();
        });
        return;
      }
      std::make_shared<Connection>(shared, std::move(socket))->start();
      accept();
    });
  }

  void run() {
    thread = runtime::start_thread("orchestra-fake", [this] { shared.io.run(); });
  }
};

Server::Server(Handler handler, Closed closed) : state_(std::make_unique<State>()) {
  state_->shared.handler = std::move(handler);
  state_->shared.closed = std::move(closed);
  state_->listen();
  state_->accept();
  state_->run();
}

Server::~Server() { stop(); }

std::uint16_t Server::port() const { return state_ ? state_->port : std::uint16_t{0}; }

void Server::stop() {
  if (!state_) return;
  if (state_->process != ::getpid()) {
    // After a fork the thread is the parent's; there is nothing here that could be joined or safely taken apart.
    static_cast<void>(state_.release());
    return;
  }
  state_->shared.io.stop();
  state_->thread.join();
  state_.reset();
}

std::string reason_phrase(int status) { return std::string(known_reason(status)); }

Answer plain_answer(int status, std::string_view content_type, std::string body,
                    const std::vector<std::pair<std::string, std::string>>& headers) {
  std::string bytes;
  bytes.reserve(body.size() + 256);
  bytes.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(known_reason(status));
  bytes.append("\r\nContent-Type: ").append(content_type);
  bytes.append("\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n");
  for (const auto& [name, value] : headers) bytes.append(name).append(": ").append(value).append("\r\n");
  bytes.append("\r\n").append(body);
  Answer answer;
  answer.emplace_back(Write{std::move(bytes)});
  return answer;
}

}  // namespace orchestra::http
