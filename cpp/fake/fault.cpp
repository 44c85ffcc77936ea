#include "fake/fault.hpp"

#include <array>

namespace orchestra::fake {
namespace {

// What a kind takes besides every and times: a name, the least value, whether it must be there.
struct Argument {
  std::string_view name;
  double least = 0;
  bool whole = true;
  bool required = false;
};

struct KindRow {
  std::string_view name;
  FaultKind kind;
  std::array<Argument, 2> arguments;
};

constexpr std::array<KindRow, 7> kKinds{{
    {"status", FaultKind::Status, {{{"code", 300, true, true}, {"retry_after", 0, false, false}}}},
    {"reset", FaultKind::Reset, {{{"after_bytes"}, {}}}},
    {"stall", FaultKind::Stall, {{{"after_events"}, {"seconds", 0, false, true}}}},
    {"cut", FaultKind::Cut, {{{"after_events", 0, true, true}, {}}}},
    {"garbage", FaultKind::Garbage, {}},
    {"drip", FaultKind::Drip, {{{"bytes", 1, true, false}, {}}}},
    {"duplicate_event", FaultKind::DuplicateEvent, {}},
}};
constexpr std::array<Argument, 2> kCommon{{{"every", 1}, {"times", 1}}};

const Argument* find_argument(const KindRow& row, std::string_view name) {
  for (const Argument& argument : row.arguments) {
    if (!argument.name.empty() && argument.name == name) return &argument;
  }
  for (const Argument& argument : kCommon) {
    if (argument.name == name) return &argument;
  }
  return nullptr;
}

std::optional<double> read_number(const Argument& argument, json::Value value) {
  if (!value.is_number()) return std::nullopt;
  const std::optional<double> number = value.number();
  if (!number || *number < argument.least || *number > 1e15) return std::nullopt;
  if (argument.whole && !value.integer()) return std::nullopt;
  return number;
}

void put(Fault& fault, std::string_view name, double number) {
  if (name == "code") fault.status = static_cast<int>(number);
  if (name == "retry_after") fault.retry_after = number;
  if (name == "after_bytes") fault.after_bytes = static_cast<std::size_t>(number);
  if (name == "after_events") fault.after_events = static_cast<std::size_t>(number);
  if (name == "seconds") fault.seconds = number;
  if (name == "bytes") fault.bytes = static_cast<std::size_t>(number);
  if (name == "every") fault.every = static_cast<std::int64_t>(number);
  if (name == "times") fault.times = static_cast<std::int64_t>(number);
}

}  // namespace

chat::Error config_error(std::string_view path, std::string_view text) {
  return chat::make_error(chat::ErrorKind::Config, std::string(path).append(": ").append(text));
}

Result<Fault> read_fault(json::Value value, const std::string& path) {
  const KindRow* row = nullptr;
  for (const KindRow& candidate : kKinds) {
    if (value["kind"].is(candidate.name)) row = &candidate;
  }
  if (row == nullptr) return config_error(path, "no such fault");
  Fault fault;
  fault.kind = row->kind;
  for (const auto [key, member] : value.members()) {
    const std::string name = key.string_or();
    if (name == "kind" || member.is_null()) continue;
    const Argument* argument = find_argument(*row, name);
    if (argument == nullptr) return config_error(path + "." + name, "unknown key");
    const std::optional<double> number = read_number(*argument, member);
    if (!number || (name == "code" && *number > 599)) {
      const std::string least = std::to_string(static_cast<int>(argument->least));
      return config_error(path + "." + name, name == "code"
                                                 ? "a status from 300 to 599 is needed"
                                                 : std::string(argument->whole ? "a whole number" : "a number") +
                                                       " of " + least + " or more is needed");
    }
    put(fault, name, *number);
  }
  for (const Argument& argument : row->arguments) {
    if (argument.required && !value[argument.name]) {
      return config_error(path + "." + std::string(argument.name), "is needed");
    }
  }
  return fault;
}

}  // namespace orchestra::fake
