#include "http/own_connection.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

namespace orchestra::http {

using runtime::End;
using runtime::EndKind;
using runtime::Readiness;

namespace {

// Then others have their turn: 256 kB at once keep one connection busy and no other waiting for more than 0.1 ms.
constexpr int kReadsPerTurn = 4;
// The beginning of a request that is put together in one piece: what fits in one TLS record, and in one send.
constexpr std::size_t kFirstPiece = std::size_t{16} << 10;
// Minutes may pass between a request and its answer, and address translators forget connections that are silent.
constexpr int kKeepAliveSeconds = 60;

std::string message_of(int fault) { return std::generic_category().message(fault); }

void set_option(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

}  // namespace

OwnConnection::OwnConnection(runtime::EventLoop& loop, OwnOrigin& origin, Owner& owner, OwnReceiveBuffer& buffer,
                             HeadLimits limits)
    : loop_(loop), origin_(origin), owner_(owner), buffer_(buffer), limits_(limits), parser_(limits) {}

OwnConnection::~OwnConnection() { close(); }

void OwnConnection::close() {
  if (fd_ < 0) return;
  loop_.unwatch(fd_);
  ::shutdown(fd_, SHUT_RDWR);  // a forked child may hold it too
  ::close(std::exchange(fd_, -1));
  state_ = State::Closed;
  if (is_feeding_) parser_.stop();
  if (decoding_ != nullptr) decoding_->forget();
}

// ---- to open

int OwnConnection::connect(const NetworkAddress& address, std::uint16_t port) {
  fd_ = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return errno;
  set_option(fd_, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd_, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveSeconds);
  set_option(fd_, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveSeconds);
  sockaddr_storage to{};
  const socklen_t size = address.fill(to, port);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), size) != 0 && errno != EINPROGRESS) {
    const int fault = errno;
    ::close(std::exchange(fd_, -1));
    state_ = State::Closed;
    return fault;
  }
  state_ = State::Connecting;
  loop_.watch_edges(fd_, *this);  // one that stands already is told to be writable
  return 0;
}

void OwnConnection::on_ready(int, Readiness ready) {
  if ((ready & (runtime::kReadable | runtime::kEnding | runtime::kBroken)) != 0) may_read_ = true;
  if ((ready & (runtime::kEnding | runtime::kBroken)) != 0) is_ending_ = true;
  switch (state_) {
    case State::Connecting: return finish_connect(ready);
    case State::Handshaking: return shake_hands();
    case State::Idle:
      if (may_read_ && is_dead()) {
        close();
        owner_.on_idle_closed(*this);
      }
      return;
    case State::Busy: break;
    case State::New:
    case State::Closed: return;
  }
  if ((ready & runtime::kWritable) != 0) {
    send_more();
    if (is_decryption_held_up() && !is_paused_) decrypt();
  }
  read();
}

void OwnConnection::finish_connect(Readiness ready) {
  if ((ready & (runtime::kWritable | runtime::kBroken)) == 0) return;
  int fault = 0;
  socklen_t size = sizeof fault;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &fault, &size) != 0) fault = errno;
  if (fault != 0) {
    close();
    owner_.on_unreachable(*this, fault);
    return;
  }
  state_ = State::Idle;
  owner_.on_tcp(*this);
}

void OwnConnection::secure(const TlsContext& context, TlsSession& session, const std::string& host) {
  buffer_.encrypted.resize(OwnReceiveBuffer::kSize);
  tls_ = std::make_unique<TlsStream>(context, session, host, fd_);
  state_ = State::Handshaking;
  shake_hands();
}

