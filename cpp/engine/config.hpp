// Config: everything an engine is built from, read once from JSON and checked. Immutable, shared by all threads.
//
// The JSON is what constructors and files lower to:
//   {"providers": [{"name", "protocol", "base_url", "api_key": {"secret": 0}, "headers": {"X-A": "v" or {"secret": 1}},
//                   "privacy", "region", "proxy", "ca_file", "insecure", "transport", "options": {...}}],
//    "models": [{"name", "aliases", "capabilities", ..., "input_price", ...}],  "catalog": [the shipped models],
//    "seed": 7, "input_limits": {"body": 1000, ...}, "fallback_ca_file": "..."}
// Secrets travel beside it, by number; no key stands in it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/catalog.hpp"
#include "chat/result.hpp"
#include "dispatch/target.hpp"
#include "engine/input_limits.hpp"

namespace orchestra::engine {

enum class Transport : std::uint8_t { Auto, Own, Curl };

struct Provider {
  std::string name;
  std::string dialect;   // the built-in provider whose spellings it has, by its main name; else its own name
  std::string protocol;  // the format's name
  // What dispatch needs. link->format is nullptr when the protocol is known but not built in: naming a model of such a
  // provider is a ConfigError, see usable().
  std::shared_ptr<const dispatch::Link> link;
  std::string key_variable;  // "OPENAI_API_KEY": what to set when link->key is empty
  bool loopback = false;     // on this machine: needs no key
  catalog::Privacy privacy = catalog::Privacy::Public;
  std::optional<std::string> region;
  Transport transport = Transport::Auto;
  std::vector<std::pair<std::string, std::string>> options;  // by name, such as api_version; sorted

  // Whether a call may be sent there: Config "no key: set OPENAI_API_KEY" when its key is missing, or that its protocol
  // is not built in.
  [[nodiscard]] Status usable() const;
};

struct Config {
  std::vector<std::shared_ptr<const Provider>> providers;  // in the order given
  std::shared_ptr<const catalog::Catalog> catalog;         // own models on top of those shipped
  std::optional<std::uint64_t> seed;
  InputLimits input_limits;
  std::size_t secret_count = 0;  // one more than the greatest number of a secret

  // nullptr: none of that name.
  [[nodiscard]] std::shared_ptr<const Provider> find_provider(std::string_view name) const;
};

// Fails with Config; the message begins with the path: `providers[0].privacy: "whisper" is not ...`.
Result<std::shared_ptr<const Config>> parse_config(std::string json);

// One provider or model by itself, as its constructor checks it; paths begin inside it (`privacy: ...`).
Status validate_provider(std::string json);
Status validate_model(std::string json);

}  // namespace orchestra::engine
