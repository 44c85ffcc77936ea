// The upstream of the benchmarks: a chat-completions server on loopback that answers every POST with the same 12
// headers and 1.1 kB, or, where the body asks for a stream, with numbered events. One thread, one epoll, no library but
// OpenSSL for TLS: it has to cost far less than the clients it is asked by.
//
//   bench_mock [--port 0] [--delay-ms 0] [--events 200] [--events-per-write 0 (all)] [--gap-us 0] [--until-stdin-ends]
//              [--certificate FILE --key FILE] [--close-idle-ms 0 (never)] [--record]
//
// With --close-idle-ms an idle connection is closed after a random part of that time. With --record the numbers N of
// `call-id:N` in bodies are remembered, and when each answer was sent.
//
// Prints its port. GET /stats gives {"requests", "connections", "open", "closed_idle", "calls", "duplicates",
// "cpu_seconds"}: with --record, different calls, and requests of a call that had been asked before. GET /answered/A/B
// gives {"answered"}: answers sent from A to B, in nanoseconds of the monotonic clock.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// What an answer consists of: each part is one write, so that a client sees the pieces that a cell speaks of.
using Parts = std::vector<std::string>;

struct Options {
  int port = 0;
  std::chrono::milliseconds delay{0};
  int events = 200;
  int events_per_write = 0;  // 0: the whole stream in one write
  std::chrono::microseconds gap{0};
  bool until_stdin_ends = false;
  std::string certificate, key;             // both or none
  std::chrono::milliseconds close_idle{0};  // 0: never
  bool record = false;
};

constexpr std::string_view kSentence = R"(An orchestra tunes before it plays.\n)";
constexpr int kSentences = 13;

// With Content-Type and the length (or the transfer encoding) these make the 12 headers of an answer.
constexpr std::string_view kHeaders =
    "Date: Wed, 25 Nov 2026 12:00:00 GMT\r\n"
    "Server: bench-mock\r\n"
    "x-request-id: req_5f0e1c9a7b3d42c68e1f\r\n"
    "openai-processing-ms: 287\r\n"
    "openai-version: 2020-10-01\r\n"
    "x-ratelimit-limit-requests: 10000\r\n"
    "x-ratelimit-remaining-requests: 9999\r\n"
    "x-ratelimit-reset-requests: 6ms\r\n"
    "x-ratelimit-limit-tokens: 2000000\r\n"
    "x-ratelimit-remaining-tokens: 1999912\r\n"
    "\r\n";

constexpr std::string_view kIdentity =
    R"("created":1795600000,"model":"gpt-4o-mini-2024-07-18","system_fingerprint":"fp_b376dfbbd5",)"
    R"("service_tier":"default")";

constexpr std::string_view kUsage =
    R"("usage":{"prompt_tokens":83,"completion_tokens":99,"total_tokens":182,)"
    R"("prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},)"
    R"("completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,)"
    R"("rejected_prediction_tokens":0}})";

std::string with_length(std::string_view body, std::string_view type = "application/json") {
  std::string text = "HTTP/1.1 200 OK\r\nContent-Type: ";
  text.append(type).append("\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n");
  return text.append(kHeaders).append(body);
}

std::string plain_answer() {
  std::string body = R"({"id":"chatcmpl-B7c1qXh0mZ9tQw3eRk5uYp2sLd8v","object":"chat.completion",)";
  body.append(kIdentity).append(R"(,"choices":[{"index":0,"message":{"role":"assistant","content":")");
  for (int i = 0; i < kSentences; ++i) body.append(kSentence);
  body.append(R"(","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],)");
  return with_length(body.append(kUsage).append("}"));
}

std::string chunk(std::string_view text) {
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  return std::string(size).append(text).append("\r\n");
}

std::string event(std::string_view rest) {
  std::string text = R"(data: {"id":"chatcmpl-B7c1qXh0mZ9tQw3eRk5uYp2sLd8v","object":"chat.completion.chunk",)";
  text.append(kIdentity).append(",").append(rest).append("}\n\n");
  return chunk(text);
}

