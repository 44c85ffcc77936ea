#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "http/exchanges.hpp"
#include "http/raw_server.hpp"
#include "http/test_loop.hpp"
#include "runtime/exchange_contract.hpp"

namespace orchestra::http {
namespace {

using namespace std::chrono_literals;
using runtime::EndKind;
using runtime::ExchangeId;
using runtime::Origin;
using runtime::RecordingSink;
using testing::HasSubstr;
using testing::Not;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

class ExchangeTest : public testing::TestWithParam<std::string_view> {
 protected:
  static std::shared_ptr<const Origin> origin_of(std::string url, std::string proxy = "-") {
    return std::make_shared<const Origin>(Origin{.url = std::move(url), .proxy = std::move(proxy)});
  }
  ExchangeId start(RecordingSink& sink, const std::shared_ptr<const Origin>& origin, std::string body = "{}",
                   runtime::HeaderList headers = {}, std::string target = "/v1/chat") {
    return exchange->start(
        runtime::request_of({.origin = origin, .target = std::move(target), .headers = std::move(headers)},
                            std::move(body)),
        sink);
  }
  bool run_to_end(RecordingSink& sink) {
    return loop.run_until([&] { return sink.has_ended(); });
  }
  // What one request to a server that answers with these bytes, and closes, is told.
  EndKind answered_with(const std::string& bytes, RecordingSink& sink) {
    RawServer server([&](RawServer::Connection& connection) {
      connection.read_request();
      connection.send(bytes);
    });
    start(sink, origin_of(server.url()));
    EXPECT_TRUE(run_to_end(sink));
    return sink.end->kind;
  }
  EndKind answered_with(const std::string& bytes) {
    RecordingSink sink;
    return answered_with(bytes, sink);
  }

