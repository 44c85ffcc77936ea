// Fuzz target: a configuration is read, or refused as Config with a message; a configuration that was read is
// consistent.
#include "engine/config.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config = orchestra::engine::parse_config(std::string(reinterpret_cast<const char*>(data), size));
  if (!config) {
    require(config.error().kind == orchestra::chat::ErrorKind::Config);
    require(!config.error().message.empty());
    return 0;
  }
  const orchestra::engine::Config& accepted = **config;
  require(accepted.catalog != nullptr);
  for (const auto& provider : accepted.providers) {
    require(accepted.find_provider(provider->name) == provider);
    require(provider->link != nullptr && provider->link->origin != nullptr);
    require(!provider->link->key || *provider->link->key < accepted.secret_count);
  }
  return 0;
}
