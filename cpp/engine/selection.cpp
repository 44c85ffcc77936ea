#include "engine/selection.hpp"

#include <chrono>
#include <string>
#include <utility>

#include "chat/request_check.hpp"

namespace orchestra::engine {

namespace {

using chat::Error;
using chat::ErrorKind;

Error invalid(std::string message) { return chat::make_error(ErrorKind::InvalidRequest, std::move(message)); }

std::string quoted(std::string_view name) {
  constexpr std::size_t kMost = 100;
  if (name.size() <= kMost) return '"' + std::string(name) + '"';
  std::size_t end = kMost;
  while ((static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;  // within a character
  return '"' + std::string(name.substr(0, end)) + "...\"";
}

std::string provider_names(const Config& config) {
  std::string names;
  for (const auto& provider : config.providers) names += (names.empty() ? "" : ", ") + provider->name;
  return names.empty() ? "none" : names;
}

using TargetResult = Result<std::shared_ptr<const dispatch::Target>>;

TargetResult find_target(const Settings& settings, const std::string& name, const std::string& path) {
  constexpr std::string_view kRoute = "route:";
  if (name.starts_with(kRoute)) {
    return invalid(path + ": there is no route " + quoted(std::string_view(name).substr(kRoute.size())) + " (in " +
                   quoted(name) + "); this engine has no routes");
  }
  const auto card = settings.config->catalog->find(name);
  const auto split = catalog::split_name(card ? std::string_view(card->name) : std::string_view(name));
  if (split.provider.empty() || split.model.empty()) {
    return invalid(path + ": " + quoted(name) + " is no model; write provider/model");
  }
  const auto provider = settings.config->find_provider(split.provider);
  if (!provider) {
    const auto* builtin = protocol::find_builtin(split.provider);
    if (builtin != nullptr && settings.default_providers) {
      return chat::make_error(ErrorKind::Config,
                              path + ": " + quoted(name) + ": no key: set " + std::string(builtin->key_variable));
    }
    return invalid(path + ": there is no provider " + quoted(split.provider) + " (in " + quoted(name) +
                   "); the engine has: " + provider_names(*settings.config));
  }
  if (Status usable = provider->usable(); !usable) return std::move(usable).error();
  auto target = std::make_shared<dispatch::Target>();
  target->model = name;
  target->wire_model = std::string(split.model);
  target->dialect = provider->dialect;
  target->link = provider->link;
  target->card = card;
  settings.targets->add(name, target);
  return std::shared_ptr<const dispatch::Target>(std::move(target));
}

void read_seconds(json::Value from, std::string_view key, double& to) {
  if (const auto value = from[key].number()) to = *value;
}

void read_count(json::Value from, std::string_view key, int& to) {
  if (const auto value = from[key].integer()) to = static_cast<int>(*value);
}

}  // namespace

Result<dispatch::CallSpec> select(const Settings& settings, std::shared_ptr<const chat::Request> request, bool stream) {
  dispatch::CallSpec spec;
  const json::Value root = request->root();
  const json::Value model = root["model"];
  const json::Value route = root["route"];
  if (model && route) return invalid("model and route: give one of both, not both");
  if (route) {
    return invalid("route: there is no route " + chat::quoted(route) + "; this engine has no routes, give model=");
  }
  if (!model) return invalid("model: give model=\"provider/model\"; this engine has no routes");

  const auto add = [&](json::Value name, const std::string& path) -> Status {
    if (!name.is_string()) return invalid(path + ": a model's name is a string, not " + chat::quoted(name));
    const std::string_view plain = name.raw().substr(1, name.raw().size() - 2);
    if (plain.find('\\') == std::string_view::npos) {
      if (auto known = settings.targets->find(plain)) {
        spec.targets.push_back(std::move(known));
        return Done{};
      }
    }
    auto target = find_target(settings, name.string_or(), path);
    if (!target) return std::move(target).error();
    spec.targets.push_back(*std::move(target));
    return Done{};
  };
  if (model.is_array()) {
    std::size_t index = 0;
    for (const json::Value name : model.elements()) {
      if (Status added = add(name, "model[" + std::to_string(index++) + "]"); !added) return std::move(added).error();
    }
    if (spec.targets.empty()) return invalid("model: the list of models is empty");
  } else if (Status added = add(model, "model"); !added) {
    return std::move(added).error();
  }

  const json::Value timeout = root["timeout"];
  read_seconds(timeout, "total", spec.timeout.total);
  read_seconds(timeout, "connect", spec.timeout.connect);
  read_seconds(timeout, "first_token", spec.timeout.first_token);
  read_seconds(timeout, "idle", spec.timeout.idle);
  const json::Value retry = root["retry"];
  read_count(retry, "attempts", spec.retry.attempts);
  read_count(retry, "total", spec.retry.total);
  spec.retry.after_sent = retry["after_sent"].boolean().value_or(true);
  spec.drop_unsupported = root["drop_unsupported"].boolean().value_or(false);
  spec.stream = stream;
  spec.most_bytes = settings.config->input_limits.reply.request;
  spec.request = std::move(request);

  spec.secrets = settings.secrets;
  auto encoded = dispatch::encode_for(spec, *spec.targets.front());
  if (!encoded) return std::move(encoded).error();
  spec.first = *std::move(encoded);
  spec.submitted = std::chrono::steady_clock::now();
  spec.submitted_unix = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return spec;
}

}  // namespace orchestra::engine
