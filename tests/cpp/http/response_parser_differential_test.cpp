// The same answers to our parser, to Boost.Beast's and to libcurl. Where one of them refuses a good answer or takes a
// malformed one, the answer is listed, so that a change of either side is seen.
#include <curl/curl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/version.hpp>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "http/curl_exchange.hpp"
#include "http/raw_server.hpp"
#include "http/response_samples.hpp"
#include "http/test_loop.hpp"
#include "runtime/exchange_contract.hpp"

namespace orchestra::http {
namespace {

namespace beast = boost::beast;
// What all three can tell.
struct Read {
  bool is_complete = false;
  int status = 0;
  runtime::HeaderList headers{};
  std::string body{};
  bool operator==(const Read&) const = default;
};

class BeastParser final : public beast::http::basic_parser<false> {
 public:
  BeastParser() {
    eager(true);
    header_limit(64 << 10);
    body_limit(boost::none);
  }
  Read read{};

 private:
  using Code = beast::error_code;
  using Text = beast::string_view;

  void on_request_impl(beast::http::verb /*verb*/, Text /*verb_text*/, Text /*target*/, int /*version*/,
                       Code& /*error*/) override {}
  void on_response_impl(int status, Text /*reason*/, int /*version*/, Code& /*error*/) override {
    read.status = status;
  }
  void on_field_impl(beast::http::field /*field*/, Text name, Text value, Code& /*error*/) override {
    if (!is_header_done_) read.headers.emplace_back(std::string(name), std::string(value));
  }
  void on_header_impl(Code& /*error*/) override { is_header_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>& /*length*/, Code& /*error*/) override {}
  std::size_t on_body_impl(Text text, Code& /*error*/) override {
    read.body.append(text.data(), text.size());
    return text.size();
  }
  void on_chunk_header_impl(std::uint64_t /*size*/, Text /*extensions*/, Code& /*error*/) override {}
  std::size_t on_chunk_body_impl(std::uint64_t /*left*/, Text text, Code& error) override {
    return on_body_impl(text, error);
  }
  void on_finish_impl(Code& /*error*/) override {}

  bool is_header_done_ = false;
};

// Beast ends an answer with every interim head, so what comes behind it is another parser's.
Read read_with_beast(std::string_view bytes) {
  while (true) {
    BeastParser parser;
    beast::error_code error;
    while (!error && !parser.is_done() && !bytes.empty()) {
      bytes.remove_prefix(parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error));
    }
    if (error == beast::http::error::need_more) error = {};
    if (!error && !parser.is_done() && parser.got_some()) parser.put_eof(error);
    parser.read.is_complete = !error && parser.is_done();
    const bool is_interim = parser.read.status >= 100 && parser.read.status < 200 && parser.read.status != 101;
    if (!parser.read.is_complete || !is_interim) return parser.read;
  }
}

class Curl {
 public:
  Read read(const std::string& bytes) {
    RawServer server([&](RawServer::Connection& connection) {
      connection.read_request();
      connection.send(bytes);
    });
    runtime::RecordingSink sink;
    const auto origin = std::make_shared<const runtime::Origin>(runtime::Origin{.url = server.url(), .proxy = "-"});
    exchange_.start(runtime::request_of({.origin = origin, .target = "/", .headers = {}}), sink);
    EXPECT_TRUE(loop_.run_until([&] { return sink.has_ended(); }));
    const bool is_complete = sink.end && sink.end->kind == runtime::EndKind::Complete;
    return {.is_complete = is_complete, .status = sink.status, .headers = sink.headers, .body = sink.body};
  }