std::string delta(std::string_view content, std::string_view finish) {
  std::string rest = R"("choices":[{"index":0,"delta":{)";
  rest.append(content).append(R"(},"logprobs":null,"finish_reason":)").append(finish).append("}]");
  return event(rest);
}

// Role, `events` numbered pieces, finish, usage, the end. Numbered, since some clients take equal pieces for a loop.
Parts stream_answer(const Options& options) {
  std::string head =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n";
  head.append(kHeaders).append(delta(R"("role":"assistant","content":"","refusal":null)", "null"));
  Parts parts;
  std::string part = head;
  for (int i = 0; i < options.events; ++i) {
    char content[40];
    std::snprintf(content, sizeof content, R"("content":" piece%03d")", i);
    part.append(delta(content, "null"));
    if (options.events_per_write > 0 && (i + 1) % options.events_per_write == 0) {
      parts.push_back(std::move(part));
      part.clear();
    }
  }
  part.append(delta("", R"("stop")")).append(event(std::string(R"("choices":[],)").append(kUsage)));
  parts.push_back(part.append(chunk("data: [DONE]\n\n")).append("0\r\n\r\n"));
  return parts;
}

struct CloseTls {
  void operator()(SSL* tls) const { SSL_free(tls); }
};

struct Connection {
  int fd = -1;
  std::unique_ptr<SSL, CloseTls> tls;  // null: plain
  std::uint64_t number = 0;            // tells a timer whether the descriptor is still the same connection
  std::string input;
  const Parts* answer = nullptr;  // not null: a request is being answered
  std::size_t next_part = 0;
  std::string_view unsent;  // of the part before next_part
  bool watches_output = false;
  std::uint64_t answered = 0;
  Parts statistics;
};

// Sends the next part of an answer, or closes a connection that has answered nothing since.
struct Timer {
  Clock::time_point due;
  int fd;
  std::uint64_t number;
  std::uint64_t idle_since = 0;  // answers of the connection when it became idle; 0: the timer sends
  bool operator>(const Timer& other) const { return due > other.due; }
};

