#include "http/content_decoder.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#define ZLIB_CONST
#include <zlib.h>

namespace orchestra::http {

using runtime::End;
using runtime::EndKind;

namespace {

constexpr int kWindowBits = 15;
constexpr int kGzipBits = kWindowBits + 16;
constexpr int kRawBits = -kWindowBits;

// The beginning of a content may be over the ratio of the whole by so many bytes.
constexpr std::size_t kAhead = std::size_t{64} << 10;
constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max() / 2;

constexpr char kGzipMagic = '\x1f';

// RFC 1950, section 2.2. In a raw stream these bits begin a stored block with a padding that no compressor writes.
bool is_zlib_header(std::string_view two) {
  const unsigned first = static_cast<unsigned char>(two[0]);
  const unsigned second = static_cast<unsigned char>(two[1]);
  return (first & 15) == Z_DEFLATED && (first * 256 + second) % 31 == 0;
}

bool is_name(std::string_view name, std::string_view lower_name) {
  return std::ranges::equal(name, lower_name,
                            [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t first = std::min(text.find_first_not_of(kBlanks), text.size());
  return text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

// Whether one of the lines begins with "Content-Encoding:". Most answers pay no more than this.
bool is_encoded(std::string_view lines) {
  constexpr std::string_view kName = "content-encoding";
  while (lines.size() > kName.size()) {
    if (lines[kName.size()] == ':' && is_name(lines.substr(0, kName.size()), kName)) return true;
    lines.remove_prefix(std::min(lines.find('\n'), lines.size() - 1) + 1);
  }
  return false;
}

// The codings of a field, without those that say nothing.
void add_codings(std::string_view value, std::vector<std::string_view>& codings) {
  while (!value.empty()) {
    const std::size_t comma = std::min(value.find(','), value.size());
    const std::string_view coding = trimmed(value.substr(0, comma));
    if (!coding.empty() && !is_name(coding, "identity")) codings.push_back(coding);
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
}

// What a server calls its coding, for a message: it may be anything.
std::string shown(std::string_view coding) {
  std::string text(coding.substr(0, 40));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

}  // namespace

struct ContentDecoder::Inflater {
  explicit Inflater(int window_bits) : status(inflateInit2(&stream, window_bits)) {}
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
  int status;
};

ContentDecoder::ContentDecoder(Coding coding, ContentLimits limits) : coding_(coding), limits_(limits) {}
ContentDecoder::~ContentDecoder() = default;

ContentDecoder::Step ContentDecoder::fail(std::string_view what) {
  fault_.append("the ").append(name()).append(" content ").append(what);
  return Step::Fault;
}

ContentDecoder::Step ContentDecoder::fail_limit(std::string_view limit, const std::string& value) {
  return fail("is over the limit `" + std::string(limit) + "` of " + value);
}

ContentDecoder::Step ContentDecoder::fail_ratio() {
  return fail_limit("decompression_ratio", std::to_string(limits_.ratio) + ":1");
}

std::size_t ContentDecoder::most_by_ratio() const {
  return received_ > kMost / limits_.ratio ? kMost : received_ * limits_.ratio;
}

void ContentDecoder::feed(std::string_view bytes) {
  input_ = bytes;
  received_ += bytes.size();
}

void ContentDecoder::keep_input() {
  if (input_.empty()) return;
  kept_ = std::string(input_);  // input_ may lie in it
  input_ = kept_;
}

// False: more input is needed, or there is a fault.
bool ContentDecoder::begin() {
  int bits = kGzipBits;
  if (coding_ == Coding::Deflate) {
    const std::size_t wanted = std::min(2 - first_.size(), input_.size());
    first_ += input_.substr(0, wanted);
    input_.remove_prefix(wanted);
    if (first_.size() < 2) return false;
    first_left_ = 2;
    bits = is_zlib_header(first_) ? kWindowBits : kRawBits;
  }
  inflater_ = std::make_unique<Inflater>(bits);
  if (inflater_->status != Z_OK) fail("cannot be decoded: out of memory");
  place_ = Place::Inside;
  return fault_.empty();
}

// Gzip files may follow one another (RFC 1952, section 2.2). False: there is a fault.
bool ContentDecoder::begin_member() {
  if (coding_ != Coding::Gzip || input_.front() != kGzipMagic) {
    fail("is followed by something else");
    return false;
  }
  inflateReset(&inflater_->stream);
  place_ = Place::Inside;
  return true;
}

ContentDecoder::Step ContentDecoder::next(std::span<char> room, std::size_t& made) {
  made = 0;
  if (!fault_.empty()) return Step::Fault;
  const std::size_t by_ratio = most_by_ratio();
  const std::size_t most = std::min(by_ratio < kMost - kAhead ? by_ratio + kAhead : kMost, limits_.bytes);
  while (full_ || !input_.empty() || first_left_ > 0) {
    if (place_ == Place::Begin && !begin()) return fault_.empty() ? Step::NeedInput : Step::Fault;
    if (place_ == Place::Behind && !begin_member()) return Step::Fault;

    z_stream& stream = inflater_->stream;
    const bool from_first = first_left_ > 0;
    const std::string_view from = from_first ? std::string_view(first_).substr(2 - first_left_) : input_;
    // One byte more than is allowed tells that there is more.
    const std::size_t wanted = std::min({room.size(), most - made_ + 1, std::size_t{1} << 30});
    const std::size_t given = std::min(from.size(), std::size_t{1} << 30);
    stream.next_in = reinterpret_cast<const Bytef*>(from.data());
    stream.avail_in = static_cast<uInt>(given);
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(wanted);
    const int status = inflate(&stream, Z_NO_FLUSH);
    const std::size_t taken = given - stream.avail_in;
    if (from_first) {
      first_left_ -= taken;
    } else {
      input_.remove_prefix(taken);
    }
    made = wanted - stream.avail_out;
    full_ = stream.avail_out == 0 && status == Z_OK;
    if (status == Z_STREAM_END) place_ = Place::Behind;
    made_ += made;
    if (made_ > most) {
      made = 0;
      return most == limits_.bytes ? fail_limit("body", std::to_string(limits_.bytes) + " bytes") : fail_ratio();
    }
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      made = 0;
      return fail(status == Z_MEM_ERROR ? "cannot be decoded: out of memory" : "is broken");
    }
    if (made > 0) return Step::Bytes;
    if (status == Z_BUF_ERROR && taken == 0) break;  // there was no more
  }
  return Step::NeedInput;
}

bool ContentDecoder::end() {
  if (!fault_.empty() || received_ == 0) return fault_.empty();
  if (made_ > most_by_ratio()) {
    fail_ratio();
  } else if (place_ != Place::Behind) {
    fail("ends in its middle");
  }
  return fault_.empty();
}

std::shared_ptr<DecodingSink> DecodingSink::wrap(runtime::AnswerHead& head, runtime::ExchangeSink& sink,
                                                 ContentLimits limits) {
  if (!is_encoded(head.headers.text())) return nullptr;
  runtime::HeaderList fields = head.headers.list();
  std::vector<std::string_view> codings;
  for (const auto& [name, value] : fields) {
    if (is_name(name, "content-encoding")) add_codings(value, codings);
  }
  if (codings.empty()) return nullptr;
  const std::string coding = codings.size() == 1 ? std::string(codings.front()) : std::string();
  std::erase_if(fields, [](const auto& field) {
    return is_name(field.first, "content-encoding") || is_name(field.first, "content-length");
  });
  head.headers = runtime::HeaderText(fields);
  return std::make_shared<DecodingSink>(Private{}, coding, sink, limits);
}

// No name: several codings, one over the other.
DecodingSink::DecodingSink(Private, std::string_view coding, runtime::ExchangeSink& sink, ContentLimits limits)
    : sink_(&sink) {
  using Coding = ContentDecoder::Coding;
  if (is_name(coding, "gzip") || is_name(coding, "x-gzip")) {
    decoder_ = std::make_unique<ContentDecoder>(Coding::Gzip, limits);
  } else if (is_name(coding, "deflate")) {
    decoder_ = std::make_unique<ContentDecoder>(Coding::Deflate, limits);
  } else if (coding.empty()) {
    refusal_ = "several content-encodings over one another are not supported";
  } else {
    refusal_ = "content-encoding " + shown(coding) + " is not supported: gzip, deflate and none are";
  }
  if (decoder_ != nullptr) piece_ = std::make_unique<char[]>(kPiece + runtime::kReadableBehind);
}

void DecodingSink::on_connected() {
  if (sink_ != nullptr) sink_->on_connected();
}

void DecodingSink::on_head(runtime::AnswerHead head) {
  if (sink_ != nullptr) sink_->on_head(std::move(head));
}

void DecodingSink::on_bytes(std::span<char> bytes) {
  if (bytes.empty()) return;
  if (decoder_ == nullptr) {
    fault_ = refusal_;
    return;
  }
  const auto alive = shared_from_this();  // the sink may cancel
  decoder_->feed({bytes.data(), bytes.size()});
  hand_up();
  decoder_->keep_input();
}

bool DecodingSink::proceed() {
  const auto alive = shared_from_this();
  if (holds_) hand_up();
  return !holds_;
}

void DecodingSink::hand_up() {
  while (sink_ != nullptr && !paused_) {
    std::size_t made = 0;
    holds_ = decoder_->next({piece_.get(), kPiece}, made) == ContentDecoder::Step::Bytes;
    if (!holds_) return;
    sink_->on_bytes({piece_.get(), made});
  }
  holds_ = true;
}

End DecodingSink::judged(End end) {
  if (end.kind == EndKind::Complete && decoder_ != nullptr) decoder_->end();
  if (end.kind == EndKind::Complete && !fault().empty()) return {EndKind::Malformed, fault()};
  return end;
}

void DecodingSink::on_end(End end) {
  end = judged(std::move(end));
  if (sink_ != nullptr) sink_->on_end(std::move(end));
}

const std::string& DecodingSink::fault() const { return decoder_ != nullptr ? decoder_->fault() : fault_; }

}  // namespace orchestra::http
