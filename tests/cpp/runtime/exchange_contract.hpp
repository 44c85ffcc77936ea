// What every implementation of the exchange seam must keep, as tests over a driver: a world whose server follows a
// script. The rooms that implement the seam instantiate them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/exchange.hpp"
#include "runtime/loop.hpp"

namespace orchestra::runtime {

// What the server does once it has read the request.
struct ScriptStep {
  enum class Kind { Head, Bytes, Break, Garbage, Stall, End };
  Kind kind = Kind::End;
  std::string text{};     // of Bytes
  std::size_t piece = 0;  // of Bytes: 0 is all at once
};
using Script = std::vector<ScriptStep>;

inline ExchangeRequest request_of(RequestHead head, std::string body = "{}") {
  return {.head = std::make_shared<const RequestHead>(std::move(head)),
          .body = std::make_shared<const std::string>(std::move(body))};
}

// Writes down what it is told. The hooks run at the end of a call.
class RecordingSink final : public ExchangeSink {
 public:
  void on_connected() override { note("connected", connected); }
  void on_head(AnswerHead answer) override {
    status = answer.status;
    headers = answer.headers.list();
    note("head", head);
  }
  void on_bytes(std::span<char> given) override {
    body.append(given.data(), given.size());
    largest = std::max(largest, given.size());
    // The memory is ours to write until we return, and there is room behind it to read.
    std::memset(given.data(), 'x', given.size());
    for (std::size_t i = 0; i < kReadableBehind; ++i) behind = given.data()[given.size() + i];
    note(log.ends_with("bytes ") ? "" : "bytes", bytes);
  }
  void on_end(End how) override {
    EXPECT_FALSE(end.has_value()) << "a second end";
    end = std::move(how);
    note("end", ended);
  }

  [[nodiscard]] bool has_ended() const { return end.has_value(); }
  // Around a call of the seam, in which the sink must not be called.
  bool forbidden = false;

  std::string log;
  int status = 0;
  HeaderList headers;
  std::string body;
  std::size_t largest = 0;
  volatile char behind = 0;
  std::optional<End> end;
  std::function<void()> connected, head, bytes, ended;

 private:
  void note(const char* what, const std::function<void()>& hook) {
    EXPECT_FALSE(forbidden) << what << " from inside a call";
    if (*what != '\0') log.append(what).append(" ");
    if (hook) hook();
  }
};

// Driver: loop(), exchange(), destroy_exchange(); serve(scripts): the n-th request follows the n-th, the rest the last;
// request(body), refused_request(); run_until(condition), run_for(duration); requests_seen(); closed_early(): exchanges
// of which the server saw the connection close while it followed a script.
template <class Driver>
class ExchangeContract : public testing::Test {
 protected:
  ExchangeId start(RecordingSink& sink, std::string body = "{}") {
    sink.forbidden = true;
    const ExchangeId id = driver.exchange().start(driver.request(std::move(body)), sink);
    sink.forbidden = false;
    EXPECT_NE(id, 0u);
    return id;
  }
  void cancel(RecordingSink& sink, ExchangeId id) {
    sink.forbidden = true;  // for ever
    driver.exchange().cancel(id);
  }
  bool run_to_end(RecordingSink& sink) {
    return driver.run_until([&] { return sink.has_ended(); });
  }
  static ScriptStep head() { return {ScriptStep::Kind::Head}; }
  static ScriptStep bytes(std::string text, std::size_t piece = 0) {
    return {ScriptStep::Kind::Bytes, std::move(text), piece};
  }
  static ScriptStep break_off() { return {ScriptStep::Kind::Break}; }
  static ScriptStep garbage() { return {ScriptStep::Kind::Garbage}; }
  static ScriptStep stall() { return {ScriptStep::Kind::Stall}; }
  static ScriptStep end() { return {ScriptStep::Kind::End}; }