class Mock {
 public:
  explicit Mock(const Options& options)
      : options_(options),
        plain_{plain_answer()},
        stream_(stream_answer(options)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

  bool load_certificate() {
    if (options_.certificate.empty()) return true;
    tls_.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_min_proto_version(tls_.get(), TLS1_3_VERSION);
    SSL_CTX_set_mode(tls_.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls_.get(), 1);
    SSL_CTX_set_alpn_select_cb(tls_.get(), &choose_protocol, nullptr);
    if (SSL_CTX_use_certificate_chain_file(tls_.get(), options_.certificate.c_str()) == 1 &&
        SSL_CTX_use_PrivateKey_file(tls_.get(), options_.key.c_str(), SSL_FILETYPE_PEM) == 1) {
      return true;
    }
    ERR_print_errors_fp(stderr);
    return false;
  }

  bool listen() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(options_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 4096) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::perror("bench_mock");
      return false;
    }
    watch(listener_, EPOLL_CTL_ADD, EPOLLIN);
    if (options_.until_stdin_ends) watch(STDIN_FILENO, EPOLL_CTL_ADD, EPOLLIN);
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return true;
  }

  void run() {
    epoll_event ready[512];
    for (;;) {
      const int count = epoll_wait(epoll_, ready, 512, milliseconds_to_next_timer());
      for (int i = 0; i < count; ++i) {
        const int fd = ready[i].data.fd;
        if (fd == listener_) {
          accept_all();
        } else if (fd == STDIN_FILENO) {
          return;
        } else if (Connection* connection = find(fd)) {
          if ((ready[i].events & EPOLLOUT) != 0 && connection->watches_output) advance(*connection);
          if (connection->fd >= 0 && (ready[i].events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0)
            receive(*connection);
        }
      }
      fire_timers();
    }
  }

 private:
  struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };

  static int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                             unsigned offered_size, void*) {
    constexpr std::string_view kHttp = "\x08http/1.1";
    const std::string_view list(reinterpret_cast<const char*>(offered), offered_size);
    const std::size_t at = list.find(kHttp);
    if (at == std::string_view::npos) return SSL_TLSEXT_ERR_NOACK;
    *chosen = offered + at + 1;
    *size = static_cast<unsigned char>(kHttp.size() - 1);
    return SSL_TLSEXT_ERR_OK;
  }

  void watch(int fd, int operation, std::uint32_t events) const {
    epoll_event wanted{};
    wanted.events = events;
    wanted.data.fd = fd;
    epoll_ctl(epoll_, operation, fd, &wanted);
  }

  Connection* find(int fd) {
    const auto index = static_cast<std::size_t>(fd);
    return index < connections_.size() && connections_[index] && connections_[index]->fd >= 0
               ? connections_[index].get()
               : nullptr;
  }

  void accept_all() {
    int fd = -1;
    while ((fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      const auto index = static_cast<std::size_t>(fd);
      if (index >= connections_.size()) connections_.resize(index + 1);
      // A closed connection's object stays until its descriptor comes again: one event batch may still name it.
      connections_[index] = std::make_unique<Connection>();
      connections_[index]->fd = fd;
      connections_[index]->number = ++accepted_;
      if (tls_) {
        connections_[index]->tls.reset(SSL_new(tls_.get()));
        SSL_set_fd(connections_[index]->tls.get(), fd);
        SSL_set_accept_state(connections_[index]->tls.get());
      }
      ++open_;
      watch(fd, EPOLL_CTL_ADD, EPOLLIN);
    }
  }

  void close_connection(Connection& connection) {
    if (connection.tls && SSL_is_init_finished(connection.tls.get()) != 0) SSL_shutdown(connection.tls.get());
    connection.tls.reset();
    ::close(connection.fd);
    connection.fd = -1;
    connection.answer = nullptr;
    --open_;
  }

  // What a read or a write of TLS amounts to in terms of recv() and send(); the handshake runs inside of both.
  static ssize_t outcome(SSL* tls, int result) {
    if (result > 0) return result;
    const int error = SSL_get_error(tls, result);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
  }

  ssize_t read_some(Connection& connection) {
    if (!connection.tls) return recv(connection.fd, buffer_, sizeof buffer_, 0);
    return outcome(connection.tls.get(), SSL_read(connection.tls.get(), buffer_, sizeof buffer_));
  }

  static ssize_t write_some(const Connection& connection, std::string_view text) {
    if (!connection.tls) return send(connection.fd, text.data(), text.size(), MSG_NOSIGNAL);
    return outcome(connection.tls.get(), SSL_write(connection.tls.get(), text.data(), static_cast<int>(text.size())));
  }

  void receive(Connection& connection) {
    for (;;) {
      const ssize_t size = read_some(connection);
      if (size > 0) {
        connection.input.append(buffer_, static_cast<std::size_t>(size));
        take_requests(connection);
        // What OpenSSL has read already makes no descriptor ready.
        if (connection.fd >= 0 && connection.tls && SSL_has_pending(connection.tls.get()) != 0) continue;
      } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_connection(connection);
      }
      return;
    }
  }

  // Answers the requests that are whole; a pipelined one waits until the one before it has been answered.
  void take_requests(Connection& connection) {
    while (connection.fd >= 0 && connection.answer == nullptr) {
      const std::string_view input = connection.input;
      const std::size_t head = input.find("\r\n\r\n");
      if (head == std::string_view::npos) return;
      const std::size_t whole = head + 4 + content_length(input.substr(0, head + 2));
      if (input.size() < whole) return;
      connection.next_part = 0;
      if (input.starts_with("GET ")) {
        connection.statistics = {with_length(input.starts_with("GET /answered/") ? answered(input) : statistics())};
        connection.answer = &connection.statistics;
        connection.input.erase(0, whole);
        advance(connection);
        continue;
      }
      const std::string_view body = input.substr(head + 4, whole - head - 4);
      const bool is_stream = asks_for_stream(body);
      if (options_.record) note_call(body);
      connection.input.erase(0, whole);
      ++requests_;
      connection.answer = is_stream ? &stream_ : &plain_;
      if (options_.delay.count() > 0) {
        timers_.push({Clock::now() + options_.delay, connection.fd, connection.number});
      } else {
        advance(connection);
      }
    }
  }

  static std::size_t content_length(std::string_view head) {
    constexpr std::string_view kName = "content-length:";
    for (std::size_t at = head.find("\r\n"); at + 2 < head.size(); at = head.find("\r\n", at + 2)) {
      const std::string_view line = head.substr(at + 2);
      if (line.size() > kName.size() && strncasecmp(line.data(), kName.data(), kName.size()) == 0) {
        return std::strtoul(line.data() + kName.size(), nullptr, 10);
      }
    }
    return 0;
  }

  static bool asks_for_stream(std::string_view body) {
    const std::size_t at = body.find(R"("stream":)");
    if (at == std::string_view::npos) return false;
    const std::string_view value = body.substr(at + 9, 5);
    return value.starts_with("true") || value.starts_with(" true");
  }

  // Sends parts until the answer is out, the socket is full or a gap is due.
  void advance(Connection& connection) {
    while (connection.answer != nullptr) {
      if (connection.unsent.empty()) connection.unsent = (*connection.answer)[connection.next_part++];
      const ssize_t sent = write_some(connection, connection.unsent);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return close_connection(connection);
      if (sent > 0) connection.unsent.remove_prefix(static_cast<std::size_t>(sent));
      if (!connection.unsent.empty()) {
        if (!connection.watches_output) watch(connection.fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        connection.watches_output = true;
        return;
      }
      if (connection.watches_output) watch(connection.fd, EPOLL_CTL_MOD, EPOLLIN);
      connection.watches_output = false;
      if (connection.next_part == connection.answer->size()) {
        end_answer(connection);
      } else if (options_.gap.count() > 0) {
        timers_.push({Clock::now() + options_.gap, connection.fd, connection.number});
        return;
      }
    }
    if (!connection.input.empty()) take_requests(connection);
  }

  void end_answer(Connection& connection) {
    const bool was_call = connection.answer != &connection.statistics;
    connection.answer = nullptr;
    ++connection.answered;
    if (!was_call) return;
    if (options_.record) sent_.push_back(Clock::now().time_since_epoch().count());
    if (options_.close_idle.count() > 0) {
      using std::chrono::microseconds;
      const auto most = std::chrono::duration_cast<microseconds>(options_.close_idle).count();
      const microseconds idle{std::uniform_int_distribution<std::int64_t>(0, most)(random_)};
      timers_.push({Clock::now() + idle, connection.fd, connection.number, connection.answered});
    }
  }

  // A request that is still in the kernel does not count as asked: it is lost with the connection, as with any server.
  void close_if_idle(Connection& connection, std::uint64_t idle_since) {
    if (connection.answer != nullptr || connection.answered != idle_since || !connection.input.empty()) return;
    ++closed_idle_;
    close_connection(connection);
  }

  void note_call(std::string_view body) {
    constexpr std::string_view kMarker = "call-id:";
    const std::size_t at = body.find(kMarker);
    if (at == std::string_view::npos) return;
    if (!calls_.insert(std::strtoull(body.data() + at + kMarker.size(), nullptr, 10)).second) ++duplicates_;
  }

  // "GET /answered/FROM/TO ...": they were sent in order, so the times are sorted.
  std::string answered(std::string_view line) const {
    const std::string text(line.substr(std::strlen("GET /answered/"), 60));
    char* end = nullptr;
    const std::int64_t from = std::strtoll(text.c_str(), &end, 10);
    const std::int64_t to = *end == '/' ? std::strtoll(end + 1, nullptr, 10) : from;
    const auto count =
        std::upper_bound(sent_.begin(), sent_.end(), to) - std::lower_bound(sent_.begin(), sent_.end(), from);
    return R"({"answered":)" + std::to_string(std::max<std::ptrdiff_t>(count, 0)) + "}";
  }

  int milliseconds_to_next_timer() const {
    if (timers_.empty()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.top().due - Clock::now()).count();
    return left > 0 ? static_cast<int>(left) : 0;
  }

  void fire_timers() {
    if (timers_.empty()) return;
    const auto now = Clock::now();
    while (!timers_.empty() && timers_.top().due <= now) {
      const Timer timer = timers_.top();
      timers_.pop();
      Connection* connection = find(timer.fd);
      if (connection == nullptr || connection->number != timer.number) continue;
      if (timer.idle_since > 0) {
        close_if_idle(*connection, timer.idle_since);
      } else {
        advance(*connection);
      }
    }
  }

  std::string statistics() const {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const double cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    char text[280];
    std::snprintf(text, sizeof text,
                  R"({"requests":%llu,"connections":%llu,"open":%lld,"closed_idle":%llu,"calls":%zu,)"
                  R"("duplicates":%llu,"cpu_seconds":%.6f})",
                  static_cast<unsigned long long>(requests_), static_cast<unsigned long long>(accepted_),
                  static_cast<long long>(open_), static_cast<unsigned long long>(closed_idle_), calls_.size(),
                  static_cast<unsigned long long>(duplicates_), cpu);
    return text;
  }

  const Options options_;
  const Parts plain_;
  const Parts stream_;
  const int epoll_;
  std::unique_ptr<SSL_CTX, FreeContext> tls_;  // null: plain
  int listener_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_;  // by descriptor
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::uint64_t requests_ = 0;
  std::uint64_t accepted_ = 0;
  std::uint64_t closed_idle_ = 0;
  std::uint64_t duplicates_ = 0;
  std::int64_t open_ = 0;
  std::unordered_set<std::uint64_t> calls_;
  std::vector<std::int64_t> sent_;  // when, in nanoseconds of the monotonic clock
  std::mt19937_64 random_{20261125};
  char buffer_[1 << 16];
};

}  // namespace

