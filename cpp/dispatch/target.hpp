// Target: one model behind one provider, as dispatch needs it. Plain data, made by the engine from its configuration;
// immutable, shared by calls and threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "catalog/model.hpp"
#include "protocol/format.hpp"
#include "runtime/exchange.hpp"

namespace orchestra::dispatch {

// A secret travels by its number; its value is asked for when an attempt begins.
using SecretHandle = std::size_t;

struct ProviderHeader {
  std::string name;
  std::variant<std::string, SecretHandle> value;
};

// One provider: where its requests go, in which format, with which credentials.
struct Link {
  std::string provider;
  const protocol::Format* format = nullptr;
  std::shared_ptr<const runtime::Origin> origin;
  std::string path_prefix;
  std::vector<ProviderHeader> headers;
  std::vector<std::string> hidden;  // besides its secrets, what no error may show though it is sent back
  std::optional<SecretHandle> key;
  std::string key_header;         // carries the key as it is; "": as the format says
  bool deployment_paths = false;  // Azure: the model's name stands in the path, /openai/deployments/NAME
  std::string query;              // after the path, "?" included
};

struct Target {
  std::string model;       // "provider/model", as the caller named it
  std::string wire_model;  // as the provider names it
  std::string dialect;     // the provider whose spellings of the format it has
  std::shared_ptr<const Link> link;
  std::shared_ptr<const catalog::Model> card;  // nullptr: not in the catalog
};

}  // namespace orchestra::dispatch
