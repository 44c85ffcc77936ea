// ResponseHead: the head of an answer, gathered line by line: interim 1xx heads are skipped, limits kept, and lengths
// that libcurl would read in a way of its own are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/exchange.hpp"

namespace orchestra::http {

struct HeadLimits {
  std::size_t bytes = std::size_t{64} << 10;  // all lines together, interim heads and trailers included
  std::size_t lines = 128;                    // header lines of one head
  std::size_t decompression_ratio = 100;      // of the body that follows; see ContentLimits
};

class ResponseHead {
 public:
  enum class Progress { More, Complete, Malformed };

  explicit ResponseHead(HeadLimits limits) : limits_(limits) {}

  // Takes one line, with or without its line break. Lines after a complete head are trailers: counted and dropped.
  Progress add(std::string_view line);

  // REQUIRES: Complete.
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] runtime::AnswerHead take() { return {status_, std::move(headers_)}; }
  // Anything at all came.
  [[nodiscard]] bool has_begun() const { return bytes_ > 0; }
  [[nodiscard]] bool is_complete() const { return complete_; }
  // REQUIRES: Malformed. What is wrong, without any of its content.
  [[nodiscard]] const std::string& fault() const { return fault_; }

 private:
  Progress fail(std::string_view what);
  [[nodiscard]] bool add_length(std::string_view digits);
  Progress fail_limit(std::string_view limit, std::size_t value);

  HeadLimits limits_;
  runtime::HeaderText headers_;
  std::string fault_;
  std::size_t bytes_ = 0;
  std::size_t lines_ = 0;
  std::optional<std::int64_t> length_;  // what it says of the body
  int status_ = 0;                      // 0: the next line is a status line
  bool complete_ = false;
};

}  // namespace orchestra::http
