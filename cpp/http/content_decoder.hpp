// Undoes the content codings gzip and deflate (RFC 9110, section 8.4.1) piece by piece, within limits.
//
// ContentDecoder is pure: bytes in, bytes out. DecodingSink stands between an exchange and the sink of a request whose
// answer is encoded; answers that are not cost nothing but a look at their headers. One thread at a time.
//
// An exchange uses it like this, `sink` being the one it tells of the answer:
//
//   head complete     decoding = DecodingSink::wrap(head, *sink, limits);  // nullptr: nothing to undo
//                     sink->on_head(std::move(head));
//   bytes             if (decoding->holds()) read no more, until proceed() has given out what it holds;
//                     decoding->on_bytes(bytes);
//                     if (!decoding->fault().empty()) close, and end with Malformed and that fault;
//   pause, resume     decoding->pause(), decoding->resume(); after a resume, from the loop and before any more bytes or
//                     the end: if (!decoding->proceed()) it was paused again, or look at fault();
//   end               if (!decoding->holds()) sink->on_end(decoding->judged(end));
//   cancel            decoding->forget(), and drop it; allowed inside its own calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/exchange.hpp"

namespace orchestra::http {

struct ContentLimits {
  std::size_t ratio = 100;                                      // decoded bytes for each encoded one, 1 or more
  std::size_t bytes = std::numeric_limits<std::size_t>::max();  // decoded bytes in all
};

class ContentDecoder {
 public:
  enum class Coding : std::uint8_t { Gzip, Deflate };  // deflate: with the wrapper of zlib, or without
  enum class Step : std::uint8_t { Bytes, NeedInput, Fault };

  ContentDecoder(Coding coding, ContentLimits limits);
  ~ContentDecoder();
  ContentDecoder(const ContentDecoder&) = delete;
  ContentDecoder& operator=(const ContentDecoder&) = delete;

  // REQUIRES: next() has said NeedInput since the last feed(); the bytes stay in place until it does again, or until
  // keep_input().
  void feed(std::string_view bytes);
  // Bytes: the first `made` of the room, at least one.
  Step next(std::span<char> room, std::size_t& made);
  // Copies what next() has not read yet, because it is about to go away.
  void keep_input();
  // The content ended. False: in its middle, or over a limit. No bytes at all are no content, which is fine.
  bool end();

  // What is wrong, without any of the content; "" while nothing is.
  [[nodiscard]] const std::string& fault() const { return fault_; }

 private:
  struct Inflater;
  enum class Place : std::uint8_t { Begin, Inside, Behind };  // of the encoded stream, or of a member of gzip

  Step fail(std::string_view what);
  Step fail_limit(std::string_view limit, const std::string& value);
  Step fail_ratio();
  [[nodiscard]] std::size_t most_by_ratio() const;
  bool begin();
  bool begin_member();
  [[nodiscard]] std::string_view name() const { return coding_ == Coding::Gzip ? "gzip" : "deflate"; }

  const Coding coding_;
  const ContentLimits limits_;
  std::unique_ptr<Inflater> inflater_;  // nullptr: it is not known yet which kind of deflate this is
  std::string_view input_;
  std::string kept_;
  std::string first_;  // of deflate: its first two bytes
  std::size_t first_left_ = 0;
  std::size_t received_ = 0;
  std::size_t made_ = 0;
  Place place_ = Place::Begin;
  bool full_ = false;  // the last room was filled, so there may be more without more input
  std::string fault_;
};

class DecodingSink final : public runtime::ExchangeSink, public std::enable_shared_from_this<DecodingSink> {
  struct Private {};

 public:
  // nullptr: the head names no coding. Otherwise the headers that describe the encoded bytes (Content-Encoding,
  // Content-Length) are taken out, since whoever passes the answer on passes on decoded ones.
  static std::shared_ptr<DecodingSink> wrap(runtime::AnswerHead& head, runtime::ExchangeSink& sink,
                                            ContentLimits limits = {});
  DecodingSink(Private, std::string_view coding, runtime::ExchangeSink& sink, ContentLimits limits);

  void on_connected() override;
  void on_head(runtime::AnswerHead head) override;
  // REQUIRES: !holds().
  void on_bytes(std::span<char> bytes) override;
  // REQUIRES: !holds().
  void on_end(runtime::End end) override;
  // That end, or Malformed when what came is no whole content.
  [[nodiscard]] runtime::End judged(runtime::End end);

  void pause() { paused_ = true; }
  void resume() { paused_ = false; }
  void forget() { sink_ = nullptr; }
  // Hands up what a paused sink did not take. True: all of it.
  bool proceed();
  [[nodiscard]] bool holds() const { return holds_; }
  // Nothing may be fed after it, and the sink gets nothing more but its end.
  [[nodiscard]] const std::string& fault() const;

 private:
  static constexpr std::size_t kPiece = std::size_t{16} << 10;

  void hand_up();

  runtime::ExchangeSink* sink_;
  std::unique_ptr<ContentDecoder> decoder_;  // nullptr: a coding that is not supported
  std::string refusal_;                      // becomes the fault with the first byte of content
  std::string fault_;
  std::unique_ptr<char[]> piece_;
  bool paused_ = false;
  bool holds_ = false;
};

}  // namespace orchestra::http