void OwnConnection::shake_hands() {
  while (true) {
    const TlsStream::Result result = tls_->handshake();
    if (result == TlsStream::Result::Done) break;
    if (result == TlsStream::Result::Failed) return refuse(tls_->fault());
    if (!may_read_) return;
    const ssize_t got = receive(buffer_.encrypted);
    if (got > 0) {
      tls_->give({buffer_.encrypted.data(), static_cast<std::size_t>(got)});
    } else if (got == 0 || errno != EAGAIN) {
      if (got < 0) return refuse("the handshake broke off: " + message_of(errno));
      tls_->end_input();
    }
  }
  // What came right behind the handshake: tickets to resume the session by.
  state_ = State::Idle;
  std::size_t size = 0;
  switch (tls_->read({buffer_.plain.data(), OwnReceiveBuffer::kSize}, size)) {
    case TlsStream::Result::Blocked: return owner_.on_open(*this);
    case TlsStream::Result::Done: return refuse("the server sent bytes before it was asked");
    case TlsStream::Result::Closed: return refuse("the server closed the connection after the handshake");
    case TlsStream::Result::Failed: return refuse(tls_->fault());
  }
}

void OwnConnection::refuse(std::string message) {
  close();
  owner_.on_refused(*this, std::move(message));
}

bool OwnConnection::is_dead() {
  if (tls_ == nullptr) {
    char byte = 0;
    const bool is_quiet = ::recv(fd_, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
    if (is_quiet) may_read_ = is_ending_ = false;
    return !is_quiet;
  }
  // TLS may have something to say for itself, such as another ticket.
  while (true) {
    const ssize_t got = receive(buffer_.encrypted);
    if (got <= 0) return got == 0 || errno != EAGAIN;
    tls_->give({buffer_.encrypted.data(), static_cast<std::size_t>(got)});
    std::size_t size = 0;
    if (tls_->read({buffer_.plain.data(), OwnReceiveBuffer::kSize}, size) != TlsStream::Result::Blocked) return true;
  }
}

// ---- to send

bool OwnConnection::send(std::string_view head, std::string_view body, runtime::ExchangeSink& sink, bool is_paused) {
  state_ = State::Busy;
  sink_ = &sink;
  head_ = head;
  body_ = body;
  char* const digits_end = std::to_chars(length_.data(), length_.data() + length_.size(), body_.size()).ptr;
  char* const length_end = std::copy_n("\r\n\r\n", 4, digits_end);
  length_size_ = static_cast<std::size_t>(length_end - length_.data());
  sent_ = 0;
  to_send_ = head_.size() + length_size_ + body_.size();
  is_paused_ = is_paused;
  is_stopped_ = is_unasked_ = is_send_broken_ = false;
  end_.reset();
  decoding_.reset();
  parser_.reset();
  send_more();
  if (is_send_broken_ && is_kept_ && sent_ == 0) {
    close();
    return false;
  }
  read();  // what came before it was sent
  return true;
}

// From sent_ on: the head with the beginning of the body, then the rest of the body in place. The same bytes as long as
// sent_ is the same, which TLS demands.
std::span<const char> OwnConnection::next_to_send() {
  const std::size_t head_size = head_.size() + length_size_;
  if (sent_ >= head_size) return body_.substr(sent_ - head_size);
  std::size_t skip = sent_;
  std::size_t size = 0;
  for (std::string_view part : {head_, std::string_view(length_.data(), length_size_), body_}) {
    const std::size_t skipped = std::min(skip, part.size());
    skip -= skipped;
    part = part.substr(skipped, kFirstPiece - size);
    std::memcpy(buffer_.plain.data() + size, part.data(), part.size());
    size += part.size();
  }
  return {buffer_.plain.data(), size};
}

void OwnConnection::send_more() {
  while (is_sending() && !is_send_broken_) {
    const std::span<const char> bytes = next_to_send();
    if (tls_ != nullptr) {
      std::size_t size = 0;
      const TlsStream::Result result = tls_->write(bytes, size);
      sent_ += size;
      if (result == TlsStream::Result::Blocked) return;
      is_send_broken_ = result != TlsStream::Result::Done;
    } else {
      const ssize_t size = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size < 0 && errno == EAGAIN) return;
      if (size >= 0) sent_ += static_cast<std::size_t>(size);
      is_send_broken_ = size < 0 && errno != EINTR;
    }
  }
  if (is_send_broken_) may_read_ = is_ending_ = true;  // an answer may have come before
}

