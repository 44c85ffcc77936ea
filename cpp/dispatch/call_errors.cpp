#include "dispatch/call_errors.hpp"

#include <array>
#include <charconv>
#include <utility>

namespace orchestra::dispatch {

namespace {

std::string shortest(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

}  // namespace

chat::Error deadline_error(std::string phase, double seconds) {
  chat::Error error =
      chat::make_error(chat::ErrorKind::DeadlineExceeded,
                       "no answer in time: the " + phase + " timeout of " + shortest(seconds) + " s is up");
  error.retryable = phase != "total";
  error.phase = std::move(phase);
  return error;
}

}  // namespace orchestra::dispatch
