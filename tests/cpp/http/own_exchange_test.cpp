// What OwnExchange does by itself where CurlExchange leaves it to libcurl: finding a server, the pool, the limits of
// one turn. What both promise is in exchange_test.cpp and exchange_contract_test.cpp.
#include "http/own_exchange.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

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

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

std::vector<NetworkAddress> addresses_of(const std::vector<std::string>& texts) {
  std::vector<NetworkAddress> addresses;
  for (const std::string& text : texts) addresses.push_back(*NetworkAddress::parse(text));
  return addresses;
}

std::shared_ptr<const Origin> origin_of(std::string url) {
  return std::make_shared<const Origin>(Origin{.url = std::move(url), .proxy = "-"});
}

// A socket that listens on loopback; nobody accepts.
class Listener {
 public:
  Listener(const NetworkAddress& address, int backlog, std::uint16_t port = 0)
      : fd_(socket(address.family(), SOCK_STREAM, 0)) {
    sockaddr_storage place{};
    socklen_t size = address.fill(place, port);
    listens_ = bind(fd_, reinterpret_cast<sockaddr*>(&place), size) == 0 && listen(fd_, backlog) == 0 &&
               getsockname(fd_, reinterpret_cast<sockaddr*>(&place), &size) == 0;
    sockaddr_in v4{};
    std::memcpy(&v4, &place, sizeof v4);
    port_ = ntohs(v4.sin_port);  // at the same place for both families
  }
  ~Listener() { close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] bool listens() const { return listens_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  bool listens_ = false;
  std::uint16_t port_ = 0;
};

class OwnExchangeTest : public testing::Test {
 protected:
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
  void resolve_to(std::vector<std::string> addresses, runtime::Duration attempt_delay = 250ms) {
    exchange.emplace(loop.loop(), HeadLimits{},
                     OwnOptions{.resolve =
                                    [found = addresses_of(addresses)](const std::string&) {
                                      return Resolution{found, ""};
                                    },
                                .attempt_delay = attempt_delay});
  }
  // Whether a connection that one answer came on is used for the next request.
  bool keeps_after(const std::string& answer) {
    RawServer server([&](RawServer::Connection& connection) {
      while (!connection.read_request().empty()) connection.send(answer);
    });
    const auto origin = origin_of(server.url());
    for (int i = 0; i < 2; ++i) {
      RecordingSink sink;
      start(sink, origin);
      EXPECT_TRUE(run_to_end(sink));
      EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
    }
    return server.connections_seen() == 1;
  }