// ---- to receive

// As recv(), and remembers whether there may be more.
ssize_t OwnConnection::receive(std::span<char> into) {
  ssize_t got = 0;
  do {
    got = ::recv(fd_, into.data(), into.size(), 0);
  } while (got < 0 && errno == EINTR);
  // A short read has taken all there was, but the end of a connection comes in a read of its own.
  if (got < 0 ? errno == EAGAIN : !is_ending_ && static_cast<std::size_t>(got) < into.size()) may_read_ = false;
  return got;
}

void OwnConnection::read() {
  for (int reads = 0; state_ == State::Busy && may_read_ && !is_paused_ && !is_decryption_held_up(); ++reads) {
    if (reads == kReadsPerTurn) {
      loop_.watch_edges(fd_, *this);  // tells in the next turn again what is there
      return;
    }
    if (tls_ == nullptr) {
      read_plain();
    } else {
      read_encrypted();
    }
  }
}

void OwnConnection::read_plain() {
  const ssize_t got = receive({buffer_.plain.data(), OwnReceiveBuffer::kSize});
  if (got > 0) {
    feed_and_hold({buffer_.plain.data(), static_cast<std::size_t>(got)});
  } else if (got == 0) {
    on_input_end(true, "");
  } else if (errno != EAGAIN) {
    on_input_end(false, message_of(errno));
  } else if (is_send_broken_) {
    on_input_end(false, "");
  }
}

void OwnConnection::read_encrypted() {
  const ssize_t got = receive(buffer_.encrypted);
  if (got > 0) {
    tls_->give({buffer_.encrypted.data(), static_cast<std::size_t>(got)});
    decrypt();
  } else if (got == 0) {
    may_read_ = false;
    tls_->end_input();
    decrypt();
  } else if (errno != EAGAIN) {
    on_input_end(false, message_of(errno));
  } else if (is_send_broken_) {
    on_input_end(false, "");
  }
}

void OwnConnection::decrypt() {
  while (state_ == State::Busy && !is_paused_) {
    std::size_t size = 0;
    switch (tls_->read({buffer_.plain.data(), OwnReceiveBuffer::kSize}, size)) {
      case TlsStream::Result::Done: feed_and_hold({buffer_.plain.data(), size}); break;
      case TlsStream::Result::Blocked: return hold_encrypted();
      case TlsStream::Result::Closed: return on_input_end(true, "");
      case TlsStream::Result::Failed: return on_input_end(false, tls_->fault());
    }
  }
  if (state_ == State::Busy) hold_encrypted();
}

// What a pause left, or TLS, which has something to say first and cannot while the socket takes nothing.
void OwnConnection::hold_encrypted() {
  const std::span<const char> rest = tls_->rest();
  if (rest.empty()) return;
  held_encrypted_ = std::vector<char>(rest.begin(), rest.end());  // the rest may be of what was held before
  tls_->give(held_encrypted_);
}

void OwnConnection::on_head(runtime::AnswerHead head) {
  if (parser_.is_encoded()) decoding_ = DecodingSink::wrap(head, *sink_, {.ratio = limits_.decompression_ratio});
  sink_->on_head(std::move(head));
}

void OwnConnection::on_body(std::span<char> bytes) {
  if (decoding_ == nullptr) return sink_->on_bytes(bytes);
  decoding_->on_bytes(bytes);
  if (!decoding_->fault().empty()) parser_.stop();
}

