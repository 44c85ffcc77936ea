#include "fake/fake_providers.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "http/raw_client.hpp"
#include "json/value.hpp"
#include "protocol/format.hpp"

namespace orchestra::fake {
namespace {

using std::string;

constexpr const char* kBoth = R"({"protocols": ["openai-chat", "anthropic-messages"]})";

std::unique_ptr<FakeProviders> open(const string& config) {
  auto fake = FakeProviders::open(config);
  if (!fake) {
    ADD_FAILURE() << fake.error().message;
    return nullptr;
  }
  return std::move(fake).value();
}

string problem(const string& config) {
  const auto fake = FakeProviders::open(config);
  return fake ? "" : fake.error().message;
}

// A client of one protocol: sends a question over a connection of its own and reads the answer with the real decoder.
class Client {
 public:
  Client(FakeProviders& fake, string protocol)
      : protocol_(std::move(protocol)), format_(protocol::find_format(protocol_)), socket_(port(fake, protocol_)) {}

  void send(const string& text, bool stream = false) {
    const string body = R"({"model":"fake-1","max_tokens":99,"messages":[{"role":"user","content":")" + text + "\"}]" +
                        (stream ? R"(,"stream":true,"stream_options":{"include_usage":true})" : "") + "}";
    socket_.send("POST /" + protocol_ + "/v1" + (protocol_ == "openai-chat" ? "/chat/completions" : "/messages") +
                 " HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
  }

  struct Seen {
    int status = 0;
    string head;
    string text;
    std::vector<chat::ToolCall> tool_calls;
    chat::Summary summary;
  };

  Seen ask(const string& text) {
    send(text);
    Seen seen = read_head();
    const string body = read_body(seen.head);
    if (seen.status != 200) {
      seen.text = format_->error(seen.status, {}, body).message;
      return seen;
    }
    json::Document document;
    EXPECT_FALSE(document.parse(body)) << body;
    auto summary = format_->summarize(document.root(), {});
    EXPECT_TRUE(summary) << body;
    if (!summary) return seen;
    seen.summary = *summary;
    const auto choices = format_->choices(document.root(), {});
    if (choices.empty()) return seen;
    seen.text = choices[0].text;
    seen.tool_calls = choices[0].tool_calls;
    return seen;
  }

  // The deltas of a streamed answer that ends as it should.
  std::vector<chat::Delta> stream(const string& text) {
    send(text, true);
    read_head();
    const auto decoder = format_->stream_decoder({});
    std::vector<chat::Delta> deltas;
    for (;;) {
      const string line = socket_.read_until("\r\n");
      const auto size = std::strtoul(line.c_str(), nullptr, 16);
      if (line.empty() || size == 0) break;
      const string chunk = socket_.read_exactly(size + 2);
      EXPECT_EQ(chunk.size(), size + 2);
      EXPECT_TRUE(decoder->feed(std::string_view(chunk).substr(0, size), deltas));
    }
    socket_.read_until("\r\n");
    EXPECT_TRUE(decoder->end(deltas));
    return deltas;
  }

  http::RawClient& socket() { return socket_; }

 private:
  static std::uint16_t port(FakeProviders& fake, const string& protocol) {
    const string url = fake.url(protocol).value();
    return static_cast<std::uint16_t>(std::stoi(url.substr(string("http://127.0.0.1:").size())));
  }
  Seen read_head() {
    Seen seen;
    seen.head = socket_.read_until("\r\n\r\n");
    if (seen.head.size() > 12) seen.status = std::stoi(seen.head.substr(9, 3));
    return seen;
  }
  string read_body(const string& head) {
    const std::size_t at = head.find("Content-Length: ");
    const auto size = at == string::npos ? 0 : std::strtoul(head.c_str() + at + 16, nullptr, 10);
    return socket_.read_exactly(size);
  }

  string protocol_;
  const protocol::Format* format_;
  http::RawClient socket_;
};

class FakeProvidersOf : public testing::TestWithParam<const char*> {
 protected:
  string protocol() const { return GetParam(); }
  string config(const string& more = "") const { return R"({"protocols": [")" + protocol() + "\"]" + more + "}"; }
};

INSTANTIATE_TEST_SUITE_P(Protocols, FakeProvidersOf, testing::Values("openai-chat", "anthropic-messages"),
                         [](const auto& protocol) {
                           const string name = protocol.param;
                           return name.substr(0, name.find('-'));
                         });

TEST_P(FakeProvidersOf, plays_the_script_and_then_makes_texts_up) {
  const auto fake = open(config());
  ASSERT_TRUE(fake->script(R"(["one", {"text": "two", "finish_reason": "length", "usage": {"input_tokens": 7,
      "output_tokens": 9}}])"));
  Client client(*fake, protocol());
  EXPECT_EQ(client.ask("a").text, "one");
  const auto two = client.ask("b");
  EXPECT_EQ(two.text, "two");
  EXPECT_EQ(two.summary.finish, chat::Finish::Length);
  EXPECT_EQ(two.summary.usage.input_tokens, 7);
  EXPECT_EQ(two.summary.usage.output_tokens, 9);
  EXPECT_EQ(two.summary.served_model, "fake-1");
  const auto made_up = client.ask("c");
  EXPECT_GT(made_up.text.size(), 50u);
  EXPECT_EQ(made_up.summary.finish, chat::Finish::Stop);
  EXPECT_EQ(made_up.summary.usage.input_tokens, 1);
  EXPECT_EQ(made_up.summary.usage.output_tokens, static_cast<std::int64_t>((made_up.text.size() + 3) / 4));
}

