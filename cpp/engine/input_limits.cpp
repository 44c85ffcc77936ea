#include "engine/input_limits.hpp"

#include <string>
#include <vector>

#include "catalog/fields.hpp"

namespace orchestra::engine {

namespace {

// No JSON is read beyond this.
constexpr std::size_t kMostBytes = json::kMaxText - 1;
// libcurl gives up a line of 100 KB and a head of 300 KB by itself.
constexpr std::size_t kMostHeadBytes = std::size_t{100} << 10;
constexpr std::size_t kMostHeadLines = 10'000;
// Values are written and converted by recursion.
constexpr std::size_t kMostDepth = 1000;
// Deflate itself reaches 1,032:1 (zlib's documentation, "Maximum compression factor").
constexpr std::size_t kMostRatio = 1032;
constexpr std::size_t kMostCalls = 1'000'000;

}  // namespace

Result<InputLimits> read_input_limits(json::Value value, std::string_view path) {
  InputLimits limits;
  struct Row {
    std::string_view name;
    std::size_t& limit;
    std::size_t most;
  };
  const Row rows[] = {{"head_bytes", limits.head.bytes, kMostHeadBytes},
                      {"head_lines", limits.head.lines, kMostHeadLines},
                      {"body", limits.reply.body, kMostBytes},
                      {"decompression_ratio", limits.head.decompression_ratio, kMostRatio},
                      {"line", limits.reply.line, kMostBytes},
                      {"event", limits.reply.event, kMostBytes},
                      {"text", limits.reply.text, kMostBytes},
                      {"json_depth", limits.reply.json_depth, kMostDepth},
                      {"tool_calls", limits.reply.tool_calls, kMostCalls},
                      {"request", limits.reply.request, kMostBytes}};
  if (!value) return limits;
  std::vector<std::string_view> names;
  for (const Row& row : rows) names.push_back(row.name);
  catalog::Fields fields(value, path, names);
  for (const Row& row : rows) {
    const auto given = fields.count(row.name);
    if (!given) continue;
    if (static_cast<std::size_t>(*given) > row.most) {
      fields.fail(row.name, "must be at most " + std::to_string(row.most));
    } else {
      row.limit = static_cast<std::size_t>(*given);
    }
  }
  if (fields.error()) return *fields.error();
  return limits;
}

}  // namespace orchestra::engine