  Driver driver;
};

TYPED_TEST_SUITE_P(ExchangeContract);

TYPED_TEST_P(ExchangeContract, tells_connected_head_bytes_and_one_end_in_this_order) {
  this->driver.serve({{this->head(), this->bytes("hello"), this->end()}});
  RecordingSink sink;
  this->start(sink);
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_EQ(sink.log, "connected head bytes end ");
  EXPECT_EQ(sink.status, 200);
  EXPECT_EQ(sink.body, "hello");
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
  EXPECT_EQ(sink.end->message, "");
  EXPECT_EQ(this->driver.requests_seen(), 1u);
}

TYPED_TEST_P(ExchangeContract, hands_up_an_answer_that_comes_byte_by_byte) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>('a' + i % 26);
  this->driver.serve({{this->head(), this->bytes(text, 1), this->end()}});
  RecordingSink sink;
  this->start(sink);
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_EQ(sink.body, text);
}

TYPED_TEST_P(ExchangeContract, carries_a_large_answer_whole) {
  std::string text(3'000'000, ' ');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761u >> 7);
  this->driver.serve({{this->head(), this->bytes(text), this->end()}});
  RecordingSink sink;
  this->start(sink);
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_TRUE(sink.body == text);
}

TYPED_TEST_P(ExchangeContract, says_not_connected_when_the_server_refuses) {
  RecordingSink sink;
  sink.forbidden = true;
  this->driver.exchange().start(this->driver.refused_request(), sink);
  sink.forbidden = false;
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_EQ(sink.log, "end ");
  EXPECT_EQ(sink.end->kind, EndKind::NotConnected);
  EXPECT_NE(sink.end->message, "");
}

TYPED_TEST_P(ExchangeContract, says_no_reply_when_the_connection_dies_before_an_answer) {
  this->driver.serve({{this->break_off()}});
  RecordingSink sink;
  this->start(sink);
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_EQ(sink.log, "connected end ");
  EXPECT_EQ(sink.end->kind, EndKind::NoReply);
  EXPECT_EQ(this->driver.requests_seen(), 1u);
}

TYPED_TEST_P(ExchangeContract, says_cut_when_the_answer_breaks_off) {
  this->driver.serve({{this->head(), this->bytes("half"), this->break_off()}, {this->head(), this->break_off()}});
  for (const std::string expected : {"half", ""}) {
    RecordingSink sink;
    this->start(sink);
    ASSERT_TRUE(this->run_to_end(sink));
    EXPECT_EQ(sink.body, expected);
    EXPECT_EQ(sink.end->kind, EndKind::Cut);
  }
  EXPECT_EQ(this->driver.requests_seen(), 2u);
}

TYPED_TEST_P(ExchangeContract, says_malformed_when_what_comes_is_no_http) {
  this->driver.serve({{this->garbage()}});
  RecordingSink sink;
  this->start(sink);
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_EQ(sink.end->kind, EndKind::Malformed);
}

TYPED_TEST_P(ExchangeContract, closes_the_connection_and_says_nothing_more_when_cancelled) {
  this->driver.serve({{this->head(), this->bytes("first"), this->stall()}});
  RecordingSink sink;
  const ExchangeId id = this->start(sink);
  ASSERT_TRUE(this->driver.run_until([&] { return sink.body == "first"; }));
  EXPECT_EQ(this->driver.exchange().connections(), 1u);
  this->cancel(sink, id);
  ASSERT_TRUE(this->driver.run_until([&] { return this->driver.closed_early() == 1; }));
  EXPECT_EQ(this->driver.exchange().connections(), 0u);
  EXPECT_EQ(sink.log, "connected head bytes ");
}

TYPED_TEST_P(ExchangeContract, can_be_cancelled_before_anything_happened) {
  this->driver.serve({{this->head(), this->end()}});
  RecordingSink sink;
  const ExchangeId id = this->start(sink);
  this->cancel(sink, id);
  this->driver.run_for(std::chrono::milliseconds(20));
  EXPECT_EQ(sink.log, "");
  EXPECT_EQ(this->driver.exchange().connections(), 0u);
}

