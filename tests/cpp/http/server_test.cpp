#include "http/server.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <fstream>
#include <mutex>
#include <thread>

#include "http/raw_client.hpp"

namespace orchestra::http {
namespace {

using std::string;

// A server whose answers are made by the test, and a record of what it told.
class Site {
 public:
  using Make = std::function<Answer(const ServerExchange&)>;
  explicit Site(Make make)
      : server_(
            [this, make = std::move(make)](ServerExchange exchange) {
              Answer answer = make(exchange);
              const std::lock_guard lock(mutex_);
              exchanges_.push_back(std::move(exchange));
              changed_.notify_all();
              return answer;
            },
            [this](std::uint64_t number, double) {
              const std::lock_guard lock(mutex_);
              closed_.push_back(number);
              changed_.notify_all();
            }) {}

  Server& server() { return server_; }
  std::uint16_t port() const { return server_.port(); }

  std::vector<std::uint64_t> wait_for_closed(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return closed_.size() >= count; });
    return closed_;
  }
  std::vector<ServerExchange> wait_for_requests(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return exchanges_.size() >= count; });
    return exchanges_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ServerExchange> exchanges_;
  std::vector<std::uint64_t> closed_;
  Server server_;  // last: its thread uses the others
};

Answer hello(const ServerExchange& exchange) { return plain_answer(200, "text/plain", "hello " + exchange.body); }

string post(const string& body, const string& headers = "") {
  return "POST /v1/x?y=1 HTTP/1.1\r\nHost: here\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

TEST(Server, hands_over_the_whole_request) {
  Site site(hello);
  RawClient client(site.port());
  client.send(post("body", "X-Name:  Value \r\n"));
  EXPECT_EQ(client.read_until("hello body"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nhello body");
  const auto requests = site.wait_for_requests(1);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].number, 1u);
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].path, "/v1/x?y=1");
  EXPECT_EQ(requests[0].body, "body");
  EXPECT_EQ(requests[0].headers[1], (std::pair<string, string>("X-Name", "Value")));
  EXPECT_GT(requests[0].received_at, 0);
}

TEST(Server, keeps_the_connection_after_a_whole_answer) {
  Site site(hello);
  RawClient client(site.port());
  for (const char* body : {"1", "2", "3"}) {
    client.send(post(body));
    EXPECT_TRUE(client.read_until(string("hello ") + body).ends_with(body));
  }
  EXPECT_EQ(site.wait_for_requests(3).size(), 3u);
}

TEST(Server, answers_pipelined_requests_in_order) {
  Site site([](const ServerExchange& exchange) {
    Answer answer = hello(exchange);
    if (exchange.body == "a") answer.insert(answer.begin(), Wait{0.02});
    return answer;
  });
  RawClient client(site.port());
  client.send(post("a") + post("b") + post("c"));
  const string all = client.read_until("hello c");
  EXPECT_LT(all.find("hello a"), all.find("hello b"));
  EXPECT_LT(all.find("hello b"), all.find("hello c"));
}

TEST(Server, reads_a_request_that_comes_byte_by_byte) {
  Site site(hello);
  RawClient client(site.port());
  for (const char byte : post("slow")) client.send(string(1, byte));
  EXPECT_TRUE(client.read_until("hello slow").ends_with("hello slow"));
}

TEST(Server, reads_a_chunked_body) {
  Site site(hello);
  RawClient client(site.port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  client.send("2;x=y\r\nde\r\n0\r\n\r\n");
  EXPECT_TRUE(client.read_until("hello abcde").ends_with("hello abcde"));
}

TEST(Server, reads_a_large_body_and_writes_one) {
  Site site([](const ServerExchange& exchange) { return plain_answer(200, "text/plain", exchange.body + "."); });
  RawClient client(site.port());
  const string body(8u << 20, 'x');
  client.send(post(body));
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_until("."), body + ".");
}