std::size_t OwnConnection::feed(std::span<char> bytes) {
  is_feeding_ = true;
  const std::size_t taken = parser_.feed(bytes, *this);
  is_feeding_ = false;
  if (state_ != State::Busy) return taken;
  if (parser_.fault().has_value()) {
    answer_over(EndKind::Malformed, parser_.fault_message());
  } else if (decoding_ != nullptr && !decoding_->fault().empty()) {
    answer_over(EndKind::Malformed, decoding_->fault());
  } else if (parser_.is_complete()) {
    is_unasked_ = taken < bytes.size();
    answer_over(EndKind::Complete, "");
  }
  return taken;
}

void OwnConnection::feed_and_hold(std::span<char> bytes) {
  const std::span<char> rest = bytes.subspan(feed(bytes));
  if (state_ != State::Busy || !is_stopped_ || end_.has_value()) return;
  held_.reserve(rest.size() + runtime::kReadableBehind);
  held_.assign(rest.begin(), rest.end());
  held_.resize(rest.size() + runtime::kReadableBehind);
  held_begin_ = 0;
}

void OwnConnection::pause() {
  is_paused_ = true;
  if (decoding_ != nullptr) decoding_->pause();
  if (!is_feeding_) return;
  parser_.stop();
  is_stopped_ = true;
}

void OwnConnection::go_on() {
  if (state_ != State::Busy) return;
  is_paused_ = false;
  if (decoding_ != nullptr) {
    decoding_->resume();
    decoding_->proceed();
    if (state_ != State::Busy || is_paused_) return;
    if (!decoding_->fault().empty()) return answer_over(EndKind::Malformed, decoding_->fault());
  }
  if (end_.has_value()) return finish(*std::exchange(end_, std::nullopt));
  if (std::exchange(is_stopped_, false)) {
    const std::size_t size = held_.empty() ? 0 : held_.size() - runtime::kReadableBehind - held_begin_;
    held_begin_ += feed({held_.data() + held_begin_, size});
    if (state_ != State::Busy || is_stopped_ || is_paused_) return;
    held_.clear();
    held_.shrink_to_fit();
  }
  if (tls_ != nullptr) decrypt();
  read();
}

void OwnConnection::on_input_end(bool is_clean, const std::string& fault) {
  may_read_ = false;
  is_ending_ = true;
  if (is_clean) parser_.end_of_input();
  if (parser_.is_complete()) return answer_over(EndKind::Complete, "");
  const std::string why = fault.empty() ? "" : ": " + fault;
  if (!parser_.has_line()) {
    return answer_over(EndKind::NoReply, (is_kept_ ? "the kept connection died before an answer came"
                                                   : "the connection died before an answer came") +
                                             why);
  }
  answer_over(EndKind::Cut, (parser_.has_head() ? "the answer broke off" : "the answer broke off in its head") + why);
}

void OwnConnection::answer_over(EndKind kind, std::string message) {
  if (is_paused_) {
    end_ = End{kind, std::move(message)};
  } else {
    finish({kind, std::move(message)});
  }
}

// An answer to a request that was not sent to its end leaves the server in the middle of a body.
void OwnConnection::finish(End end) {
  sink_ = nullptr;
  if (decoding_ != nullptr) end = std::exchange(decoding_, nullptr)->judged(std::move(end));
  if (end.kind == EndKind::Complete && parser_.keeps_connection() && !is_sending() && is_drained()) {
    state_ = State::Idle;
    is_kept_ = true;
    idle_since = loop_.now();
  } else {
    close();
  }
  head_ = body_ = {};
  if (held_.capacity() != 0) held_ = {};
  if (held_encrypted_.capacity() != 0) held_encrypted_ = {};
  owner_.on_answered(*this, std::move(end));
}

// Nothing came behind the answer.
bool OwnConnection::is_drained() {
  if (is_unasked_ || is_ending_) return false;
  if (tls_ != nullptr && tls_->has_more()) {
    std::size_t size = 0;
    if (tls_->read({buffer_.plain.data(), OwnReceiveBuffer::kSize}, size) != TlsStream::Result::Blocked) return false;
  }
  return !may_read_ || !is_dead();
}

}  // namespace orchestra::http