 private:
  TestLoop loop_;
  CurlExchange exchange_{loop_.loop()};
};

Read read_with_ours(std::string_view bytes) {
  Told told = read_whole(bytes);
  return {told.is_complete, told.status, std::move(told.headers), std::move(told.body)};
}

void PrintTo(const Read& read, std::ostream* out) {
  *out << (read.is_complete ? "complete " : "incomplete ") << read.status << ' ' << testing::PrintToString(read.headers)
       << ' ' << testing::PrintToString(read.body);
}

// The names of the answers of which `read` does not tell what we do.
template <class Reader>
std::vector<std::string_view> good_that_differ(Reader read) {
  std::vector<std::string_view> names;
  for (const GoodAnswer& answer : good_answers()) {
    const Read ours = read_with_ours(answer.bytes), theirs = read(answer.bytes);
    if (ours == theirs) continue;
    EXPECT_FALSE(theirs.is_complete) << answer.name << " is read in two ways: " << testing::PrintToString(ours)
                                     << " and " << testing::PrintToString(theirs);
    names.push_back(answer.name);
  }
  return names;
}

// The names of the malformed answers that `read` takes for whole ones.
template <class Reader>
std::vector<std::string_view> malformed_that_pass(Reader read) {
  std::vector<std::string_view> names;
  for (const BadAnswer& answer : bad_answers()) {
    EXPECT_FALSE(read_with_ours(answer.bytes).is_complete) << answer.name;
    if (read(answer.bytes).is_complete) names.push_back(answer.name);
  }
  return names;
}

using Names = std::vector<std::string_view>;

TEST(ResponseParserDifferential, reads_good_answers_as_beast_does) {
  if (BOOST_VERSION != 108100) GTEST_SKIP() << "the list is of Boost 1.81";
  EXPECT_EQ(good_that_differ(read_with_beast), (Names{"a length among the trailers", "no reason"}));
}

TEST(ResponseParserDifferential, reads_good_answers_as_curl_does) {
  Curl curl;
  // The exchange over libcurl decodes bodies, and this one is no gzip.
  EXPECT_EQ(good_that_differ([&](const std::string& bytes) { return curl.read(bytes); }), Names{"an encoded body"});
}

TEST(ResponseParserDifferential, refuses_what_beast_takes) {
  if (BOOST_VERSION != 108100) GTEST_SKIP() << "the list is of Boost 1.81";
  EXPECT_EQ(malformed_that_pass(read_with_beast),
            (Names{"list of lengths", "gzip, chunked", "identity", "xchunked", "chunked in HTTP/1.0", "folded line",
                   "status 999", "switched protocols", "an extension of 4 kB", "201 header lines", "nine interim heads",
                   "status 099", "status 600", "no encoding", "chunked with a parameter", "chunked with a comma",
                   "a folded trailer"}));
}

TEST(ResponseParserDifferential, refuses_what_curl_takes) {
  if (curl_version_info(CURLVERSION_NOW)->version_num >> 8 != 0x0758) GTEST_SKIP() << "the list is of libcurl 7.88";
  Curl curl;
  EXPECT_EQ(malformed_that_pass([&](const std::string& bytes) { return curl.read(bytes); }),
            (Names{"length, then chunked",
                   "chunked, then length",
                   "gzip, chunked",
                   "identity",
                   "chunked twice",
                   "chunked in HTTP/1.0",
                   "blank before the colon",
                   "folded line",
                   "line feeds alone",
                   "a line feed alone",
                   "a carriage return alone",
                   "no name",
                   "parenthesis in a name",
                   "HTTP/2.0",
                   "status 999",
                   "a size ends with a line feed",
                   "a chunk ends with a line feed",
                   "something behind a size",
                   "a carriage return in an extension",
                   "an extension of 4 kB",
                   "nine interim heads",
                   "two blanks before the status",
                   "status 600",
                   "a carriage return more",
                   "DEL in a value",
                   "a control character in a name",
                   "a name of bytes over 127",
                   "a tab before the colon",
                   "no encoding",
                   "chunked with a comma",
                   "both lengths in an interim head",
                   "a blank behind a size",
                   "a folded trailer"}));
}

// What a mistake on the way makes of good answers: whatever both take, both read alike.
TEST(ResponseParserDifferential, reads_damaged_answers_as_beast_does_where_both_take_them) {
  std::mt19937 random(20261201);
  const auto below = [&](std::size_t bound) { return random() % bound; };
  constexpr std::string_view kTroublesome = "\r\n:; ,\t0af1-\x7f\xff";
  const std::vector<GoodAnswer> answers = good_answers();
  std::size_t both = 0;
  for (int round = 0; round < 40'000; ++round) {
    std::string bytes = answers[below(answers.size())].bytes;
    for (std::size_t count = 1 + below(3); count > 0; --count) {
      const std::size_t at = below(bytes.size());
      const char c = kTroublesome[below(kTroublesome.size())];
      switch (below(4)) {
        case 0: bytes[at] = c; break;
        case 1: bytes.insert(at, 1, c); break;
        case 2: bytes.insert(at, bytes.substr(below(bytes.size()), below(20))); break;
        default: bytes.erase(at, 1 + below(std::min<std::size_t>(3, bytes.size() - 1)));
      }
      if (bytes.empty()) bytes = "x";
    }
    const Read ours = read_with_ours(bytes);
    ASSERT_EQ(read_bytewise(bytes), read_whole(bytes)) << testing::PrintToString(bytes);
    if (!ours.is_complete) continue;
    const Read theirs = read_with_beast(bytes);
    if (!theirs.is_complete) continue;
    ++both;
    ASSERT_EQ(ours, theirs) << testing::PrintToString(bytes);
  }
  EXPECT_GT(both, 5'000u);
}

}  // namespace
}  // namespace orchestra::http