int main(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    if (name == "--until-stdin-ends") {
      options.until_stdin_ends = true;
      continue;
    }
    if (name == "--record") {
      options.record = true;
      continue;
    }
    const char* const text = i + 1 < count ? arguments[++i] : "";
    if (name == "--certificate" || name == "--key") {
      (name == "--key" ? options.key : options.certificate) = text;
      continue;
    }
    char* end = nullptr;
    const int value = static_cast<int>(std::strtol(text, &end, 10));
    if (end == text || *end != '\0' || value < 0) {
      std::fprintf(stderr, "bench_mock: %s needs a number\n", std::string(name).c_str());
      return 2;
    }
    if (name == "--port") {
      options.port = value;
    } else if (name == "--delay-ms") {
      options.delay = std::chrono::milliseconds(value);
    } else if (name == "--events") {
      options.events = value;
    } else if (name == "--events-per-write") {
      options.events_per_write = value;
    } else if (name == "--gap-us") {
      options.gap = std::chrono::microseconds(value);
    } else if (name == "--close-idle-ms") {
      options.close_idle = std::chrono::milliseconds(value);
    } else {
      std::fprintf(stderr, "bench_mock: unknown option %s\n", std::string(name).c_str());
      return 2;
    }
  }
  if (options.certificate.empty() != options.key.empty()) {
    std::fprintf(stderr, "bench_mock: --certificate and --key belong together\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  const auto mock = std::make_unique<Mock>(options);
  if (!mock->load_certificate() || !mock->listen()) return 1;
  mock->run();
}