TEST_P(FakeProvidersOf, plays_tool_calls) {
  const auto fake = open(config());
  ASSERT_TRUE(fake->script(R"([{"tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "Oslo"}},
      {"name": "time"}]}])"));
  Client client(*fake, protocol());
  const auto seen = client.ask("weather?");
  EXPECT_EQ(seen.summary.finish, chat::Finish::ToolCalls);
  ASSERT_EQ(seen.tool_calls.size(), 2u);
  EXPECT_EQ(seen.tool_calls[0].id, "c1");
  EXPECT_EQ(seen.tool_calls[0].name, "weather");
  EXPECT_NE(seen.tool_calls[0].arguments.find("Oslo"), string::npos);
  EXPECT_FALSE(seen.tool_calls[1].id.empty());
}

TEST_P(FakeProvidersOf, streams_the_same_script_in_several_deltas) {
  const auto fake = open(config());
  ASSERT_TRUE(fake->script(R"(["The quick brown fox jumps over the lazy dog.", "ab"])"));
  Client client(*fake, protocol());
  for (const string wanted : {"The quick brown fox jumps over the lazy dog.", "ab"}) {
    string text;
    int pieces = 0;
    chat::Delta last;
    for (const chat::Delta& delta : client.stream("Hi")) {
      text += delta.text;
      pieces += delta.text.empty() ? 0 : 1;
      last = delta;
    }
    EXPECT_EQ(text, wanted);
    EXPECT_GE(pieces, 2);
    EXPECT_EQ(last.finish, chat::Finish::Stop);
    ASSERT_TRUE(last.usage);
    EXPECT_GT(last.usage->output_tokens.value_or(0), 0);
  }
}

TEST_P(FakeProvidersOf, the_seed_decides_the_made_up_text) {
  std::vector<string> texts;
  for (const char* seed : {"1", "1", "2"}) {
    const auto fake = open(config(string(", \"seed\": ") + seed));
    texts.push_back(Client(*fake, protocol()).ask("Hi").text);
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_NE(texts[0], texts[2]);
}

TEST_P(FakeProvidersOf, a_fault_of_the_script_hits_one_call) {
  const auto fake = open(config());
  ASSERT_TRUE(fake->script(R"([{"fault": {"kind": "status", "code": 429, "retry_after": 2}}, "after"])"));
  Client client(*fake, protocol());
  const auto refused = client.ask("Hi");
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.head.find("\r\nRetry-After: 2\r\n"), string::npos) << refused.head;
  EXPECT_NE(refused.text.find("429"), string::npos) << refused.text;
  EXPECT_EQ(client.ask("Hi").text, "after");
}

TEST_P(FakeProvidersOf, every_and_times_choose_the_calls) {
  const auto fake = open(config(R"(, "faults": [{"kind": "status", "code": 503, "every": 3, "times": 2}])"));
  Client client(*fake, protocol());
  std::vector<int> statuses;
  for (int i = 0; i < 9; ++i) statuses.push_back(client.ask("Hi").status);
  EXPECT_EQ(statuses, (std::vector<int>{200, 200, 503, 200, 200, 503, 200, 200, 200}));
}

TEST_P(FakeProvidersOf, a_fault_that_spoils_the_answer_leaves_the_script_alone) {
  const auto fake =
      open(config(R"(, "faults": [{"kind": "status", "code": 500, "times": 1}, {"kind": "drip", "times": 1}])"));
  ASSERT_TRUE(fake->script(R"(["one", "two"])"));
  Client client(*fake, protocol());
  EXPECT_EQ(client.ask("Hi").status, 500);
  EXPECT_EQ(client.ask("Hi").text, "one");
  EXPECT_EQ(client.ask("Hi").text, "two");
}

TEST_P(FakeProvidersOf, a_duplicated_event_changes_nothing) {
  const auto fake = open(config(R"(, "faults": [{"kind": "duplicate_event"}])"));
  ASSERT_TRUE(fake->script(R"(["unchanged"])"));
  string text;
  for (const chat::Delta& delta : Client(*fake, protocol()).stream("Hi")) text += delta.text;
  EXPECT_EQ(text, "unchanged");
}