  TestLoop loop;
  std::unique_ptr<runtime::Exchange> exchange = make_exchange(GetParam(), loop.loop());
};

TEST_P(ExchangeTest, sends_the_request_as_it_was_given) {
  std::string seen;
  std::mutex mutex;
  RawServer server([&](RawServer::Connection& connection) {
    const std::lock_guard lock(mutex);
    seen = connection.read_request();
    connection.send(kOk);
  });
  RecordingSink sink;
  start(sink, origin_of(server.url()), R"({"a":1})", {{"Authorization", "Bearer k"}, {"X-Empty", ""}},
        "/v1/a/../m:generate?alt=sse");
  ASSERT_TRUE(run_to_end(sink));
  const std::lock_guard lock(mutex);
  EXPECT_THAT(seen, testing::StartsWith("POST /v1/a/../m:generate?alt=sse HTTP/1.1\r\nHost: 127.0.0.1:"));
  EXPECT_THAT(seen, HasSubstr("\r\nAuthorization: Bearer k\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nX-Empty:\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nContent-Length: 7\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("Content-Type")));
  EXPECT_THAT(seen, testing::EndsWith("\r\n\r\n{\"a\":1}"));
}

TEST_P(ExchangeTest, sends_a_large_body_without_waiting_for_leave) {
  std::atomic<bool> expects = false;
  std::atomic<std::size_t> size = 0;
  RawServer server([&](RawServer::Connection& connection) {
    const std::string request = connection.read_request();
    size = request.size();
    expects = request.find("Expect") != std::string::npos;
    connection.send(kOk);
  });
  RecordingSink sink;
  start(sink, origin_of(server.url()), std::string(3'000'000, 'x'), {{"Content-Type", "application/json"}});
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
  EXPECT_GT(size, 3'000'000u);
  EXPECT_FALSE(expects);
}

TEST_P(ExchangeTest, keeps_a_connection_for_the_next_request) {
  RawServer server([&](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  const auto origin = origin_of(server.url());
  for (int i = 0; i < 20; ++i) {
    RecordingSink sink;
    start(sink, origin, "{}", {}, "/" + std::to_string(i));
    ASSERT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.log, "connected head bytes end ");
  }
  EXPECT_EQ(server.connections_seen(), 1u);
  EXPECT_EQ(exchange->connections(), 1u);
  exchange.reset();
}

TEST_P(ExchangeTest, opens_no_more_connections_than_requests_are_in_flight) {
  RawServer server([&](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  const auto origin = origin_of(server.url());
  constexpr int kInFlight = 40;
  std::vector<std::unique_ptr<RecordingSink>> sinks;
  std::size_t left = 2000;
  std::size_t running = kInFlight;
  std::function<void()> next = [&] {
    if (left-- == 0 || left > 2000) {
      left = 0;
      --running;
      return;
    }
    sinks.push_back(std::make_unique<RecordingSink>());
    sinks.back()->ended = next;
    start(*sinks.back(), origin);
  };
  for (int i = 0; i < kInFlight; ++i) next();
  ASSERT_TRUE(loop.run_until([&] { return running == 0; }));
  for (const auto& sink : sinks) ASSERT_EQ(sink->end->kind, EndKind::Complete);
  EXPECT_LE(server.connections_seen(), kInFlight * 5 / 4);
}

// A server may close an idle connection at the very moment a request arrives on it.
class StaleConnection : public ExchangeTest {
 protected:
  void see_no_request_twice(const std::string& how);
};

void StaleConnection::see_no_request_twice(const std::string& how) {
  std::atomic<int> requests = 0;
  RawServer server([&](RawServer::Connection& connection) {
    if (connection.read_request().empty()) return;
    ++requests;
    connection.send(kOk);
    if (!connection.wait_for_bytes()) return;
    ++requests;
    if (how != "reset_unread") connection.read_request();
    if (how != "close") connection.reset_on_close();
  });
  const auto origin = origin_of(server.url());
  RecordingSink first;
  start(first, origin);
  ASSERT_TRUE(run_to_end(first));
  RecordingSink second;
  start(second, origin);
  ASSERT_TRUE(run_to_end(second));
  EXPECT_EQ(second.log, "connected end ");
  EXPECT_EQ(second.end->kind, EndKind::NoReply);
  EXPECT_EQ(requests, 2);
  EXPECT_EQ(server.connections_seen(), 1u);
  EXPECT_EQ(exchange->connections(), 0u);
  // Nothing of it stays behind: the next request is answered.
  RecordingSink third;
  start(third, origin);
  ASSERT_TRUE(run_to_end(third));
  EXPECT_EQ(third.end->kind, EndKind::Complete);
}

TEST_P(StaleConnection, closed_never_makes_the_server_see_a_request_twice) { see_no_request_twice("close"); }
TEST_P(StaleConnection, reset_never_makes_the_server_see_a_request_twice) { see_no_request_twice("reset"); }
TEST_P(StaleConnection, reset_unread_never_makes_the_server_see_a_request_twice) {
  see_no_request_twice("reset_unread");
}

TEST_P(ExchangeTest, leaves_a_connection_that_was_closed_while_idle) {
  std::atomic<bool> closed = false;
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send(kOk);
    shutdown(connection.fd(), SHUT_RDWR);
    closed = true;
  });
  const auto origin = origin_of(server.url());
  for (int i = 0; i < 3; ++i) {
    closed = false;
    RecordingSink sink;
    start(sink, origin);
    ASSERT_TRUE(loop.run_until([&] { return sink.has_ended() && closed; }));
    EXPECT_EQ(sink.end->kind, EndKind::Complete);
  }
  EXPECT_EQ(server.connections_seen(), 3u);
}

TEST_P(ExchangeTest, does_not_spin_on_what_nobody_reads) {
  std::atomic<bool> closed = false;
  RawServer server([&](RawServer::Connection& connection) {
    if (connection.read_request().find("idle") != std::string::npos) {
      connection.send(kOk);
      shutdown(connection.fd(), SHUT_RDWR);
      closed = true;
    } else {
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + std::string(900'000, 'x'));
    }
  });
  const auto origin = origin_of(server.url());
  RecordingSink idle;
  start(idle, origin, "idle");
  RecordingSink paused;
  ExchangeId id = 0;
  paused.bytes = [&] { exchange->pause(id); };
  id = start(paused, origin, "full");
  ASSERT_TRUE(loop.run_until([&] { return idle.has_ended() && closed && !paused.body.empty(); }));
  loop.run_for(10ms);
  int turns = 0;
  loop.loop().on_turn_end([&] { ++turns; });
  loop.run_for(50ms);
  EXPECT_LT(turns, 10);
  exchange->cancel(id);
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST_P(ExchangeTest, stops_reading_for_real_while_paused) {
  constexpr std::size_t kSize = 50'000'000;
  const std::string body(kSize, 'x');
  std::atomic<std::size_t> taken = 0;
  std::atomic<bool> stuck = false;
  RawServer server([&](RawServer::Connection& connection) {
    const int small = 64 << 10;
    setsockopt(connection.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
    taken = connection.send_what_fits(body, 100);
    stuck = true;
    connection.send(std::string_view(body).substr(taken));
  });
  RecordingSink sink;
  sink.body.reserve(kSize);
  ExchangeId id = 0;
  bool first = true;
  sink.bytes = [&] {
    if (std::exchange(first, false)) exchange->pause(id);
  };
  const std::size_t before = resident_bytes();
  id = start(sink, origin_of(server.url()));
  ASSERT_TRUE(loop.run_until([&] { return stuck.load(); }));
  EXPECT_LT(taken, 10'000'000u);                      // the kernel's buffers
  EXPECT_LT(resident_bytes() - before, 10'000'000u);  // libcurl's own start is among it
  exchange->resume(id);
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.body.size(), kSize);
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
}

TEST_P(ExchangeTest, tells_the_ways_in_which_an_answer_can_be_wrong) {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(answered_with(""), EndKind::NoReply);
  EXPECT_EQ(answered_with("HTTP/1.1 200"), EndKind::NoReply);
  EXPECT_EQ(answered_with("HTTP/1.1 200 OK\r\nA: b\r\n"), EndKind::Cut);
  EXPECT_EQ(answered_with("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal"), EndKind::Cut);
  EXPECT_EQ(answered_with("HTTP/1.1 100 Continue\r\n\r\n"), EndKind::Cut);
  EXPECT_EQ(answered_with(chunked), EndKind::Cut);
  EXPECT_EQ(answered_with(chunked + "4\r\nhalf\r\n"), EndKind::Cut);
  EXPECT_EQ(answered_with(chunked + "xyz\r\n"), EndKind::Malformed);
  EXPECT_EQ(answered_with("hello\r\n"), EndKind::Malformed);
  EXPECT_EQ(answered_with("{\"error\":1}"), EndKind::Malformed);
  EXPECT_EQ(answered_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), EndKind::Malformed);
  EXPECT_EQ(answered_with("HTTP/1.1 200 OK\r\n\r\nuntil the close"), EndKind::Complete);
  EXPECT_EQ(answered_with(chunked + "4\r\ntext\r\n0\r\nx-trailer: 1\r\n\r\n"), EndKind::Complete);
}

TEST_P(ExchangeTest, bounds_the_head_of_an_answer) {
  std::string lines = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 128; ++i) lines += "a: b\r\n";
  const std::string rest = "Content-Length: 0\r\n\r\n";
  EXPECT_EQ(answered_with(lines + "\r\n"), EndKind::Complete);
  RecordingSink sink;
  EXPECT_EQ(answered_with(lines + rest, sink), EndKind::Malformed);
  EXPECT_THAT(sink.end->message, HasSubstr("limit `head_lines` of 128"));
  EXPECT_EQ(sink.log, "connected end ");
  for (const std::size_t size : {70'000u, 120'000u, 5'000'000u}) {
    EXPECT_EQ(answered_with("HTTP/1.1 200 OK\r\nA: " + std::string(size, 'x') + "\r\n" + rest), EndKind::Malformed);
  }
  EXPECT_EQ(answered_with("HTTP/1.1 200 OK\r\nA: " + std::string(60'000, 'x') + "\r\n" + rest), EndKind::Complete);
  exchange = make_exchange(GetParam(), loop.loop(), {.bytes = 1000, .lines = 10});
  EXPECT_EQ(answered_with("HTTP/1.1 200 OK\r\nA: " + std::string(1000, 'x') + "\r\n" + rest), EndKind::Malformed);
}

TEST_P(ExchangeTest, skips_interim_answers) {
  RecordingSink sink;
  EXPECT_EQ(
      answered_with("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nX: y\r\n\r\nbody", sink),
      EndKind::Complete);
  EXPECT_EQ(sink.status, 404);
  EXPECT_THAT(sink.headers, testing::ElementsAre(testing::Pair("X", "y")));
  EXPECT_EQ(sink.body, "body");
}

TEST_P(ExchangeTest, follows_no_redirect_and_asks_for_no_password) {
  for (const std::string head :
       {"307 Temporary Redirect\r\nLocation: /elsewhere", "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\""}) {
    std::atomic<int> requests = 0;
    RawServer server([&](RawServer::Connection& connection) {
      while (!connection.read_request().empty()) {
        ++requests;
        connection.send("HTTP/1.1 " + head + "\r\nContent-Length: 0\r\n\r\n");
      }
    });
    RecordingSink sink;
    start(sink, origin_of(server.url()));
    ASSERT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.end->kind, EndKind::Complete);
    EXPECT_TRUE(sink.status == 307 || sink.status == 401);
    EXPECT_EQ(requests, 1);
  }
}

TEST_P(ExchangeTest, gives_an_early_answer_to_a_body_that_is_still_being_sent) {
  RawServer server([&](RawServer::Connection& connection) {
    ASSERT_TRUE(connection.wait_for_bytes());
    connection.send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
    connection.wait_for_close();
  });
  RecordingSink sink;
  start(sink, origin_of(server.url()), std::string(20'000'000, 'x'));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.status, 413);
  EXPECT_EQ(sink.body, "big");
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
}

TEST_P(ExchangeTest, sends_nothing_that_would_break_out_of_its_place) {
  RawServer server([&](RawServer::Connection& connection) { connection.read_request(); });
  const auto origin = origin_of(server.url());
  RecordingSink header;
  start(header, origin, "{}", {{"X-Key", "secret\r\nX-Other: 1"}});
  RecordingSink target;
  start(target, origin, "{}", {}, "/a b\r\n");
  RecordingSink host;
  start(host, origin, "{}", {}, "@example.com/");
  RecordingSink scheme;
  start(scheme, origin_of("file://"), "{}", {}, "/etc/passwd");
  for (RecordingSink* sink : {&header, &target, &host, &scheme}) {
    ASSERT_TRUE(run_to_end(*sink));
    EXPECT_EQ(sink->log, "end ");
    EXPECT_EQ(sink->end->kind, EndKind::NotConnected);
    EXPECT_THAT(sink->end->message, Not(HasSubstr("secret")));
  }
  EXPECT_EQ(server.connections_seen(), 0u);
}

TEST_P(ExchangeTest, closes_within_a_moment_of_a_cancel) {
  std::atomic<std::int64_t> closed_at = 0;
  const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    if (connection.wait_for_close()) closed_at = now();
  });
  RecordingSink sink;
  const ExchangeId id = start(sink, origin_of(server.url()));
  ASSERT_TRUE(loop.run_until([&] { return sink.log == "connected "; }));
  const auto cancelled_at = now();
  exchange->cancel(id);
  ASSERT_TRUE(loop.run_until([&] { return closed_at != 0; }));
  EXPECT_LT(closed_at - cancelled_at, 100'000'000);
}

// The descriptor of the connection to that port in this process; -1: none.
int connection_to(std::uint16_t port) {
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    const bool is_connected = getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
    if (is_connected && peer.sin_family == AF_INET && ntohs(peer.sin_port) == port) return fd;
  }
  return -1;
}

TEST_P(ExchangeTest, a_cancel_is_seen_though_a_forked_child_holds_the_socket) {
  std::atomic<bool> closed = false;
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    closed = connection.wait_for_close();
  });
  RecordingSink sink;
  const ExchangeId id = start(sink, origin_of(server.url()));
  ASSERT_TRUE(loop.run_until([&] { return sink.log == "connected "; }));
  const int held = dup(connection_to(server.port()));
  ASSERT_GE(held, 0);
  exchange->cancel(id);
  EXPECT_TRUE(loop.run_until([&] { return closed.load(); }));
  close(held);
}

TEST_P(ExchangeTest, refuses_lengths_that_can_be_read_in_two_ways) {
  const auto with = [](const std::string& headers) { return "HTTP/1.1 200 OK\r\n" + headers + "\r\nok"; };
  EXPECT_EQ(answered_with(with("Content-Length: 2\r\ncontent-length: 2\r\n")), EndKind::Complete);
  for (const std::string headers :
       {"Content-Length: 2\r\nContent-Length: 3\r\n", "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551618\r\n", "Content-Length: -2\r\n", "Content-Length: 2, 2\r\n",
        "Content-Length: 2x\r\n", "Content-Length:\r\n"}) {
    RecordingSink sink;
    EXPECT_EQ(answered_with(with(headers), sink), EndKind::Malformed) << headers;
    EXPECT_EQ(sink.body, "") << headers;
  }
}

TEST_P(ExchangeTest, works_on_several_loops_at_once) {
  RawServer server([&](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  std::atomic<int> complete = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      TestLoop own_loop;
      const auto own = make_exchange(GetParam(), own_loop.loop());
      const auto origin = origin_of(server.url());
      for (int request = 0; request < 50; ++request) {
        RecordingSink sink;
        own->start(runtime::request_of({.origin = origin, .target = "/"}), sink);
        if (own_loop.run_until([&] { return sink.has_ended(); }) && sink.body == "ok") ++complete;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(complete, 150);
}

TEST_P(ExchangeTest, holds_no_file_before_it_is_used) {
  const auto open_files = [] {
    std::set<int> files;
    for (int fd = 0; fd < 1024; ++fd) {
      if (fcntl(fd, F_GETFD) != -1) files.insert(fd);
    }
    return files;
  };
  const std::set<int> before = open_files();
  const auto unused = make_exchange(GetParam(), loop.loop());
  EXPECT_EQ(open_files(), before);
}

TEST_P(ExchangeTest, closes_idle_connections_when_it_goes) {
  std::atomic<bool> closed = false;
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send(kOk);
    closed = connection.wait_for_close();
  });
  RecordingSink sink;
  start(sink, origin_of(server.url()));
  ASSERT_TRUE(run_to_end(sink));
  exchange.reset();
  EXPECT_TRUE(loop.run_until([&] { return closed.load(); }));
}

INSTANTIATE_TEST_SUITE_P(Each, ExchangeTest, testing::ValuesIn(kExchanges),
                         [](const auto& tested) { return std::string(tested.param); });
INSTANTIATE_TEST_SUITE_P(Each, StaleConnection, testing::ValuesIn(kExchanges),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace orchestra::http
