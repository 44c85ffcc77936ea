// Error: what went wrong with a call, in the terms of the public error tree. Plain data; python/orchestra/errors.py
// turns it into an exception.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace orchestra::chat {

enum class ErrorKind : std::uint8_t {
  Config,
  InvalidRequest,
  ContextTooLong,
  Unsupported,
  NoEligibleModel,
  BudgetExceeded,
  Authentication,
  PermissionDenied,
  NotFound,
  RateLimited,
  Overloaded,
  ContentFiltered,
  Server,
  Protocol,
  Connect,
  Tls,
  DeadlineExceeded,
  Interrupted,
  Cancelled,
};

// The name of the public exception class, such as "RateLimited".
std::string_view error_name(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::Protocol;
  std::string message;                // a sentence: what, where, and what to do
  std::optional<int> status;          // HTTP status, where there was an answer
  bool retryable = false;             // the same request may succeed later
  std::optional<double> retry_after;  // seconds, as the provider asked
  std::string phase;                  // of DeadlineExceeded: queue, connect, first_token, idle, total
  std::string body;                   // excerpt of the provider's answer, at most kBodyExcerpt bytes, secrets removed
  bool has_body = false;
};

inline constexpr std::size_t kBodyExcerpt = 2048;

inline Error make_error(ErrorKind kind, std::string message) {
  Error error;
  error.kind = kind;
  error.message = std::move(message);
  return error;
}

}  // namespace orchestra::chat
