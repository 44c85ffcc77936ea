// Structured output through a forced tool call: how every format asks for it where a model has no JSON schema of its
// own.
#pragma once

#include <string>
#include <string_view>

#include "json/value.hpp"
#include "protocol/format.hpp"

namespace orchestra::protocol {

// How a response_format reaches the model.
enum class Structured : std::uint8_t { None, JsonObject, NativeSchema, ForcedTool, Impossible };

inline Structured structured(json::Value response_format, const EncodeOptions& options) {
  if (!response_format || response_format["type"].is("text")) return Structured::None;
  if (!response_format["type"].is("json_schema")) return Structured::JsonObject;
  if (options.json_schema != Known::No) return Structured::NativeSchema;
  return options.tools == Known::No ? Structured::Impossible : Structured::ForcedTool;
}

// The name of the forced tool: the schema's, in the letters that tools may have, else "respond".
inline std::string forced_tool_name(json::Value response_format) {
  constexpr std::size_t kLongest = 64;
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  std::string name = response_format["json_schema"]["name"].string_or().substr(0, kLongest);
  for (char& c : name) {
    if (kAllowed.find(c) == std::string_view::npos) c = '_';
  }
  return name.empty() ? "respond" : name;
}

inline std::string_view schema_of(json::Value response_format) {
  const json::Value schema = response_format["json_schema"]["schema"];
  return schema.exists() ? schema.raw() : std::string_view(R"({"type":"object"})");
}

}  // namespace orchestra::protocol