  TestLoop loop;
  std::optional<OwnExchange> exchange{std::in_place, loop.loop()};
};

// ---- finding a server

TEST_F(OwnExchangeTest, tries_the_next_address_at_once_when_one_refuses) {
  RawServer server([](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  // IPv6 refuses, or is not there at all.
  resolve_to({"::1", "127.0.0.1"}, 1h);
  RecordingSink sink;
  start(sink, origin_of("http://models.test:" + std::to_string(server.port())));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
  EXPECT_EQ(exchange->connections(), 1u);
}

TEST_F(OwnExchangeTest, finds_localhost_by_either_family) {
  RawServer server([](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  RecordingSink sink;
  start(sink, origin_of("http://localhost:" + std::to_string(server.port())));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
}

TEST_F(OwnExchangeTest, tries_the_next_address_beside_one_that_does_not_answer) {
  RawServer server([](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  // A queue that is full answers no more: the same port at another address of loopback.
  const Listener full(*NetworkAddress::parse("127.0.0.2"), 0, server.port());
  if (!full.listens()) GTEST_SKIP() << "127.0.0.2 cannot be listened at here";
  std::vector<int> queued;
  for (int i = 0; i < 4; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_storage place{};
    const socklen_t size = NetworkAddress::parse("127.0.0.2")->fill(place, server.port());
    [[maybe_unused]] const int begun = connect(fd, reinterpret_cast<sockaddr*>(&place), size);
    queued.push_back(fd);
  }
  resolve_to({"127.0.0.2", "127.0.0.1"}, 20ms);
  RecordingSink sink;
  start(sink, origin_of("http://models.test:" + std::to_string(server.port())));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
  EXPECT_EQ(exchange->connections(), 1u) << "the attempt that lost is closed";
  for (const int fd : queued) close(fd);
}

TEST_F(OwnExchangeTest, can_be_cancelled_while_it_connects) {
  const Listener full(*NetworkAddress::parse("127.0.0.1"), 0);
  ASSERT_TRUE(full.listens());
  std::vector<std::unique_ptr<RecordingSink>> sinks;
  std::vector<ExchangeId> ids;
  const auto origin = origin_of("http://127.0.0.1:" + std::to_string(full.port()));
  for (int i = 0; i < 5; ++i) {
    sinks.push_back(std::make_unique<RecordingSink>());
    ids.push_back(start(*sinks.back(), origin));
  }
  ASSERT_TRUE(loop.run_until([&] { return exchange->connections() == 5; }));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    sinks[i]->forbidden = true;
    exchange->cancel(ids[i]);
  }
  EXPECT_EQ(exchange->connections(), 0u);
  loop.run_for(2ms);
}

TEST_F(OwnExchangeTest, says_why_no_address_can_be_reached) {
  std::uint16_t port = 0;
  {
    const Listener gone(*NetworkAddress::parse("127.0.0.1"), 1);
    port = gone.port();
  }
  resolve_to({"127.0.0.1", "::1"});
  RecordingSink sink;
  start(sink, origin_of("http://models.test:" + std::to_string(port)));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.end->kind, EndKind::NotConnected);
  EXPECT_EQ(sink.end->message, "Couldn't connect to server: Connection refused");
}

TEST_F(OwnExchangeTest, says_why_a_name_has_no_address) {
  exchange.emplace(loop.loop(), HeadLimits{}, OwnOptions{.resolve = [](const std::string&) {
                     return Resolution{{}, "Name or service not known"};
                   }});
  RecordingSink sink;
  start(sink, origin_of("http://models.test"));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.end->kind, EndKind::NotConnected);
  EXPECT_EQ(sink.end->message, "Couldn't resolve host name: Name or service not known");
}

TEST_F(OwnExchangeTest, a_name_that_hangs_holds_up_neither_others_nor_destruction) {
  struct Gate {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_open = false;
  };
  const auto gate = std::make_shared<Gate>();
  exchange.emplace(loop.loop(), HeadLimits{}, OwnOptions{.resolve = [gate](const std::string& host) {
                     if (host == "hangs.test") {
                       std::unique_lock lock(gate->mutex);
                       gate->changed.wait(lock, [&] { return gate->is_open; });
                     }
                     return Resolution{addresses_of({"127.0.0.1"}), ""};
                   }});
  RawServer server([](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  const std::string port = ":" + std::to_string(server.port());
  RecordingSink stuck;
  RecordingSink cancelled;
  start(stuck, origin_of("http://hangs.test" + port));
  const ExchangeId id = start(cancelled, origin_of("http://hangs.test" + port));
  RecordingSink other;
  start(other, origin_of("http://models.test" + port));
  ASSERT_TRUE(run_to_end(other));
  EXPECT_EQ(other.end->kind, EndKind::Complete);
  exchange->cancel(id);
  EXPECT_EQ(stuck.log, "");
  exchange.reset();
  {
    const std::lock_guard lock(gate->mutex);
    gate->is_open = true;
  }
  gate->changed.notify_all();
  loop.run_for(2ms);
  EXPECT_EQ(stuck.log + cancelled.log, "");
}

// RawServer speaks IPv4 alone.
TEST_F(OwnExchangeTest, speaks_ipv6_and_puts_its_address_in_brackets) {
  const Listener listener(NetworkAddress(in6addr_loopback), 8);
  if (!listener.listens()) GTEST_SKIP() << "this machine has no IPv6 loopback";
  std::string seen;
  std::thread server([&] {
    const int fd = accept(listener.fd(), nullptr, nullptr);
    RawServer::Connection connection(fd);
    seen = connection.read_request();
    connection.send(kOk);
    connection.wait_for_close();
    close(fd);
  });
  const std::string authority = "[::1]:" + std::to_string(listener.port());
  RecordingSink sink;
  start(sink, origin_of("http://" + authority));
  EXPECT_TRUE(run_to_end(sink));
  exchange.reset();
  server.join();
  ASSERT_TRUE(sink.has_ended());
  EXPECT_EQ(sink.end->kind, EndKind::Complete) << sink.end->message;
  EXPECT_THAT(seen, HasSubstr("\r\nHost: " + authority + "\r\n"));
}

TEST(OriginAddress, reads_what_it_can_and_refuses_the_rest) {
  const auto authority = [](std::string_view url) {
    const auto address = OriginAddress::read(url);
    return address ? address->host + " " + std::to_string(address->port) + " " + address->authority : "";
  };
  EXPECT_EQ(authority("http://Models.Test"), "models.test 80 models.test");
  EXPECT_EQ(authority("https://models.test"), "models.test 443 models.test");
  EXPECT_EQ(authority("https://models.test:443"), "models.test 443 models.test");
  EXPECT_EQ(authority("http://models.test:443"), "models.test 443 models.test:443");
  EXPECT_EQ(authority("http://127.0.0.1:8080"), "127.0.0.1 8080 127.0.0.1:8080");
  EXPECT_EQ(authority("http://[::1]:8080"), "::1 8080 [::1]:8080");
  EXPECT_EQ(authority("https://[2001:DB8::1]"), "2001:db8::1 443 [2001:db8::1]");
  for (const char* url :
       {"", "models.test", "ftp://models.test", "http://", "http://:80", "http://a:", "http://a:0", "http://a:65536",
        "http://a:b", "http://a/b", "http://user@a", "http://[::1", "http://[::1]x", "http://[]", "http://a b"}) {
    EXPECT_EQ(authority(url), "") << url;
  }
}

TEST(OwnExchangeServes, leaves_origins_behind_a_proxy_to_libcurl) {
  EXPECT_TRUE(OwnExchange::serves({.url = "https://models.test", .proxy = "-"}));
  EXPECT_FALSE(OwnExchange::serves({.url = "https://models.test", .proxy = "http://proxy.test:3128"}));
}

// ---- what is sent

TEST_F(OwnExchangeTest, refuses_headers_that_would_change_where_a_request_ends) {
  RawServer server([](RawServer::Connection& connection) { connection.read_request(); });
  for (const runtime::HeaderList& headers : {runtime::HeaderList{{"content-length", "1"}},
                                             {{"Transfer-Encoding", "chunked"}},
                                             {{"Expect", "100-continue"}},
                                             {{"X Y", "1"}},
                                             {{"", "1"}},
                                             {{"X:", "1"}},
                                             {{"X", std::string("a\0b", 3)}},
                                             {{"X", "a\x1b[31m"}}}) {
    RecordingSink sink;
    start(sink, origin_of(server.url()), "{}", headers);
    ASSERT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.end->kind, EndKind::NotConnected);
    EXPECT_THAT(sink.end->message, HasSubstr("header"));
  }
  EXPECT_EQ(server.connections_seen(), 0u);
}

TEST_F(OwnExchangeTest, lets_a_header_name_another_host) {
  std::mutex mutex;
  std::string seen;
  RawServer server([&](RawServer::Connection& connection) {
    const std::lock_guard lock(mutex);
    seen = connection.read_request();
    connection.send(kOk);
  });
  RecordingSink sink;
  start(sink, origin_of(server.url()), "", {{"Host", "models.test"}, {"Accept", "text/event-stream"}});
  ASSERT_TRUE(run_to_end(sink));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen,
            "POST /v1/chat HTTP/1.1\r\nHost: models.test\r\nAccept: text/event-stream\r\nContent-Length: 0\r\n\r\n");
}

TEST_F(OwnExchangeTest, sends_bodies_of_any_size_whole) {
  std::mutex mutex;
  std::string seen;
  RawServer server([&](RawServer::Connection& connection) {
    const int small = 64 << 10;
    setsockopt(connection.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (std::string request; !(request = connection.read_request()).empty();) {
      const std::lock_guard lock(mutex);
      seen = request.substr(request.find("\r\n\r\n") + 4);
      connection.send(kOk);
    }
  });
  const auto origin = origin_of(server.url());
  for (const std::size_t size : {0u, 1u, 15'000u, 16'100u, 16'200u, 16'300u, 16'384u, 70'000u, 5'000'000u}) {
    std::string body(size, ' ');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>('!' + i * 31 % 90);
    RecordingSink sink;
    start(sink, origin, body);
    ASSERT_TRUE(run_to_end(sink));
    EXPECT_EQ(sink.end->kind, EndKind::Complete);
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(seen == body) << size;
  }
  EXPECT_EQ(server.connections_seen(), 1u);
}

// ---- the pool

TEST_F(OwnExchangeTest, keeps_a_connection_only_after_a_clean_end) {
  EXPECT_TRUE(keeps_after(kOk));
  EXPECT_TRUE(keeps_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
  EXPECT_TRUE(keeps_after("HTTP/1.1 204 No Content\r\n\r\n"));
  EXPECT_FALSE(keeps_after("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
  EXPECT_FALSE(keeps_after("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  EXPECT_FALSE(keeps_after(kOk + "and more"));
  EXPECT_FALSE(keeps_after(kOk + kOk));
}

TEST_F(OwnExchangeTest, does_not_keep_a_connection_with_a_request_half_sent) {
  RawServer server([&](RawServer::Connection& connection) {
    ASSERT_TRUE(connection.wait_for_bytes());
    connection.send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig");
    connection.wait_for_close();
  });
  RecordingSink sink;
  start(sink, origin_of(server.url()), std::string(20'000'000, 'x'));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.status, 413);
  EXPECT_EQ(sink.body, "big");
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
  EXPECT_EQ(exchange->connections(), 0u);
}

// What a server does with an idle connection: it must be closed at once, not when it is wanted.
class IdleConnection : public OwnExchangeTest, public testing::WithParamInterface<const char*> {};

TEST_P(IdleConnection, is_closed_when_the_server_has_done_with_it) {
  const std::string how = GetParam();
  std::atomic<bool> may_go = false;
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send(kOk);
    while (!may_go) std::this_thread::yield();
    if (how == "half_closes") shutdown(connection.fd(), SHUT_WR);
    if (how == "resets") connection.reset_on_close();
    if (how == "speaks") connection.send("HTTP/1.1 408 Request Timeout\r\n\r\n");
    if (how == "half_closes" || how == "speaks") connection.wait_for_close();
  });
  RecordingSink sink;
  start(sink, origin_of(server.url()));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(exchange->connections(), 1u);
  may_go = true;
  EXPECT_TRUE(loop.run_until([&] { return exchange->connections() == 0; }));
}
INSTANTIATE_TEST_SUITE_P(How, IdleConnection, testing::Values("closes", "half_closes", "resets", "speaks"),
                         [](const auto& tested) { return tested.param; });

TEST_F(OwnExchangeTest, a_server_that_has_half_closed_may_still_answer) {
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlast ");
    connection.send("word");
    shutdown(connection.fd(), SHUT_WR);
    connection.wait_for_close();
  });
  RecordingSink sink;
  start(sink, origin_of(server.url()));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.body, "last word");
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
  EXPECT_TRUE(loop.run_until([&] { return exchange->connections() == 0; }));
}

TEST_F(OwnExchangeTest, does_not_keep_a_connection_that_is_closed_with_the_answer) {
  std::atomic<bool> has_read = false, may_answer = false, has_closed = false;
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    has_read = true;
    while (!may_answer) std::this_thread::yield();
    connection.send(kOk);
    shutdown(connection.fd(), SHUT_WR);
    has_closed = true;
    connection.wait_for_close();
  });
  const auto origin = origin_of(server.url());
  RecordingSink first, second;
  first.ended = [&] {
    EXPECT_EQ(exchange->connections(), 0u);
    start(second, origin);
  };
  start(first, origin);
  ASSERT_TRUE(loop.run_until([&] { return has_read.load(); }));
  may_answer = true;
  while (!has_closed) std::this_thread::yield();
  ASSERT_TRUE(run_to_end(second));
  EXPECT_EQ(first.end->kind, EndKind::Complete);
  EXPECT_EQ(second.end->kind, EndKind::Complete) << second.end->message;
  EXPECT_EQ(server.connections_seen(), 2u);
}

TEST_F(OwnExchangeTest, learns_that_a_server_closes_right_after_its_answers) {
  std::atomic<int> closed = 0;
  std::atomic<bool> may_close = false;
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send(kOk);
    while (!may_close) std::this_thread::yield();
    shutdown(connection.fd(), SHUT_WR);
    ++closed;
    connection.wait_for_close();
  });
  const auto origin = origin_of(server.url());
  RecordingSink first, second, third;
  start(first, origin);
  ASSERT_TRUE(run_to_end(first));
  may_close = true;
  ASSERT_TRUE(loop.run_until([&] { return exchange->connections() == 0; }));
  may_close = false;
  // The close comes in the turn of the answer, and the next request is made in the same turn.
  second.ended = [&] {
    may_close = true;
    while (closed < 2) std::this_thread::yield();
    start(third, origin);
  };
  start(second, origin);
  ASSERT_TRUE(run_to_end(third));
  EXPECT_EQ(third.end->kind, EndKind::Complete) << third.end->message;
  EXPECT_EQ(server.connections_seen(), 3u);
}