TEST_P(FakeProvidersOf, a_rate_limit_refuses_with_a_hint) {
  const auto fake = open(config(R"(, "rate_limits": 2)"));
  Client client(*fake, protocol());
  EXPECT_EQ(client.ask("Hi").status, 200);
  EXPECT_EQ(client.ask("Hi").status, 200);
  const auto refused = client.ask("Hi");
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.head.find("\r\nRetry-After: 30\r\n"), string::npos) << refused.head;
}

TEST_P(FakeProvidersOf, latency_delays_the_answer) {
  const auto fake = open(config(R"(, "latency": 0.05)"));
  Client client(*fake, protocol());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client.ask("Hi").status, 200);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(50));
}

TEST_P(FakeProvidersOf, records_each_call_and_when_its_client_closed) {
  const auto fake = open(config());
  std::shared_ptr<const Call> call;
  {
    Client client(*fake, protocol());
    client.ask("Remember me");
    ASSERT_EQ(fake->calls().size(), 1u);
    call = fake->calls()[0];
    EXPECT_EQ(call->protocol, protocol());
    EXPECT_EQ(call->method, "POST");
    EXPECT_TRUE(call->path.starts_with("/" + protocol() + "/v1/")) << call->path;
    EXPECT_NE(call->body.find("Remember me"), string::npos);
    EXPECT_EQ(call->headers[1].first, "Content-Type");
    EXPECT_EQ(call->closed_at, 0);
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (call->closed_at == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_GE(call->closed_at, call->received_at);
}

TEST_P(FakeProvidersOf, other_paths_are_404_in_the_protocol_s_shape_and_are_not_recorded) {
  const auto fake = open(config());
  Client client(*fake, protocol());
  client.socket().send("POST /" + protocol() + "/v1/nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_TRUE(client.socket().read_until("there is nothing at this path").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(fake->calls().empty());
}

TEST(FakeProviders, a_body_that_is_no_json_is_a_400) {
  const auto fake = open(kBoth);
  Client client(*fake, "openai-chat");
  client.socket().send("POST /openai-chat/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{]");
  EXPECT_TRUE(client.socket().read_until("\r\n").starts_with("HTTP/1.1 400 "));
}

TEST(FakeProviders, lists_its_model) {
  const auto fake = open(kBoth);
  Client client(*fake, "openai-chat");
  client.socket().send("GET /openai-chat/v1/models HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(client.socket().read_until("\"fake-1\"").starts_with("HTTP/1.1 200 "));
}

TEST(FakeProviders, one_script_serves_all_protocols_in_order) {
  const auto fake = open(kBoth);
  ASSERT_TRUE(fake->script(R"(["one", "two"])"));
  EXPECT_EQ(Client(*fake, "anthropic-messages").ask("Hi").text, "one");
  EXPECT_EQ(Client(*fake, "openai-chat").ask("Hi").text, "two");
}

TEST(FakeProviders, log_normal_latency_has_the_median_and_the_tail) {
  const auto fake = open(R"({"protocols": ["openai-chat"], "latency": [0.001, 0.002], "seed": 3})");
  Client client(*fake, "openai-chat");
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.ask("Hi").status, 200);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(25));
}

TEST(FakeProviders, tells_the_path_of_what_is_wrong) {
  EXPECT_TRUE(problem(R"({"protocols": ["openai-chat", "nope"]})")
                  .starts_with("protocols[1]: unknown protocol 'nope'; known are anthropic-messages, "));
  EXPECT_EQ(problem(R"({"protocols": []})"), "protocols: a list of names is needed");
  EXPECT_EQ(problem("{}"), "protocols: a list of names is needed");
  EXPECT_TRUE(problem(R"({"protocols": ["openai-chat"], "latency": -1})").starts_with("latency: "));
  EXPECT_TRUE(problem(R"({"protocols": ["openai-chat"], "latency": [2, 1]})").starts_with("latency: "));
  EXPECT_TRUE(problem(R"({"protocols": ["openai-chat"], "latency": [1, 2, 3]})").starts_with("latency: "));
  EXPECT_TRUE(problem(R"({"protocols": ["openai-chat"], "rate_limits": 0})").starts_with("rate_limits: "));
  EXPECT_TRUE(problem(R"({"protocols": ["openai-chat"], "seed": 1.5})").starts_with("seed: "));
  EXPECT_EQ(problem(R"({"protocols": ["openai-chat"], "faults": [{"kind": "drip", "bytes": 0}]})"),
            "faults[0].bytes: a whole number of 1 or more is needed");
  EXPECT_EQ(problem(R"({"protocols": ["openai-chat"], "speed": 1})"), "speed: unknown key");
  const auto fake = open(R"({"protocols": ["openai-chat"]})");
  EXPECT_EQ(fake->url("gemini").error().message, "protocol: no 'gemini' here; known are openai-chat");
}

}  // namespace
}  // namespace orchestra::fake
