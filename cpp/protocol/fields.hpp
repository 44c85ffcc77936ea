// Which keywords of a call a format has, and under which name. One table a format, read by its encoder.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "chat/request.hpp"
#include "json/writer.hpp"
#include "protocol/format.hpp"

namespace orchestra::protocol {

// How a keyword comes into the body.
enum class Place : std::uint8_t {
  Same,     // its value as it stands, under `name`
  Encoder,  // the format's encoder writes it by hand
};

struct FieldRow {
  chat::Field field;
  Place place;
  std::string_view name;  // on the wire; the main one, where the encoder decides
};

// Writes the top level of a body. Members that `extra` names are left out, because extra comes last and overrides.
class BodyWriter {
 public:
  BodyWriter(std::string& body, json::Value extra) : writer_(body), extra_(extra) { writer_.begin_object(); }

  // Writes the name; the value must follow. False: extra says it, write nothing.
  bool begin(std::string_view name) {
    if (extra_[name].exists()) return false;
    writer_.key(name);
    return true;
  }
  void raw(std::string_view name, std::string_view json) {
    if (begin(name)) writer_.raw(json);
  }
  json::Writer& writer() { return writer_; }
  void end() {
    for (auto [key, value] : extra_.members()) writer_.key(key.string_or()).raw(value.raw());
    writer_.end_object();
  }

 private:
  json::Writer writer_;
  json::Value extra_;
};

// What happens to the parts of a call that the format cannot express: the first is the error, or all are dropped.
class Refusals {
 public:
  Refusals(std::string_view format, bool drop) : format_(format), drop_(drop) {}

  // `keyword`: the name that the caller used. `why` completes "keyword: ...".
  void refuse(std::string_view keyword, std::string_view why) {
    if (drop_) {
      dropped_.emplace_back(keyword);
    } else if (!error_) {
      error_ = chat::make_error(chat::ErrorKind::Unsupported,
                                std::string(keyword).append(": ").append(why).append(" (").append(format_).append(")"));
    }
  }
  // The caller's own mistake; cannot be dropped.
  void invalid(std::string_view path, std::string_view what) {
    error_ = chat::make_error(chat::ErrorKind::InvalidRequest, std::string(path).append(": ").append(what));
  }
  [[nodiscard]] bool failed() const { return error_.has_value(); }
  chat::Error error() { return *std::move(error_); }
  std::vector<std::string> dropped() { return std::move(dropped_); }

 private:
  std::string_view format_;
  bool drop_;
  std::optional<chat::Error> error_;
  std::vector<std::string> dropped_;
};

// Refuses every keyword that is given and has no row; `says_nothing` tells values that ask for what happens anyway.
inline void check_fields(const chat::Request& request, std::span<const FieldRow> table, Refusals& refusals) {
  for (std::size_t i = 0; i < chat::kFieldCount; ++i) {
    const auto field = static_cast<chat::Field>(i);
    const json::Value value = request[field];
    if (!value || field == chat::Field::Messages || field == chat::Field::Extra) continue;
    const bool known = [&] {
      for (const FieldRow& row : table) {
        if (row.field == field) return true;
      }
      return false;
    }();
    const bool says_nothing = (field == chat::Field::N && value.integer() == 1) ||
                              (field == chat::Field::Logprobs && value.boolean() == false);
    if (!known && !says_nothing) refusals.refuse(chat::field_name(field), "this format has no such field");
  }
}

// Writes the keywords whose place is Same.
inline void write_fields(const chat::Request& request, std::span<const FieldRow> table, BodyWriter& body) {
  for (const FieldRow& row : table) {
    if (row.place == Place::Same && request[row.field]) body.raw(row.name, request[row.field].raw());
  }
}

}  // namespace orchestra::protocol
