#include "engine/config.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include "catalog/fields.hpp"
#include "engine/address.hpp"
#include "http/proxy.hpp"
#include "protocol/data_url.hpp"
#include "protocol/format.hpp"

namespace orchestra::engine {

namespace {

using catalog::child_path;
using catalog::config_error;
using catalog::element_path;
using catalog::Fields;

// Every format that this version or a later one speaks; those that are not built in have no Format.
const std::vector<std::string_view> kProtocols = {"openai-chat", "openai-responses", "anthropic-messages",
                                                  "gemini",      "bedrock-converse", "mistral",
                                                  "cohere-v2",   "ollama",           "openai-embeddings"};
const std::vector<std::string_view> kTransports = {"auto", "own", "curl"};
const std::vector<std::string_view> kProviderKeys = {"name",    "protocol", "base_url",  "api_key",
                                                     "headers", "privacy",  "region",    "proxy",
                                                     "ca_file", "insecure", "transport", "options"};

// Headers that carry no credentials.
const std::vector<std::string_view> kHarmless = {
    "accept",       "accept-encoding", "accept-language", "anthropic-beta", "content-type", "anthropic-version",
    "http-referer", "openai-beta",     "origin",          "referer",        "user-agent",   "x-title"};

// What a built-in provider takes besides the common arguments.
struct Option {
  std::string_view provider;
  std::string_view name;
};
constexpr Option kOptions[] = {
    {"azure", "api_version"},
    {"bedrock", "profile"},
    {"vertex", "location"},
    {"vertex", "project"},
};

// Formats whose own clients leave the version out of base_url, and the built-in provider that says which one it is.
struct VersionLeftOut {
  std::string_view protocol;
  std::string_view provider;
};
constexpr VersionLeftOut kVersionLeftOut[] = {
    {"anthropic-messages", "anthropic"}, {"gemini", "gemini"}, {"ollama", "ollama"}};

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool is_token_char(char c) {
  return is_letter_or_digit(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_header_value_char(char c) { return c == '\t' || (c >= ' ' && c < '\x7f'); }

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// "ACME_API_KEY" for "acme"
std::string default_key_variable(std::string_view name) {
  std::string out;
  for (const char c : name)
    out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : is_letter_or_digit(c) ? c : '_';
  return out + "_API_KEY";
}

// {"secret": 3}; empty: it is something else.
std::optional<dispatch::SecretHandle> read_secret(json::Value value) {
  if (!value.is_object() || value.size() != 1) return std::nullopt;
  const std::optional<std::int64_t> number = value["secret"].integer();
  if (!number || *number < 0 || *number > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<dispatch::SecretHandle>(*number);
}

// Reads one provider; `secret_count` grows with the secrets that it names.
class ProviderReader {
 public:
  ProviderReader(json::Value value, std::string_view path, std::size_t& secret_count,
                 const std::string& fallback_ca_file = "")
      : fields_(value, path, kProviderKeys), secret_count_(secret_count) {
    origin_->fallback_ca_file = fallback_ca_file;
  }

  Result<std::shared_ptr<const Provider>> read() {
    read_name();
    read_protocol();
    read_base_url();
    read_key();
    read_headers();
    read_connection();
    if (const auto place = fields_.word("privacy", catalog::privacy_names())) {
      provider_->privacy = static_cast<catalog::Privacy>(*place);
    }
    provider_->region = fields_.text("region");
    read_hidden();
    read_transport();
    read_options();
    if (fields_.error()) return *fields_.error();
    link_->origin = origin_;
    provider_->link = link_;
    return std::shared_ptr<const Provider>(provider_);
  }

 private:
  void read_name() {
    if (!fields_.get("name").exists()) fields_.fail("name", "is missing");
    provider_->name = fields_.text("name").value_or("");
    const bool plain = std::ranges::all_of(
        provider_->name, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.'; });
    if (!plain) fields_.fail("name", "may hold letters, digits, '-', '_' and '.' only");
    if (fields_.error()) return;
    builtin_ = protocol::find_builtin(provider_->name);
    provider_->dialect = builtin_ != nullptr ? std::string(builtin_->name) : provider_->name;
    provider_->key_variable = builtin_ != nullptr && !builtin_->key_variable.empty()
                                  ? std::string(builtin_->key_variable)
                                  : default_key_variable(provider_->name);
    link_->provider = provider_->name;
  }

  void read_protocol() {
    const auto place = fields_.word("protocol", kProtocols);
    if (fields_.error()) return;
    if (place) {
      provider_->protocol = kProtocols[*place];
    } else if (builtin_ != nullptr) {
      provider_->protocol = builtin_->protocol;
    } else {
      return fields_.fail("protocol", missing("protocol"));
    }
    link_->format = protocol::find_format(provider_->protocol);
  }

  void read_base_url() {
    const std::optional<std::string> given = fields_.text("base_url");
    if (fields_.error()) return;
    const std::string base_url = given ? *given : builtin_ != nullptr ? std::string(builtin_->base_url) : std::string();
    if (base_url.empty()) return fields_.fail("base_url", missing("base_url"));
    Result<Address> address = read_address(base_url);
    if (!address) return fields_.fail("base_url", address.error().message);
    origin_->url = address->origin;
    provider_->loopback = address->loopback;
    link_->path_prefix = with_version(address->path);
  }

  [[nodiscard]] std::string missing(std::string_view key) const {
    if (builtin_ != nullptr) {
      const std::string variable = default_key_variable(provider_->name);
      const std::string stem = variable.substr(0, variable.size() - std::string_view("API_KEY").size());
      return "provider \"" + provider_->name + "\" has no address of its own: give base_url or set " + stem +
             "BASE_URL";
    }
    std::vector<std::string_view> names;
    for (const protocol::BuiltinProvider* builtin : protocol::builtin_providers()) names.push_back(builtin->name);
    std::string text = "\"" + provider_->name + "\" is no built-in provider, so it needs " + std::string(key);
    const std::string_view guess = catalog::nearest(provider_->name, names);
    if (!guess.empty()) text.append("; did you mean \"").append(guess).append("\"?");
    return text;
  }

  // The path with the version in it, where a user may leave it out.
  [[nodiscard]] std::string with_version(const std::string& path) const {
    for (const VersionLeftOut& row : kVersionLeftOut) {
      const protocol::BuiltinProvider* owner = protocol::find_builtin(row.provider);
      if (row.protocol != provider_->protocol || owner == nullptr || owner->protocol != row.protocol) continue;
      return path.ends_with(owner->path_prefix) ? path : path + std::string(owner->path_prefix);
    }
    const bool spoken_as_usual = builtin_ != nullptr && builtin_->protocol == provider_->protocol;
    return path.empty() && spoken_as_usual ? std::string(builtin_->path_prefix) : path;
  }

  dispatch::SecretHandle count_secret(dispatch::SecretHandle handle) {
    secret_count_ = std::max(secret_count_, handle + 1);
    return handle;
  }

  void read_key() {
    const json::Value value = fields_.get("api_key");
    if (!value.exists()) return;
    const auto handle = read_secret(value);
    if (!handle) return fields_.fail("api_key", "must be the number of a secret");
    link_->key = count_secret(*handle);
    if (provider_->dialect == "azure") link_->key_header = "api-key";
  }

  void read_headers() {
    const json::Value value = fields_.get("headers");
    if (!value.exists()) return;
    if (!value.is_object()) return fields_.fail("headers", "must be a table of name and value");
    std::set<std::string> seen;
    for (const auto [key, text] : value.members()) {
      const std::string name = key.string_or();
      if (name.empty() || !std::ranges::all_of(name, is_token_char))
        return fields_.fail("headers", "holds a name that is no header name");
      const std::string path = "headers." + name.substr(0, 100);
      const std::string low = lowered(name);
      if (!seen.insert(low).second) return fields_.fail(path, "stands there twice");
      if (low == "content-length" || low == "transfer-encoding" || low == "connection") {
        return fields_.fail(path, "belongs to the transport");
      }
      if (const auto handle = read_secret(text)) {
        link_->headers.push_back({name, count_secret(*handle)});
        continue;
      }
      const std::optional<std::string> plain = text.string();
      if (!plain) return fields_.fail(path, "must be a string");
      if (!std::ranges::all_of(*plain, is_header_value_char)) {
        return fields_.fail(path, "holds a line break or another character that no header may hold");
      }
      link_->headers.push_back({name, *plain});
    }
  }

  void read_connection() {
    const json::Value proxy = fields_.get("proxy");
    if (proxy.exists() && !proxy.is_string()) return fields_.fail("proxy", "must be a string");
    const std::string address = proxy.string_or();
    if (proxy.exists()) origin_->proxy = address.empty() ? "-" : address;
    if (!address.empty() && !is_proxy_address(address))
      return fields_.fail("proxy", "is no address such as http://host:3128");
    origin_->ca_file = fields_.text("ca_file").value_or("");
    if (origin_->ca_file.find('\0') != std::string::npos) fields_.fail("ca_file", "is no path: it holds a NUL");
    origin_->insecure = fields_.boolean("insecure").value_or(false);
  }

  // Credentials that were not given as secrets.
  void read_hidden() {
    constexpr std::size_t kLeast = 8;  // shorter values are words that an error may need
    for (const auto& header : link_->headers) {
      const auto* text = std::get_if<std::string>(&header.value);
      if (text != nullptr && text->size() >= kLeast &&
          std::ranges::find(kHarmless, lowered(header.name)) == kHarmless.end())
        link_->hidden.push_back(*text);
    }
    const auto proxy = http::proxy_for(origin_->url, origin_->proxy);
    if (proxy && !(proxy->user + proxy->password).empty()) {
      link_->hidden.push_back(proxy->password.empty() ? proxy->user : proxy->password);
      link_->hidden.push_back(protocol::encode_base64(proxy->user + ":" + proxy->password));
    }
  }

  // Which exchange carries the requests is settled here, for all of them: a second one never tries what the first
  // failed at, since that might send a request twice.
  void read_transport() {
    if (const auto place = fields_.word("transport", kTransports))
      provider_->transport = static_cast<Transport>(*place);
    if (fields_.error() || provider_->transport == Transport::Curl) return;
    const auto proxy = http::proxy_for(origin_->url, origin_->proxy);
    if (proxy && provider_->transport == Transport::Own) {
      return fields_.fail("transport", "\"own\" knows no proxies, and " + proxy->source + " names one (" +
                                           proxy->shown() + "); write \"auto\", or proxy=\"\" to use none");
    }
    origin_->own = !proxy;
  }

  void read_options() {
    const json::Value value = fields_.get("options");
    if (!value.exists()) return;
    if (!value.is_object()) return fields_.fail("options", "must be a table");
    for (const auto [key, text] : value.members()) {
      const std::string name = key.string_or();
      const bool known = std::ranges::any_of(
          kOptions, [&](const Option& option) { return option.provider == provider_->dialect && option.name == name; });
      if (!known) return fields_.fail(unknown_option(name));
      const std::optional<std::string> plain = text.string();
      if (!plain || plain->empty()) return fields_.fail(name, "must be a string");
      if (name == "api_version") {
        if (!std::ranges::all_of(*plain, is_token_char))
          return fields_.fail(name, "must be a version such as 2024-10-21");
        // The addresses of before Azure's /openai/v1, which has no versions.
        link_->deployment_paths = true;
        link_->query = "?api-version=" + *plain;
      }
      provider_->options.emplace_back(name, *plain);
    }
    std::ranges::sort(provider_->options);
  }

  // Options are given beside the other arguments, so the path is the name alone.
  [[nodiscard]] chat::Error unknown_option(const std::string& name) const {
    std::vector<std::string_view> names(kProviderKeys.begin(), kProviderKeys.end() - 1);
    names.push_back("limits");
    for (const Option& option : kOptions) {
      if (option.provider == provider_->dialect) names.push_back(option.name);
    }
    const std::string_view guess = catalog::nearest(name, names);
    std::string text = "provider \"" + provider_->name + "\" has no such option";
    text += guess.empty() ? "; known are " + catalog::listing(names) : "; did you mean \"" + std::string(guess) + "\"?";
    return config_error(fields_.path(name.substr(0, 100)), text);
  }

  Fields fields_;
  std::size_t& secret_count_;
  const protocol::BuiltinProvider* builtin_ = nullptr;
  std::shared_ptr<Provider> provider_ = std::make_shared<Provider>();
  std::shared_ptr<dispatch::Link> link_ = std::make_shared<dispatch::Link>();
  std::shared_ptr<runtime::Origin> origin_ = std::make_shared<runtime::Origin>();
};

std::optional<chat::Error> read_providers(json::Value list, const std::string& fallback_ca_file, Config& config) {
  if (!list.exists()) return std::nullopt;
  if (!list.is_array()) return config_error("providers", "must be a list");
  for (const json::Value value : list.elements()) {
    const std::string path = element_path("providers", config.providers.size());
    auto provider = ProviderReader(value, path, config.secret_count, fallback_ca_file).read();
    if (!provider) return provider.error();
    if (config.find_provider((*provider)->name) != nullptr) {
      return config_error(child_path(path, "name"), "\"" + (*provider)->name + "\" stands there twice");
    }
    config.providers.push_back(*provider);
  }
  return std::nullopt;
}

Result<catalog::Catalog::Models> read_models(json::Value list, std::string_view name) {
  catalog::Catalog::Models models;
  if (!list.exists()) return models;
  if (!list.is_array()) return config_error(name, "must be a list");
  for (const json::Value value : list.elements()) {
    auto model = catalog::read_model(value, element_path(name, models.size()));
    if (!model) return model.error();
    models.push_back(*model);
  }
  return models;
}

std::optional<chat::Error> read_catalog(const Fields& fields, Config& config) {
  const auto own = read_models(fields.get("models"), "models");
  if (!own) return own.error();
  const auto shipped = read_models(fields.get("catalog"), "catalog");
  if (!shipped) return shipped.error();
  auto made = catalog::Catalog::make(*own, *shipped);
  if (!made) return made.error();
  config.catalog = *made;
  return std::nullopt;
}

std::optional<chat::Error> parse_text(json::Document& document, std::string json) {
  if (const auto problem = document.parse(std::move(json))) {
    return config_error("",
                        "the configuration is " + problem->message + " (byte " + std::to_string(problem->offset) + ")");
  }
  return std::nullopt;
}

}  // namespace

Status Provider::usable() const {
  const bool has_own_credentials = std::ranges::any_of(link->headers, [](const dispatch::ProviderHeader& header) {
    const std::string low = lowered(header.name);
    return low == "authorization" || low == "x-api-key" || low == "api-key";
  });
  if (!link->key && !loopback && !has_own_credentials) {
    return config_error("", "provider \"" + name + "\" has no key: set " + key_variable);
  }
  if (link->format == nullptr) {
    return config_error("", "provider \"" + name + "\" speaks " + protocol + ", which this version cannot speak yet");
  }
  return Done{};
}

std::shared_ptr<const Provider> Config::find_provider(std::string_view name) const {
  const auto found = std::ranges::find_if(providers, [&](const auto& provider) { return provider->name == name; });
  return found == providers.end() ? nullptr : *found;
}

Result<std::shared_ptr<const Config>> parse_config(std::string json) {
  json::Document document;
  if (auto error = parse_text(document, std::move(json))) return std::move(*error);
  Fields fields(document.root(), "", {"providers", "models", "catalog", "seed", "input_limits", "fallback_ca_file"});
  if (fields.error()) return *fields.error();
  auto config = std::make_shared<Config>();
  const std::string fallback_ca_file = fields.text("fallback_ca_file").value_or("");
  if (fields.error()) return *fields.error();
  if (auto error = read_providers(fields.get("providers"), fallback_ca_file, *config)) return std::move(*error);
  if (auto error = read_catalog(fields, *config)) return std::move(*error);
  if (const json::Value seed = fields.get("seed"); seed.exists()) {
    const auto number = seed.integer();
    if (!number || *number < 0) return config_error("seed", "must be a whole number, 0 or more");
    config->seed = static_cast<std::uint64_t>(*number);
  }
  auto limits = read_input_limits(fields.get("input_limits"), "input_limits");
  if (!limits) return std::move(limits).error();
  config->input_limits = *limits;
  return std::shared_ptr<const Config>(std::move(config));
}

Status validate_provider(std::string json) {
  json::Document document;
  if (auto error = parse_text(document, std::move(json))) return std::move(*error);
  std::size_t secret_count = 0;
  const auto provider = ProviderReader(document.root(), "", secret_count).read();
  if (!provider) return provider.error();
  return Done{};
}

Status validate_model(std::string json) {
  json::Document document;
  if (auto error = parse_text(document, std::move(json))) return std::move(*error);
  const auto model = catalog::read_model(document.root(), "");
  if (!model) return model.error();
  return Done{};
}

}  // namespace orchestra::engine
