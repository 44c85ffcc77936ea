// Result<T>: a value or a chat::Error, in the shape of std::expected. The data plane does not throw; a fault from
// outside is a value that travels back to the caller.
#pragma once

#include <cassert>
#include <utility>
#include <variant>

#include "chat/error.hpp"

namespace orchestra {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(chat::Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  // REQUIRES: has_value().
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }

  // REQUIRES: !has_value().
  chat::Error& error() & { return *std::get_if<1>(&state_); }
  const chat::Error& error() const& { return *std::get_if<1>(&state_); }
  chat::Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, chat::Error> state_;
};

// Success without a value.
struct Done {};
using Status = Result<Done>;

}  // namespace orchestra