TEST(Server, refuses_a_body_beyond_64_megabytes) {
  Site site(hello);
  RawClient client(site.port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 67108865\r\n\r\n");
  EXPECT_TRUE(client.read_to_end().starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(client.ended());
}

TEST(Server, refuses_what_is_no_http) {
  Site site(hello);
  RawClient client(site.port());
  client.send("garbage\r\n\r\n");
  EXPECT_TRUE(client.read_to_end().starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(client.ended());
}

TEST(Server, tells_a_client_that_waits_for_100_to_continue) {
  Site site(hello);
  RawClient client(site.port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_TRUE(client.read_until("hello ok").starts_with("HTTP/1.1 200 OK"));
}

TEST(Server, closes_after_the_answer_when_the_client_asks) {
  Site site(hello);
  RawClient client(site.port());
  client.send(post("x", "Connection: close\r\n"));
  EXPECT_TRUE(client.read_to_end().ends_with("hello x"));
  EXPECT_TRUE(client.ended());
  EXPECT_FALSE(client.was_reset());
}

TEST(Server, plays_steps_in_order_and_drips) {
  Site site([](const ServerExchange&) {
    Answer answer;
    answer.emplace_back(Write{"a"});
    answer.emplace_back(Wait{0.01});
    answer.emplace_back(Drip{"bcdefg", 2});
    answer.emplace_back(Drip{"", 1});
    answer.emplace_back(Write{""});
    answer.emplace_back(Drip{string(1000, 'h'), 1});
    answer.emplace_back(Close{});
    return answer;
  });
  RawClient client(site.port());
  client.send(post(""));
  EXPECT_EQ(client.read_to_end(), "abcdefg" + string(1000, 'h'));
  EXPECT_FALSE(client.was_reset());
}

TEST(Server, delivers_what_was_written_before_a_wait) {
  Site site([](const ServerExchange&) { return Answer{Write{"early"}, Wait{1000}}; });
  RawClient client(site.port());
  client.send(post(""));
  EXPECT_EQ(client.read_until("early"), "early");
}

TEST(Server, resets_the_connection) {
  Site site([](const ServerExchange&) { return Answer{Write{"some"}, Reset{}}; });
  RawClient client(site.port());
  client.send(post(""));
  client.read_to_end();
  EXPECT_TRUE(client.was_reset());
}

TEST(Server, closes_without_losing_the_answer_when_bytes_are_unread) {
  Site site([](const ServerExchange&) { return Answer{Write{"the answer"}, Close{}}; });
  RawClient client(site.port());
  client.send(post("x") + string(100'000, 'y'));
  EXPECT_EQ(client.read_to_end(), "the answer");
  EXPECT_FALSE(client.was_reset());
}

TEST(Server, tells_that_the_client_closed_while_the_answer_waits) {
  Site site([](const ServerExchange&) { return Answer{Wait{1000}}; });
  RawClient client(site.port());
  client.send(post(""));
  site.wait_for_requests(1);
  client.close();
  EXPECT_EQ(site.wait_for_closed(1), std::vector<std::uint64_t>{1});
}

TEST(Server, tells_that_the_client_closed_an_idle_connection_once_for_each_request) {
  Site site(hello);
  RawClient client(site.port());
  for (const char* body : {"1", "2"}) {
    client.send(post(body));
    client.read_until(string("hello ") + body);
  }
  client.close();
  EXPECT_EQ(site.wait_for_closed(2), (std::vector<std::uint64_t>{1, 2}));
}

TEST(Server, tells_that_the_client_closed_while_it_did_not_read) {
  Site site([](const ServerExchange&) { return Answer{Write{string(64u << 20, 'x')}}; });
  RawClient client(site.port());
  client.send(post(""));
  client.read_piece();
  client.close();
  EXPECT_EQ(site.wait_for_closed(1), std::vector<std::uint64_t>{1});
}

TEST(Server, tells_that_the_client_closed_after_the_server_did) {
  Site site([](const ServerExchange&) { return Answer{Close{}}; });
  RawClient client(site.port());
  client.send(post(""));
  client.read_to_end();
  client.close();
  EXPECT_EQ(site.wait_for_closed(1), std::vector<std::uint64_t>{1});
}

TEST(Server, serves_one_connection_while_another_waits) {
  Site site(
      [](const ServerExchange& exchange) { return exchange.body == "wait" ? Answer{Wait{1000}} : hello(exchange); });
  RawClient first(site.port());
  first.send(post("wait"));
  site.wait_for_requests(1);
  RawClient second(site.port());
  second.send(post("now"));
  EXPECT_TRUE(second.read_until("hello now").ends_with("hello now"));
}

TEST(Server, stop_ends_open_connections_and_gives_the_port_back) {
  Site site([](const ServerExchange&) { return Answer{Wait{1000}}; });
  const std::uint16_t port = site.port();
  RawClient client(port);
  client.send(post(""));
  site.wait_for_requests(1);
  site.server().stop();
  site.server().stop();
  client.read_to_end();
  EXPECT_TRUE(client.ended());
  EXPECT_FALSE(RawClient(port).connected());
  EXPECT_TRUE(site.wait_for_closed(0).empty());
}

TEST(Server, its_thread_is_named_and_blocks_every_signal) {
  string name;
  bool blocked = false;
  Site site([&](const ServerExchange& exchange) {
    std::ifstream("/proc/thread-self/comm") >> name;
    sigset_t mask;
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked = sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1;
    return hello(exchange);
  });
  RawClient client(site.port());
  client.send(post("x"));
  client.read_until("hello x");
  site.server().stop();
  EXPECT_EQ(name, "orchestra-fake");
  EXPECT_TRUE(blocked);
}

}  // namespace
}  // namespace orchestra::http