TYPED_TEST_P(ExchangeContract, can_be_cancelled_from_each_of_its_own_calls) {
  this->driver.serve({{this->head(), this->bytes("text"), this->stall()}});
  for (const std::string last : {"connected", "head", "bytes"}) {
    RecordingSink sink;
    ExchangeId id = 0;
    bool cancelled = false;
    (last == "connected" ? sink.connected
     : last == "head"    ? sink.head
                         : sink.bytes) = [&] {
      this->cancel(sink, id);
      cancelled = true;
    };
    id = this->start(sink);
    ASSERT_TRUE(this->driver.run_until([&] { return cancelled && this->driver.exchange().connections() == 0; }));
    this->driver.run_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(sink.log.ends_with(last + " ")) << sink.log;
  }
}

TYPED_TEST_P(ExchangeContract, one_can_cancel_another_from_a_call) {
  this->driver.serve({{this->head(), this->bytes("a"), this->stall()}});
  RecordingSink first;
  RecordingSink second;
  const ExchangeId first_id = this->start(first);
  ASSERT_TRUE(this->driver.run_until([&] { return first.body == "a"; }));
  second.bytes = [&] { this->cancel(first, first_id); };
  const ExchangeId second_id = this->start(second);
  ASSERT_TRUE(this->driver.run_until([&] { return this->driver.closed_early() == 1; }));
  EXPECT_EQ(this->driver.exchange().connections(), 1u);
  this->cancel(second, second_id);
}

TYPED_TEST_P(ExchangeContract, cancelling_one_that_has_ended_touches_no_other) {
  this->driver.serve({{this->head(), this->bytes("done"), this->end()}});
  RecordingSink first;
  const ExchangeId first_id = this->start(first);
  ASSERT_TRUE(this->run_to_end(first));
  RecordingSink second;
  const ExchangeId second_id = this->start(second);
  EXPECT_NE(first_id, second_id);
  this->driver.exchange().cancel(first_id);
  this->driver.exchange().pause(first_id);
  this->driver.exchange().resume(first_id);
  this->driver.exchange().cancel(0);
  ASSERT_TRUE(this->run_to_end(second));
  EXPECT_EQ(second.body, "done");
}

TYPED_TEST_P(ExchangeContract, holds_everything_back_while_paused) {
  this->driver.serve({{this->head(), this->bytes("one"), this->bytes("two"), this->end()}});
  RecordingSink sink;
  ExchangeId id = 0;
  sink.head = [&] { this->driver.exchange().pause(id); };
  id = this->start(sink);
  ASSERT_TRUE(this->driver.run_until([&] { return sink.status == 200; }));
  this->driver.run_for(std::chrono::milliseconds(30));
  EXPECT_EQ(sink.log, "connected head ");
  sink.forbidden = true;
  this->driver.exchange().resume(id);
  sink.forbidden = false;
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_EQ(sink.body, "onetwo");
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
}

TYPED_TEST_P(ExchangeContract, holds_the_head_and_the_end_of_one_paused_from_the_start) {
  this->driver.serve({{this->head(), this->end()}});
  RecordingSink sink;
  const ExchangeId id = this->start(sink);
  this->driver.exchange().pause(id);
  this->driver.run_for(std::chrono::milliseconds(30));
  EXPECT_EQ(sink.log, "connected ");
  this->driver.exchange().resume(id);
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_EQ(sink.log, "connected head end ");
}

TYPED_TEST_P(ExchangeContract, goes_on_through_many_pauses_from_inside_its_calls) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += static_cast<char>('a' + i % 26);
  this->driver.serve({{this->head(), this->bytes(text, 1000), this->end()}});
  RecordingSink sink;
  ExchangeId id = 0;
  Timer go_on(this->driver.loop(), [&] { this->driver.exchange().resume(id); });
  sink.bytes = [&] {
    this->driver.exchange().pause(id);
    go_on.set(this->driver.loop().now());
  };
  id = this->start(sink);
  ASSERT_TRUE(this->run_to_end(sink));
  EXPECT_TRUE(sink.body == text);
}

