#include "chat/reply.hpp"

#include <array>
#include <utility>

namespace orchestra::chat {

namespace {
constexpr std::array<std::pair<Finish, std::string_view>, 7> kNames{{{Finish::Stop, "stop"},
                                                                     {Finish::Length, "length"},
                                                                     {Finish::ToolCalls, "tool_calls"},
                                                                     {Finish::ContentFilter, "content_filter"},
                                                                     {Finish::Refusal, "refusal"},
                                                                     {Finish::Budget, "budget"},
                                                                     {Finish::Other, "other"}}};
}  // namespace

std::string_view finish_name(Finish finish) {
  for (const auto& [value, name] : kNames) {
    if (value == finish) return name;
  }
  return {};
}

Finish finish_from_name(std::string_view name) {
  for (const auto& [value, text] : kNames) {
    if (text == name) return value;
  }
  return Finish::None;
}

}  // namespace orchestra::chat