TEST_F(OwnExchangeTest, uses_the_connection_that_was_used_last) {
  std::mutex mutex;
  std::vector<int> used;
  std::atomic<int> connections = 0;
  RawServer server([&](RawServer::Connection& connection) {
    const int number = connections++;
    while (!connection.read_request().empty()) {
      {
        const std::lock_guard lock(mutex);
        used.push_back(number);
      }
      connection.send(kOk);
    }
  });
  const auto origin = origin_of(server.url());
  std::vector<RecordingSink> three(3);
  for (RecordingSink& sink : three) start(sink, origin);
  ASSERT_TRUE(loop.run_until(
      [&] { return std::all_of(three.begin(), three.end(), [](const auto& sink) { return sink.has_ended(); }); }));
  for (int i = 0; i < 10; ++i) {
    RecordingSink sink;
    start(sink, origin);
    ASSERT_TRUE(run_to_end(sink));
  }
  const std::lock_guard lock(mutex);
  ASSERT_EQ(used.size(), 13u);
  for (std::size_t i = 4; i < used.size(); ++i) EXPECT_EQ(used[i], used[3]);
  EXPECT_EQ(connections, 3);
}

TEST_F(OwnExchangeTest, closes_what_has_idled_too_long) {
  exchange.emplace(loop.loop(), HeadLimits{}, OwnOptions{.idle_limit = 20ms});
  RawServer server([](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  const auto origin = origin_of(server.url());
  std::vector<RecordingSink> three(3);
  for (RecordingSink& sink : three) start(sink, origin);
  ASSERT_TRUE(loop.run_until(
      [&] { return std::all_of(three.begin(), three.end(), [](const auto& sink) { return sink.has_ended(); }); }));
  EXPECT_EQ(exchange->connections(), 3u);
  EXPECT_TRUE(loop.run_until([&] { return exchange->connections() == 0; }));
}

// The loop was busy while the server closed, so nobody has told that it did.
class BusyLoop : public OwnExchangeTest, public testing::WithParamInterface<const char*> {};

TEST_P(BusyLoop, a_connection_that_died_meanwhile_is_not_used) {
  const std::string how = GetParam();
  std::atomic<bool> may_go = false;
  std::atomic<int> gone = 0;
  RawServer server([&](RawServer::Connection& connection) {
    if (connection.read_request().empty()) return;
    connection.send(kOk);
    while (!may_go) std::this_thread::yield();
    if (how == "resets") {
      const sockaddr nowhere{.sa_family = AF_UNSPEC, .sa_data = {}};
      connect(connection.fd(), &nowhere, sizeof nowhere);  // sends RST at once
    } else {
      shutdown(connection.fd(), SHUT_RDWR);
    }
    ++gone;
  });
  const auto origin = origin_of(server.url());
  std::vector<RecordingSink> two(2);
  for (RecordingSink& sink : two) start(sink, origin);
  ASSERT_TRUE(loop.run_until([&] { return two[0].has_ended() && two[1].has_ended(); }));
  RecordingSink late;
  runtime::Timer busy(loop.loop(), [&] {
    may_go = true;
    while (gone < 2) std::this_thread::yield();
    // A reset is seen by sending; an end only by looking, which is done when a turn lasts so long.
    if (how == "closes") std::this_thread::sleep_for(15ms);
    start(late, origin);
  });
  busy.set(loop.loop().now());
  ASSERT_TRUE(run_to_end(late));
  EXPECT_EQ(late.end->kind, EndKind::Complete) << late.end->message;
  EXPECT_EQ(late.log, "connected head bytes end ");
  EXPECT_EQ(server.connections_seen(), 3u);
}
INSTANTIATE_TEST_SUITE_P(How, BusyLoop, testing::Values("closes", "resets"),
                         [](const auto& tested) { return tested.param; });

TEST_F(OwnExchangeTest, closes_the_connections_of_an_origin_that_nobody_knows_any_more) {
  RawServer server([](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.send(kOk);
  });
  for (int i = 0; i < 3; ++i) {
    RecordingSink sink;
    start(sink, origin_of(server.url()));
    ASSERT_TRUE(run_to_end(sink));
  }
  EXPECT_EQ(exchange->connections(), 1u);
}

// ---- one turn, and what may come while a sink waits

TEST_F(OwnExchangeTest, a_fast_answer_does_not_keep_others_waiting) {
  constexpr std::size_t kSize = 40'000'000;
  RawServer fast([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
    connection.send(std::string(kSize, 'x'));
  });
  RecordingSink sink;
  sink.body.reserve(kSize);
  std::size_t this_turn = 0;
  std::size_t most = 0;
  std::size_t seen = 0;
  sink.bytes = [&] {
    this_turn += sink.body.size() - std::exchange(seen, sink.body.size());
    most = std::max(most, this_turn);
  };
  loop.loop().on_turn_end([&] { this_turn = 0; });
  start(sink, origin_of(fast.url()));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.body.size(), kSize);
  EXPECT_LE(most, std::size_t{512} << 10);
}

TEST_F(OwnExchangeTest, gives_out_what_a_pause_left_even_when_the_server_has_gone) {
  std::string text(150'000, ' ');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  std::atomic<bool> gone = false;
  RawServer server([&](RawServer::Connection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\n\r\n" + text);
    shutdown(connection.fd(), SHUT_RDWR);
    gone = true;
  });
  RecordingSink sink;
  ExchangeId id = 0;
  sink.head = [&] { exchange->pause(id); };
  id = start(sink, origin_of(server.url()));
  ASSERT_TRUE(loop.run_until([&] { return gone && sink.status == 200; }));
  loop.run_for(2ms);
  EXPECT_EQ(sink.body, "");
  runtime::Timer go_on(loop.loop(), [&] { exchange->resume(id); });
  sink.bytes = [&] {
    exchange->pause(id);
    go_on.set(loop.loop().now());
  };
  exchange->resume(id);
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_TRUE(sink.body == text);
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
}

TEST_F(OwnExchangeTest, a_pause_taken_back_in_the_same_call_loses_nothing) {
  std::string chunks;
  for (int i = 0; i < 500; ++i) chunks += "4\r\nabcd\r\n";
  RawServer server([&](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) {
      connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n");
    }
  });
  RecordingSink sink;
  ExchangeId id = 0;
  sink.bytes = sink.head = [&] {
    exchange->pause(id);
    exchange->resume(id);
  };
  id = start(sink, origin_of(server.url()));
  ASSERT_TRUE(run_to_end(sink));
  EXPECT_EQ(sink.body.size(), 2000u);
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
  EXPECT_EQ(exchange->connections(), 1u);
}

std::string gzipped(const std::string& text) {
  std::string packed(text.size() + 1000, '\0');
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST_F(OwnExchangeTest, unpacks_an_answer_that_nobody_asked_to_be_packed) {
  std::mt19937 random(7);
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += static_cast<char>('a' + random() % 20);
  const std::string packed = gzipped(text);
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ";
  std::atomic<bool> cuts = false;
  RawServer server([&](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) {
      const std::string_view sent = std::string_view(packed).substr(0, cuts ? packed.size() / 2 : packed.size());
      connection.send(head + std::to_string(sent.size()) + "\r\n\r\n");
      connection.send(sent);
    }
  });
  const auto origin = origin_of(server.url());
  RecordingSink whole;
  start(whole, origin);
  ASSERT_TRUE(run_to_end(whole));
  EXPECT_TRUE(whole.body == text);
  EXPECT_EQ(whole.end->kind, EndKind::Complete) << whole.end->message;
  RecordingSink paused;
  ExchangeId id = 0;
  runtime::Timer go_on(loop.loop(), [&] { exchange->resume(id); });
  paused.bytes = [&] {
    exchange->pause(id);
    go_on.set(loop.loop().now());
  };
  id = start(paused, origin);
  ASSERT_TRUE(run_to_end(paused));
  EXPECT_TRUE(paused.body == text);
  EXPECT_EQ(paused.end->kind, EndKind::Complete) << paused.end->message;
  EXPECT_EQ(server.connections_seen(), 1u);
  cuts = true;
  RecordingSink half;
  start(half, origin);
  ASSERT_TRUE(run_to_end(half));
  EXPECT_EQ(half.end->kind, EndKind::Malformed);
  RecordingSink cancelled;
  cancelled.bytes = [&] {
    cancelled.forbidden = true;
    exchange->cancel(id);
    id = 0;
  };
  id = start(cancelled, origin);
  ASSERT_TRUE(loop.run_until([&] { return id == 0; }));
}

// Everything that a caller may do, at random, to servers that do everything that a server may do.
TEST_F(OwnExchangeTest, survives_any_order_of_calls) {
  std::atomic<unsigned> requests = 0;
  const auto misbehave = [&](RawServer::Connection& connection) {
    while (!connection.read_request().empty()) {
      const unsigned number = requests++;
      switch (number % 11) {
        case 0: return;
        case 1: connection.reset_on_close(); return;
        case 2: connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"); return;
        case 3: connection.send("no http\r\n"); return;
        case 4: connection.send(kOk + "more"); break;
        case 5: connection.send("HTTP/1.1 200 OK\r\n\r\nto the end"); return;
        case 6:
          connection.send("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
          connection.send(std::string(200'000, 'x'));
          break;
        default: connection.send(kOk);
      }
    }
  };
  std::array<RawServer, 2> servers{RawServer(misbehave), RawServer(misbehave)};
  const std::array origins{origin_of(servers[0].url()), origin_of(servers[1].url())};
  std::mt19937 random(11);
  struct Running {
    RecordingSink sink;
    ExchangeId id = 0;
    bool cancelled = false;
  };
  std::vector<std::unique_ptr<Running>> all;
  std::function<void()> act = [&] {
    if (all.empty()) return;
    Running& one = *all[all.size() - 1 - random() % std::min<std::size_t>(all.size(), 40)];
    switch (random() % 8) {
      case 0:
        one.cancelled = one.cancelled || !one.sink.has_ended();
        exchange->cancel(one.id);
        break;
      case 1: exchange->pause(one.id); break;
      case 2:
      case 3: exchange->resume(one.id); break;
      default: break;
    }
  };
  const auto begin = [&] {
    all.push_back(std::make_unique<Running>());
    Running& one = *all.back();
    one.sink.connected = one.sink.head = one.sink.bytes = one.sink.ended = act;
    one.id = start(one.sink, origins[random() % 2], std::string(random() % 4 == 0 ? 100'000 : 10, 'b'));
  };
  runtime::Timer tick(loop.loop(), [&] {
    for (int i = 0; i < 4; ++i) begin();
    act();
    if (all.size() < 1500) tick.set(loop.loop().now());
  });
  tick.set(loop.loop().now());
  ASSERT_TRUE(loop.run_until([&] {
    if (all.size() < 1500) return false;
    bool over = true;
    for (const auto& one : all) {
      if (one->cancelled || one->sink.has_ended()) continue;
      exchange->resume(one->id);
      over = false;
    }
    return over;
  }));
  for (const auto& one : all) EXPECT_FALSE(one->cancelled && one->sink.has_ended());
}

}  // namespace
}  // namespace orchestra::http