TYPED_TEST_P(ExchangeContract, can_be_cancelled_while_paused) {
  this->driver.serve({{this->head(), this->bytes(std::string(100'000, 'x')), this->stall()}});
  RecordingSink sink;
  ExchangeId id = 0;
  sink.bytes = [&] { this->driver.exchange().pause(id); };
  id = this->start(sink);
  ASSERT_TRUE(this->driver.run_until([&] { return !sink.body.empty(); }));
  this->driver.exchange().resume(id);
  this->cancel(sink, id);
  ASSERT_TRUE(this->driver.run_until([&] { return this->driver.closed_early() == 1; }));
  EXPECT_EQ(this->driver.exchange().connections(), 0u);
}

TYPED_TEST_P(ExchangeContract, one_can_be_started_from_each_call_of_another) {
  this->driver.serve({{this->head(), this->bytes("text"), this->end()}});
  RecordingSink first;
  std::vector<std::unique_ptr<RecordingSink>> others;
  const auto start_another = [&] {
    others.push_back(std::make_unique<RecordingSink>());
    this->start(*others.back());
  };
  first.connected = first.head = first.bytes = first.ended = start_another;
  this->start(first);
  ASSERT_TRUE(this->driver.run_until([&] {
    return others.size() == 4 &&
           std::all_of(others.begin(), others.end(), [](auto& sink) { return sink->has_ended(); });
  }));
  for (const auto& sink : others) EXPECT_EQ(sink->body, "text");
  EXPECT_EQ(this->driver.requests_seen(), 5u);
}

TYPED_TEST_P(ExchangeContract, destruction_closes_all_and_says_nothing) {
  this->driver.serve({{this->head(), this->bytes("text"), this->stall()}});
  RecordingSink first;
  RecordingSink second;
  RecordingSink third;
  this->start(first);
  this->start(second);
  ASSERT_TRUE(this->driver.run_until([&] { return !first.body.empty() && !second.body.empty(); }));
  this->start(third);
  first.forbidden = second.forbidden = third.forbidden = true;
  this->driver.destroy_exchange();
  ASSERT_TRUE(this->driver.run_until([&] { return this->driver.closed_early() >= 2; }));
}

TYPED_TEST_P(ExchangeContract, keeps_many_apart) {
  this->driver.serve({{this->head(), this->bytes("text", 1), this->end()}});
  std::vector<std::unique_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 100; ++i) {
    sinks.push_back(std::make_unique<RecordingSink>());
    this->start(*sinks.back(), std::to_string(i));
  }
  ASSERT_TRUE(this->driver.run_until(
      [&] { return std::all_of(sinks.begin(), sinks.end(), [](auto& sink) { return sink->has_ended(); }); }));
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->log, "connected head bytes end ");
    EXPECT_EQ(sink->body, "text");
  }
  EXPECT_EQ(this->driver.requests_seen(), 100u);
}

REGISTER_TYPED_TEST_SUITE_P(ExchangeContract, tells_connected_head_bytes_and_one_end_in_this_order,
                            hands_up_an_answer_that_comes_byte_by_byte, carries_a_large_answer_whole,
                            says_not_connected_when_the_server_refuses,
                            says_no_reply_when_the_connection_dies_before_an_answer,
                            says_cut_when_the_answer_breaks_off, says_malformed_when_what_comes_is_no_http,
                            closes_the_connection_and_says_nothing_more_when_cancelled,
                            can_be_cancelled_before_anything_happened, can_be_cancelled_from_each_of_its_own_calls,
                            one_can_cancel_another_from_a_call, cancelling_one_that_has_ended_touches_no_other,
                            holds_everything_back_while_paused, holds_the_head_and_the_end_of_one_paused_from_the_start,
                            goes_on_through_many_pauses_from_inside_its_calls, can_be_cancelled_while_paused,
                            one_can_be_started_from_each_call_of_another, destruction_closes_all_and_says_nothing,
                            keeps_many_apart);

}  // namespace orchestra::runtime
