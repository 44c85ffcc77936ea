#include "fake/answer.hpp"

#include <gtest/gtest.h>

#include "fake/toy_format.hpp"

namespace orchestra::fake {
namespace {

using std::string;

// The steps, one a line: w bytes of the body, as a client would see them; r RST, f FIN, s seconds, d drip.
string play(const http::Answer& answer) {
  string out;
  for (const http::Step& step : answer) {
    if (const auto* write = std::get_if<http::Write>(&step)) {
      out += "w " + write->bytes + "\n";
    } else if (const auto* wait = std::get_if<http::Wait>(&step)) {
      out += "s " + std::to_string(wait->seconds).substr(0, 3) + "\n";
    } else if (const auto* drip = std::get_if<http::Drip>(&step)) {
      out += "d " + std::to_string(drip->size) + " " + drip->bytes + "\n";
    } else {
      out += std::holds_alternative<http::Reset>(step) ? "r\n" : "f\n";
    }
  }
  // The heads are always the same; what is of interest is that they are there, once.
  const auto shorten = [&out](const string& head, const string& name) {
    const std::size_t begin = out.find(head);
    if (begin != string::npos) out.replace(begin, out.find("\r\n\r\n", begin) + 4 - begin, name);
  };
  shorten("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n", "PLAIN ");
  shorten("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream", "STREAM ");
  for (std::size_t at; (at = out.find("\r\n")) != string::npos;) out.replace(at, 2, "|");
  return out;
}

struct Case {
  bool stream = false;
  std::optional<Fault> fault = std::nullopt;
  string text = "text";
  double latency = 0;
};

string answer(const Case& wanted) {
  const ToyFormat format;
  protocol::ServerRequest request;
  request.stream = wanted.stream;
  protocol::ServerReply reply;
  reply.text = wanted.text;
  return play(make_answer({format, request, reply, wanted.fault ? &*wanted.fault : nullptr, wanted.latency}));
}

Fault fault(FaultKind kind) {
  Fault out;
  out.kind = kind;
  return out;
}

constexpr const char* kStreamStart = "w STREAM 6|<role>|3|[t]|\n";

TEST(Answer, a_plain_one_is_one_write) { EXPECT_EQ(answer({}), "w PLAIN \"text\"\n"); }

TEST(Answer, each_content_event_of_a_stream_ends_a_write) {
  EXPECT_EQ(answer({.stream = true}), string(kStreamStart) + "w 3|[e]|\nw 3|[x]|\nw 3|[t]|\nw 5|<end>|0||\n");
}

TEST(Answer, latency_is_before_the_first_byte) { EXPECT_EQ(answer({.latency = 0.5}), "s 0.5\nw PLAIN \"text\"\n"); }

TEST(Answer, status_has_the_shape_of_the_format_and_says_when_to_come_back) {
  Fault status = fault(FaultKind::Status);
  status.status = 429;
  status.retry_after = 1.5;
  const string seen = answer({.stream = true, .fault = status});
  EXPECT_TRUE(seen.starts_with("w HTTP/1.1 429 Too Many Requests|Content-Type: application/json|")) << seen;
  EXPECT_NE(seen.find("|Retry-After: 1.5|"), string::npos) << seen;
  EXPECT_NE(seen.find("||{429 the fake"), string::npos) << seen;
}

TEST(Answer, reset_comes_before_any_byte_or_inside_the_body) {
  Fault reset = fault(FaultKind::Reset);
  EXPECT_EQ(answer({.fault = reset}), "r\n");
  EXPECT_EQ(answer({.stream = true, .fault = reset}), "r\n");
  reset.after_bytes = 3;
  EXPECT_EQ(answer({.fault = reset}), "w PLAIN \"te\nr\n");
  reset.after_bytes = 8;
  EXPECT_EQ(answer({.stream = true, .fault = reset}), "w STREAM 8|<role>[t|\nr\n");
}

TEST(Answer, stall_waits_after_so_many_content_events) {
  Fault stall = fault(FaultKind::Stall);
  stall.seconds = 9;
  EXPECT_EQ(answer({.stream = true, .fault = stall, .text = "t"}),
            "w STREAM 6|<role>|\ns 9.0\nw 3|[t]|\nw 5|<end>|0||\n");
  stall.after_events = 1;
  EXPECT_EQ(answer({.stream = true, .fault = stall, .text = "tx"}),
            string(kStreamStart) + "s 9.0\nw 3|[x]|\nw 5|<end>|0||\n");
}

TEST(Answer, stall_of_a_plain_answer_is_between_head_and_body) {
  Fault stall = fault(FaultKind::Stall);
  stall.seconds = 9;
  EXPECT_EQ(answer({.fault = stall}), "w PLAIN \ns 9.0\nw \"text\"\n");
}

TEST(Answer, cut_ends_after_so_many_content_events_or_after_the_last) {
  Fault cut = fault(FaultKind::Cut);
  cut.after_events = 2;
  EXPECT_EQ(answer({.stream = true, .fault = cut}), string(kStreamStart) + "w 3|[e]|\nf\n");
  EXPECT_EQ(answer({.stream = true, .fault = cut, .text = "t"}), string(kStreamStart) + "f\n");
  EXPECT_EQ(answer({.stream = true, .fault = cut, .text = ""}), "w STREAM \nf\n");
  EXPECT_EQ(answer({.fault = cut}), "w PLAIN \"te\nf\n");
}

TEST(Answer, garbage_is_a_whole_answer_that_is_no_json) {
  EXPECT_NE(answer({.fault = fault(FaultKind::Garbage)}).find("\xff"), string::npos);
  const string seen = answer({.stream = true, .fault = fault(FaultKind::Garbage)});
  EXPECT_TRUE(seen.starts_with("w STREAM ") && seen.ends_with("|0||\n")) << seen;
}

TEST(Answer, drip_is_the_right_answer_in_small_pieces) {
  Fault drip = fault(FaultKind::Drip);
  drip.bytes = 3;
  EXPECT_EQ(answer({.fault = drip}), "d 3 PLAIN \"text\"\n");
  EXPECT_EQ(answer({.stream = true, .fault = drip, .text = "t", .latency = 1}),
            "s 1.0\nd 3 STREAM 6|<role>|3|[t]|5|<end>|0||\n");
}

TEST(Answer, duplicate_event_repeats_what_carries_no_content) {
  const Fault duplicate = fault(FaultKind::DuplicateEvent);
  EXPECT_EQ(answer({.stream = true, .fault = duplicate, .text = "t"}),
            "w STREAM 6|<role>|6|<role>|3|[t]|\nw 5|<end>|0||\n");
  EXPECT_EQ(answer({.fault = duplicate}), "w PLAIN \"text\"\n");
}

}  // namespace
}  // namespace orchestra::fake
