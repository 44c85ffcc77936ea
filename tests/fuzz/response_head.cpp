// Fuzz target: a head given line by line is the same with and without line breaks, keeps its limits, and says what the
// strict parser says wherever that takes the head.
#include "http/response_head.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "http/response_parser.hpp"

namespace {

using namespace orchestra;
using http::HeadLimits;
using http::ResponseHead;
using Progress = ResponseHead::Progress;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  int status = 0;
  std::string headers, fault;
  std::size_t lines = 0;  // taken
  bool operator==(const Outcome&) const = default;
};

Outcome read(std::string_view bytes, HeadLimits limits, bool with_breaks) {
  ResponseHead head(limits);
  Outcome out;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size() - 1);
    std::string_view line = bytes.substr(0, end + 1);
    bytes.remove_prefix(end + 1);
    if (!with_breaks) {
      while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    }
    const bool was_complete = head.is_complete();
    const Progress progress = head.add(line);
    if (progress == Progress::Malformed) {
      out.fault = head.fault();
      require(!out.fault.empty());
      break;
    }
    ++out.lines;
    require((progress == Progress::Complete) == (head.is_complete() && !was_complete));
    if (progress == Progress::Complete) {
      runtime::AnswerHead answer = head.take();
      require(answer.status >= 200 && answer.status <= 999);
      out.status = answer.status;
      out.headers = answer.headers.text();
      require(runtime::HeaderText(answer.headers.list()).text() == out.headers);
    }
  }
  return out;
}

struct Events final : http::ResponseEvents {
  explicit Events(http::ResponseParser& its_parser) : parser(its_parser) {}
  void on_head(runtime::AnswerHead answer) override {
    status = answer.status;
    headers = answer.headers.text();
    parser.stop();
  }
  void on_body(std::span<char> /*bytes*/) override { std::abort(); }

  http::ResponseParser& parser;
  int status = 0;
  std::string headers;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome lenient = read(bytes, {}, true);
  if (size < HeadLimits{}.bytes) require(read(bytes, {}, false) == lenient);
  const Outcome narrow = read(bytes, {.bytes = 64, .lines = 3}, true);
  require(narrow.lines <= lenient.lines && narrow.headers.size() <= 64);

  http::ResponseParser parser({});
  Events strict(parser);
  std::string copy(bytes);
  const std::size_t taken = parser.feed(copy, strict);
  if (strict.status != 0) {
    const Outcome head = read(bytes.substr(0, taken), {}, true);
    require(head.fault.empty() && head.status == strict.status && head.headers == strict.headers);
  }
  return 0;
}
