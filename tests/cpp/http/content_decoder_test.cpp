#include "http/content_decoder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <optional>
#include <utility>

#include "http/exchanges.hpp"
#include "http/raw_server.hpp"
#include "http/test_loop.hpp"
#include "runtime/exchange_contract.hpp"

namespace orchestra::http {
namespace {

using namespace std::chrono_literals;
using runtime::AnswerHead;
using runtime::EndKind;
using runtime::ExchangeId;
using runtime::HeaderText;
using runtime::Origin;
using runtime::RecordingSink;
using testing::HasSubstr;
using Coding = ContentDecoder::Coding;

constexpr int kGzip = 15 + 16;
constexpr int kZlib = 15;
constexpr int kRaw = -15;

std::string encoded(std::string_view text, int window_bits, int flush = Z_FINISH) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, flush);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

// A gzip file of exactly this many bytes, padded by a comment in its header.
std::string gzip_of_size(std::string_view text, std::size_t size) {
  std::string out = encoded(text, kGzip);
  EXPECT_GE(size, out.size() + 1);
  out[3] = 16;  // FCOMMENT
  out.insert(10, std::string(size - out.size() - 1, 'c') + '\0');
  return out;
}

std::string some_text(std::size_t size) {
  std::string text(size, ' ');
  std::uint32_t state = 1;
  for (char& c : text) {
    state = state * 1664525u + 1013904223u;
    c = static_cast<char>('a' + (state >> 24) % 26);
  }
  return text;
}

struct Decoded {
  std::string text;
  std::string fault;
};

Decoded decode(Coding coding, std::string_view bytes, std::size_t piece = std::string_view::npos,
               ContentLimits limits = {}) {
  ContentDecoder decoder(coding, limits);
  Decoded out;
  char room[1000];
  std::size_t made = 0;
  while (!bytes.empty()) {
    const std::string part(bytes.substr(0, piece));
    bytes.remove_prefix(part.size());
    decoder.feed(part);
    while (decoder.next(room, made) == ContentDecoder::Step::Bytes) out.text.append(room, made);
    if (!decoder.fault().empty()) break;
  }
  decoder.end();
  out.fault = decoder.fault();
  return out;
}

TEST(ContentDecoder, undoes_each_coding_cut_anywhere) {
  const std::string text = some_text(20'000);
  for (const auto& [coding, bits] :
       {std::pair(Coding::Gzip, kGzip), {Coding::Deflate, kZlib}, {Coding::Deflate, kRaw}}) {
    for (const std::size_t piece : {1u, 2u, 7u, 1000u, 1'000'000u}) {
      const Decoded out = decode(coding, encoded(text, bits), piece);
      EXPECT_EQ(out.fault, "");
      EXPECT_TRUE(out.text == text) << bits << " in pieces of " << piece;
    }
    EXPECT_EQ(decode(coding, encoded("", bits)).fault, "");
    EXPECT_EQ(decode(coding, encoded("x", bits), 1).text, "x");
    EXPECT_EQ(decode(coding, "").fault, "");
  }
}

TEST(ContentDecoder, joins_the_members_of_a_gzip_file) {
  const std::string file = encoded("one ", kGzip) + encoded("", kGzip) + encoded("two", kGzip);
  for (const std::size_t piece : {1u, 5u, 1000u}) {
    const Decoded out = decode(Coding::Gzip, file, piece);
    EXPECT_EQ(out.text, "one two");
    EXPECT_EQ(out.fault, "");
  }
}

TEST(ContentDecoder, gives_out_what_was_flushed_without_waiting_for_more) {
  ContentDecoder decoder(Coding::Gzip, {});
  const std::string begun = encoded("data: 1\n\n", kGzip, Z_SYNC_FLUSH);
  decoder.feed(begun);
  char room[100];
  std::size_t made = 0;
  ASSERT_EQ(decoder.next(room, made), ContentDecoder::Step::Bytes);
  EXPECT_EQ(std::string(room, made), "data: 1\n\n");
  EXPECT_EQ(decoder.next(room, made), ContentDecoder::Step::NeedInput);
}

TEST(ContentDecoder, refuses_what_follows_the_content) {
  for (const std::size_t piece : {1u, 1000u}) {
    EXPECT_THAT(decode(Coding::Gzip, encoded("text", kGzip) + "more", piece).fault, HasSubstr("followed by"));
    EXPECT_NE(decode(Coding::Gzip, encoded("text", kGzip) + "\x1fno", piece).fault, "");
    EXPECT_THAT(decode(Coding::Deflate, encoded("text", kZlib) + encoded("text", kZlib), piece).fault,
                HasSubstr("followed by"));
    EXPECT_THAT(decode(Coding::Deflate, encoded("text", kRaw) + "x", piece).fault, HasSubstr("followed by"));
  }
}

TEST(ContentDecoder, refuses_every_content_that_is_cut) {
  const std::string text = some_text(300);
  for (const auto& [coding, bits] :
       {std::pair(Coding::Gzip, kGzip), {Coding::Deflate, kZlib}, {Coding::Deflate, kRaw}}) {
    const std::string whole = encoded(text, bits);
    for (std::size_t size = 1; size < whole.size(); ++size) {
      EXPECT_THAT(decode(coding, whole.substr(0, size)).fault, HasSubstr("ends in its middle")) << bits << " " << size;
    }
  }
}

TEST(ContentDecoder, refuses_content_whose_check_fails) {
  for (const int bits : {kGzip, kZlib}) {
    std::string bytes = encoded(some_text(1000), bits);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    EXPECT_THAT(decode(bits == kGzip ? Coding::Gzip : Coding::Deflate, bytes).fault, HasSubstr("is broken"));
  }
  EXPECT_THAT(decode(Coding::Gzip, "{\"plain\": true}").fault, HasSubstr("is broken"));
}

TEST(ContentDecoder, keeps_the_ratio_at_its_limit_and_one_above) {
  for (const std::size_t piece : {100'000u, 17u}) {
    const std::string text(100 * 400, 'x');
    const Decoded at_limit = decode(Coding::Gzip, gzip_of_size(text, 400), piece);
    EXPECT_EQ(at_limit.fault, "");
    EXPECT_EQ(at_limit.text.size(), text.size());
    const Decoded above = decode(Coding::Gzip, gzip_of_size(text + 'x', 400), piece);
    EXPECT_THAT(above.fault, HasSubstr("limit `decompression_ratio` of 100:1"));
  }
  EXPECT_EQ(decode(Coding::Gzip, gzip_of_size(std::string(400 * 7, 'x'), 400), 1000, {.ratio = 7}).fault, "");
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  EXPECT_EQ(decode(Coding::Gzip, gzip_of_size(std::string(400 * 101, 'x'), 400), 1000, {.ratio = kNone}).fault, "");
  EXPECT_NE(decode(Coding::Gzip, gzip_of_size(std::string(400 * 7 + 1, 'x'), 400), 1000, {.ratio = 7}).fault, "");
}

TEST(ContentDecoder, keeps_the_bytes_at_their_limit_and_one_above) {
  for (const std::size_t piece : {100'000u, 17u}) {
    const std::string text = some_text(5000);
    EXPECT_EQ(decode(Coding::Gzip, encoded(text, kGzip), piece, {.bytes = 5000}).fault, "");
    const Decoded above = decode(Coding::Gzip, encoded(text, kGzip), piece, {.bytes = 4999});
    EXPECT_THAT(above.fault, HasSubstr("limit `body` of 4999 bytes"));
    EXPECT_LE(above.text.size(), 4999u);
  }
}

TEST(ContentDecoder, makes_no_more_than_is_allowed_of_a_bomb) {
  const std::string bomb = encoded(std::string(50'000'000, '\0'), kGzip);
  ASSERT_LT(bomb.size(), 100'000u);
  const Decoded out = decode(Coding::Gzip, bomb, 1000);
  EXPECT_THAT(out.fault, HasSubstr("decompression_ratio"));
  EXPECT_LE(out.text.size(), 1000u * 100 + (64u << 10));
}

AnswerHead head_with(runtime::HeaderList fields) { return {200, HeaderText(fields)}; }

TEST(DecodingSink, is_made_only_for_an_answer_that_is_encoded) {
  RecordingSink sink;
  for (const std::string coding : {"identity", "", " , "}) {
    AnswerHead head = head_with({{"Content-Encoding", coding}, {"Content-Length", "4"}});
    EXPECT_EQ(DecodingSink::wrap(head, sink), nullptr);
    EXPECT_EQ(head.headers.find("content-length"), "4");
  }
  AnswerHead plain = head_with({{"Content-Type", "application/json"}});
  EXPECT_EQ(DecodingSink::wrap(plain, sink), nullptr);
}

TEST(DecodingSink, takes_out_the_headers_that_describe_the_encoded_bytes) {
  RecordingSink sink;
  AnswerHead head = head_with({{"A", "1"}, {"content-encoding", "GZip"}, {"CONTENT-LENGTH", "99"}, {"B", "2"}});
  const auto decoding = DecodingSink::wrap(head, sink);
  ASSERT_NE(decoding, nullptr);
  EXPECT_THAT(head.headers.list(), testing::ElementsAre(testing::Pair("A", "1"), testing::Pair("B", "2")));
  std::string bytes = encoded("text", kGzip);
  decoding->on_connected();
  decoding->on_head(std::move(head));
  decoding->on_bytes(bytes);
  decoding->on_end({});
  EXPECT_EQ(sink.log, "connected head bytes end ");
  EXPECT_EQ(sink.body, "text");
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
}

TEST(DecodingSink, refuses_codings_that_it_does_not_know) {
  const std::pair<runtime::HeaderList, std::string> cases[] = {
      {{{"Content-Encoding", "br"}}, "content-encoding br is not supported"},
      {{{"Content-Encoding", "zstd"}}, "content-encoding zstd is not supported"},
      {{{"Content-Encoding", "gzip, gzip"}}, "several content-encodings"},
      {{{"Content-Encoding", "gzip"}, {"Content-Encoding", "deflate"}}, "several content-encodings"}};
  for (const auto& [fields, message] : cases) {
    RecordingSink sink;
    AnswerHead head = head_with(fields);
    const auto decoding = DecodingSink::wrap(head, sink);
    ASSERT_NE(decoding, nullptr);
    std::string bytes = "bytes";
    EXPECT_EQ(decoding->fault(), "");  // an answer without content is fine
    decoding->on_bytes(bytes);
    EXPECT_THAT(decoding->fault(), HasSubstr(message));
    decoding->on_end({});
    EXPECT_EQ(sink.log, "end ");
    EXPECT_EQ(sink.end->kind, EndKind::Malformed);
  }
  AnswerHead head = head_with({{"Content-Encoding", "gzip, identity"}});
  RecordingSink sink;
  const auto decoding = DecodingSink::wrap(head, sink);
  std::string bytes = encoded("text", kGzip);
  decoding->on_bytes(bytes);
  EXPECT_EQ(sink.body, "text");
}

TEST(DecodingSink, holds_what_a_paused_sink_does_not_take) {
  const std::string text = some_text(200'000);
  RecordingSink sink;
  AnswerHead head = head_with({{"Content-Encoding", "gzip"}});
  const auto decoding = DecodingSink::wrap(head, sink);
  sink.bytes = [&] { decoding->pause(); };
  {
    std::string bytes = encoded(text, kGzip);
    decoding->on_bytes(bytes);
  }  // the bytes are gone
  ASSERT_TRUE(decoding->holds());
  EXPECT_EQ(sink.body.size(), 16'384u);
  EXPECT_FALSE(decoding->proceed());
  int turns = 0;
  while (decoding->holds()) {
    ASSERT_LT(++turns, 100);
    decoding->resume();
    decoding->proceed();
  }
  EXPECT_TRUE(sink.body == text);
  EXPECT_EQ(decoding->judged({}).kind, EndKind::Complete);
}

TEST(DecodingSink, says_nothing_more_once_forgotten) {
  RecordingSink sink;
  AnswerHead head = head_with({{"Content-Encoding", "gzip"}});
  auto decoding = DecodingSink::wrap(head, sink);
  sink.bytes = [&] {
    decoding->forget();
    decoding.reset();
  };
  std::string bytes = encoded(some_text(100'000), kGzip);
  DecodingSink* running = decoding.get();
  running->on_bytes(bytes);
  EXPECT_EQ(sink.log, "bytes ");
  EXPECT_EQ(sink.body.size(), 16'384u);
}

TEST(DecodingSink, leaves_an_end_that_is_already_bad_as_it_is) {
  RecordingSink sink;
  AnswerHead head = head_with({{"Content-Encoding", "gzip"}});
  const auto decoding = DecodingSink::wrap(head, sink);
  std::string bytes = encoded("text", kGzip).substr(0, 8);
  decoding->on_bytes(bytes);
  EXPECT_EQ(decoding->judged({EndKind::Cut, "gone"}).kind, EndKind::Cut);
  EXPECT_EQ(decoding->judged({}).kind, EndKind::Malformed);
}

class EncodedAnswers : public testing::TestWithParam<std::string_view> {
 protected:
  // Answers every request with these bytes.
  void serve(std::string answer) {
    server.emplace([answer = std::move(answer)](RawServer::Connection& connection) {
      while (!connection.read_request().empty()) connection.send(answer);
    });
    origin = std::make_shared<const Origin>(Origin{.url = server->url(), .proxy = "-"});
  }
  void serve(const std::string& headers, const std::string& body) {
    serve("HTTP/1.1 200 OK\r\n" + headers + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  ExchangeId start(RecordingSink& sink) {
    return exchange->start(runtime::request_of({.origin = origin, .target = "/"}), sink);
  }
  void ask(RecordingSink& sink) {
    start(sink);
    ASSERT_TRUE(loop.run_until([&] { return sink.has_ended(); }));
  }

  std::optional<RawServer> server;
  std::shared_ptr<const Origin> origin;
  TestLoop loop;
  std::unique_ptr<runtime::Exchange> exchange = make_exchange(GetParam(), loop.loop());
};

TEST_P(EncodedAnswers, arrive_decoded_over_a_kept_connection) {
  const std::string text = some_text(100'000);
  for (const auto& [name, bits] :
       {std::pair("gzip", kGzip), {"deflate", kZlib}, {"deflate", kRaw}, {"x-gzip", kGzip}}) {
    serve(std::string("Content-Encoding: ") + name, encoded(text, bits));
    for (int i = 0; i < 2; ++i) {
      RecordingSink sink;
      ask(sink);
      EXPECT_EQ(sink.log, "connected head bytes end ");
      EXPECT_TRUE(sink.body == text) << name;
      EXPECT_EQ(sink.end->kind, EndKind::Complete);
      EXPECT_TRUE(sink.headers.empty());
    }
    EXPECT_EQ(server->connections_seen(), 1u);
  }
}

TEST_P(EncodedAnswers, that_are_wrong_end_as_malformed_and_close) {
  const std::pair<std::string, std::string> cases[] = {{"br", "xxxx"},
                                                       {"gzip, br", "xxxx"},
                                                       {"gzip", "{}"},
                                                       {"gzip", encoded(std::string(1'000'000, 'x'), kGzip)},
                                                       {"gzip", encoded("text", kGzip) + "more"}};
  for (const auto& [coding, body] : cases) {
    serve("Content-Encoding: " + coding, body);
    RecordingSink sink;
    ask(sink);
    EXPECT_EQ(sink.status, 200);
    EXPECT_EQ(sink.end->kind, EndKind::Malformed);
    EXPECT_THAT(sink.end->message, testing::AnyOf(HasSubstr("gzip content"), HasSubstr("not supported")));
    EXPECT_EQ(exchange->connections(), 0u);
  }
  serve("Content-Encoding: gzip", encoded(some_text(1000), kGzip).substr(0, 100));
  RecordingSink cut;
  ask(cut);
  EXPECT_EQ(cut.end->kind, EndKind::Malformed);
  EXPECT_THAT(cut.end->message, HasSubstr("ends in its middle"));
}

TEST_P(EncodedAnswers, without_content_are_complete) {
  serve("Content-Encoding: br", "");
  RecordingSink sink;
  ask(sink);
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
}

TEST_P(EncodedAnswers, are_held_back_by_a_pause) {
  const std::string text = some_text(1'000'000);
  serve("Content-Encoding: gzip", encoded(text, kGzip));
  RecordingSink sink;
  ExchangeId id = 0;
  bool paused = false;
  runtime::Timer go_on(loop.loop(), [&] {
    paused = false;
    exchange->resume(id);
  });
  sink.bytes = [&] {
    EXPECT_FALSE(std::exchange(paused, true)) << "bytes for a paused sink";
    exchange->pause(id);
    go_on.set(loop.loop().now());
  };
  sink.ended = [&] { EXPECT_FALSE(paused) << "an end for a paused sink"; };
  id = start(sink);
  ASSERT_TRUE(loop.run_until([&] { return sink.has_ended(); }));
  EXPECT_TRUE(sink.body == text);
  EXPECT_EQ(sink.end->kind, EndKind::Complete);
  EXPECT_LE(sink.largest, 16'384u);
}

TEST_P(EncodedAnswers, stay_where_they_are_while_paused) {
  const std::string text = some_text(100'000);
  serve("Content-Encoding: gzip", encoded(text, kGzip));
  RecordingSink sink;
  ExchangeId id = 0;
  sink.bytes = [&] { exchange->pause(id); };
  id = start(sink);
  ASSERT_TRUE(loop.run_until([&] { return !sink.body.empty(); }));
  loop.run_for(20ms);  // all of it has come by now
  EXPECT_EQ(sink.body.size(), 16'384u);
  EXPECT_FALSE(sink.has_ended());
  sink.bytes = nullptr;
  exchange->resume(id);
  ASSERT_TRUE(loop.run_until([&] { return sink.has_ended(); }));
  EXPECT_TRUE(sink.body == text);
}

TEST_P(EncodedAnswers, that_break_after_a_pause_end_as_malformed) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += some_text(1000);
  std::string body = encoded(text, kGzip);
  body[body.size() - 6] = static_cast<char>(body[body.size() - 6] ^ 1);  // its checksum
  for (const bool whole : {true, false}) {  // the connection is done with it by then, or is not
    exchange = make_exchange(GetParam(), loop.loop());
    serve("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " +
          std::to_string(body.size() + (whole ? 0 : 1)) + "\r\n\r\n" + body);
    RecordingSink sink;
    ExchangeId id = 0;
    sink.bytes = [&] { exchange->pause(id); };
    id = start(sink);
    ASSERT_TRUE(loop.run_until([&] { return !sink.body.empty(); }));
    loop.run_for(20ms);
    EXPECT_FALSE(sink.has_ended());
    sink.bytes = nullptr;
    exchange->resume(id);
    ASSERT_TRUE(loop.run_until([&] { return sink.has_ended(); }));
    EXPECT_EQ(sink.end->kind, EndKind::Malformed);
    EXPECT_THAT(sink.end->message, HasSubstr("is broken"));
    if (!whole) {
      EXPECT_EQ(exchange->connections(), 0u);
    }
  }
}

TEST_P(EncodedAnswers, can_be_cancelled_from_each_call_and_while_paused) {
  serve("Content-Encoding: gzip", encoded(some_text(100'000), kGzip));
  for (const bool after_pause : {false, true}) {
    RecordingSink sink;
    ExchangeId id = 0;
    int pieces = 0;
    sink.bytes = [&] {
      if (after_pause && ++pieces == 1) {
        exchange->pause(id);
      } else {
        exchange->cancel(id);
        sink.forbidden = true;  // for ever
      }
    };
    id = start(sink);
    ASSERT_TRUE(loop.run_until([&] { return !sink.body.empty(); }));
    loop.run_for(5ms);
    if (after_pause) exchange->resume(id);
    ASSERT_TRUE(loop.run_until([&] { return sink.forbidden; }));
    loop.run_for(5ms);
    EXPECT_FALSE(sink.has_ended());
  }
}

INSTANTIATE_TEST_SUITE_P(Over, EncodedAnswers, testing::ValuesIn(kExchanges),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace orchestra::http
