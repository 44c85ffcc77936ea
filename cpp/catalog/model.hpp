// Model: what is known of one model behind one provider. Plain data, immutable once a Catalog holds it, usable from any
// thread. What is not known is absent or Unknown: it is not false and not zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/price.hpp"
#include "chat/known.hpp"
#include "chat/result.hpp"
#include "json/value.hpp"

namespace orchestra::catalog {

using chat::Known;

enum class Capability : std::uint8_t {
  Tools,
  ParallelTools,
  JsonSchema,
  JsonMode,
  Vision,
  Reasoning,
  Streaming,
  SystemPrompt,
  Prefill,
  Seed,
  Logprobs,
  PromptCache,
  Batch,
};
inline constexpr std::size_t kCapabilityCount = 13;
// "tools", "parallel_tools", ...
std::string_view capability_name(Capability capability);

enum class Modality : std::uint8_t { Text, Image, Audio, File };
std::string_view modality_name(Modality modality);

// From the strictest to the most open.
enum class Privacy : std::uint8_t { Local, Private, NoTraining, Public };
std::string_view privacy_name(Privacy privacy);
// All four, in this order.
const std::vector<std::string_view>& privacy_names();

struct Model {
  std::string name;                  // "provider/model"
  std::vector<std::string> aliases;  // whole names too
  std::array<Known, kCapabilityCount> capabilities{};
  std::optional<std::vector<Modality>> modalities;  // kinds of input
  std::optional<std::int64_t> context_window;       // tokens
  std::optional<std::int64_t> max_output;           // tokens
  std::vector<Price> prices;          // at most one for now; dates, tiers and hours choose among them later
  std::optional<double> quality;      // 0..1, a prior
  std::optional<double> latency;      // seconds to the first token, a prior
  std::string tokenizer;              // "o200k_base", "cl100k_base" or empty
  std::optional<Privacy> privacy;     // absent: the provider's
  std::optional<std::string> region;  // absent: the provider's

  [[nodiscard]] Known has(Capability capability) const { return capabilities[static_cast<std::size_t>(capability)]; }
  // The sheet that counts; nullptr: the price is unknown.
  [[nodiscard]] const Price* price() const { return prices.empty() ? nullptr : &prices.front(); }
  // The parts of "provider/model"; the model's own name may hold further slashes.
  [[nodiscard]] std::string_view provider() const;
  [[nodiscard]] std::string_view wire_name() const;
};

// Splits "provider/model" at the first slash; empty views when a side is missing.
struct SplitName {
  std::string_view provider;
  std::string_view model;
};
SplitName split_name(std::string_view name);

// Reads a model from its JSON object: the argument names of the public Model, `*_price` for a plain sheet or `prices`
// for a list of one. Fails with Config; the message begins with the path of what is wrong, `path` before it when it is
// not empty ("models[2]" gives "models[2].context_window: ...").
Result<std::shared_ptr<const Model>> read_model(json::Value value, std::string_view path);

}  // namespace orchestra::catalog
