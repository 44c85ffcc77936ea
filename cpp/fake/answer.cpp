#include "fake/answer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

namespace orchestra::fake {
namespace {

using http::Answer;
using Events = std::vector<protocol::Format::ServerEvent>;

constexpr std::string_view kJson = "application/json";
// Neither JSON, nor UTF-8, nor an event of any framing.
constexpr std::string_view kGarbage = "data: \x01\xff\xfe{no]json\"\n\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

std::string seconds_text(double seconds) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), seconds).ptr;
  return {text.data(), end};
}

std::string plain_head(std::size_t body_bytes) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body_bytes) +
         "\r\n\r\n";
}

std::string stream_head() {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
         "Transfer-Encoding: chunked\r\n\r\n";
}

void append_chunk(std::string& out, std::string_view bytes) {
  if (bytes.empty()) return;  // an empty chunk would be the last one
  std::array<char, 16> size{};
  const auto end = std::to_chars(size.data(), size.data() + size.size(), bytes.size(), 16).ptr;
  out.append(size.data(), end).append("\r\n").append(bytes).append("\r\n");
}

// So many that a stream looks like one: about ten bytes each, but not more than 32.
std::size_t pieces_of(const protocol::ServerReply& reply) {
  std::size_t bytes = reply.text.size();
  for (const chat::ToolCall& call : reply.tool_calls) bytes = std::max(bytes, call.arguments.size());
  return std::clamp<std::size_t>(bytes / 10, 2, 32);
}

// Which event comes twice: one that says nothing, such as a ping or the first one. Content would count twice.
std::size_t harmless_event(const Events& events) {
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (events[i].bytes.find("event: ping") != std::string::npos) return i;
  }
  const auto found = std::find_if(events.begin(), events.end(), [](const auto& event) { return !event.content; });
  return static_cast<std::size_t>(found - events.begin());
}

// The index of the event before which the fault happens: right after so many content events, and after 0 of them right
// before the first. A stream with fewer has it after its last content event, so that a fault always shows.
std::size_t place_of_fault(const Events& events, std::size_t after_events) {
  std::size_t seen = 0;
  std::size_t place = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (!events[i].content) continue;
    if (after_events == 0) return i;
    place = i + 1;
    if (++seen == after_events) break;
  }
  return place;
}

void add_stream(Answer& answer, const CallAnswer& call) {
  const Events events = call.format.encode_stream(call.reply, call.request, pieces_of(call.reply));
  const Fault* fault = call.fault;
  const auto is = [fault](FaultKind kind) { return fault != nullptr && fault->kind == kind; };
  const bool breaks_inside = is(FaultKind::Stall) || is(FaultKind::Cut);
  const std::size_t place = breaks_inside ? place_of_fault(events, fault->after_events) : events.size();
  const std::size_t twice = is(FaultKind::DuplicateEvent) ? harmless_event(events) : events.size();

  // Each event that carries content ends a write, as it does at a provider.
  std::string bytes = stream_head();
  const auto flush = [&] {
    if (!bytes.empty()) answer.emplace_back(http::Write{std::exchange(bytes, {})});
  };
  for (std::size_t i = 0; i <= events.size(); ++i) {
    if (breaks_inside && i == place) {
      flush();
      if (is(FaultKind::Cut)) {
        answer.emplace_back(http::Close{});
        return;
      }
      answer.emplace_back(http::Wait{fault->seconds});
    }
    if (i == events.size()) break;
    append_chunk(bytes, events[i].bytes);
    if (i == twice) append_chunk(bytes, events[i].bytes);
    if (events[i].content) flush();
  }
  bytes += kLastChunk;
  flush();
}

void add_plain(Answer& answer, const CallAnswer& call) {
  const std::string body = call.format.encode_reply(call.reply);
  std::string bytes = plain_head(body.size());
  if (call.fault != nullptr && call.fault->kind == FaultKind::Stall) {
    answer.emplace_back(http::Write{std::move(bytes)});
    answer.emplace_back(http::Wait{call.fault->seconds});
    answer.emplace_back(http::Write{body});
    return;
  }
  if (call.fault != nullptr && call.fault->kind == FaultKind::Cut) {
    answer.emplace_back(http::Write{bytes.append(body, 0, body.size() / 2)});
    answer.emplace_back(http::Close{});
    return;
  }
  answer.emplace_back(http::Write{bytes.append(body)});
}

void add_right_answer(Answer& answer, const CallAnswer& call) {
  if (call.request.stream) {
    add_stream(answer, call);
  } else {
    add_plain(answer, call);
  }
}

void add_reset(Answer& answer, const CallAnswer& call) {
  if (call.fault->after_bytes > 0) {
    std::string bytes;
    if (call.request.stream) {
      std::string body;
      for (const auto& event : call.format.encode_stream(call.reply, call.request, pieces_of(call.reply))) {
        body += event.bytes;
      }
      bytes = stream_head();
      append_chunk(bytes, std::string_view(body).substr(0, call.fault->after_bytes));
    } else {
      const std::string body = call.format.encode_reply(call.reply);
      bytes = plain_head(body.size()).append(body, 0, call.fault->after_bytes);
    }
    answer.emplace_back(http::Write{std::move(bytes)});
  }
  answer.emplace_back(http::Reset{});
}

void add_garbage(Answer& answer, const CallAnswer& call) {
  std::string bytes;
  if (call.request.stream) {
    bytes = stream_head();
    append_chunk(bytes, kGarbage);
    bytes += kLastChunk;
  } else {
    bytes = plain_head(kGarbage.size()).append(kGarbage);
  }
  answer.emplace_back(http::Write{std::move(bytes)});
}

void add_drip(Answer& answer, const CallAnswer& call) {
  Answer whole;
  add_right_answer(whole, call);
  std::string bytes;
  for (const http::Step& step : whole) bytes += std::get<http::Write>(step).bytes;
  answer.emplace_back(http::Drip{std::move(bytes), call.fault->bytes});
}

}  // namespace

http::Answer error_answer(const protocol::Format& format, int status, std::string_view message,
                          std::optional<double> retry_after) {
  std::vector<std::pair<std::string, std::string>> headers;
  if (retry_after) headers.emplace_back("Retry-After", seconds_text(*retry_after));
  return http::plain_answer(status, kJson, format.encode_error(status, message), headers);
}

http::Answer make_answer(const CallAnswer& call) {
  Answer answer;
  if (call.latency > 0) answer.emplace_back(http::Wait{call.latency});
  if (call.fault == nullptr) {
    add_right_answer(answer, call);
    return answer;
  }
  switch (call.fault->kind) {
    case FaultKind::Status: {
      const std::string message = "the fake answers with " + std::to_string(call.fault->status) + ", as it was told";
      for (http::Step& step : error_answer(call.format, call.fault->status, message, call.fault->retry_after)) {
        answer.push_back(std::move(step));
      }
      break;
    }
    case FaultKind::Reset: add_reset(answer, call); break;
    case FaultKind::Garbage: add_garbage(answer, call); break;
    case FaultKind::Drip: add_drip(answer, call); break;
    case FaultKind::Stall:
    case FaultKind::Cut:
    case FaultKind::DuplicateEvent: add_right_answer(answer, call); break;
  }
  return answer;
}

}  // namespace orchestra::fake
