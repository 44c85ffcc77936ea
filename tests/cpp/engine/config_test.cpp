#include "engine/config.hpp"

#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace orchestra::engine {
namespace {

std::string error_of(std::string json) {
  const auto config = parse_config(std::move(json));
  if (config) return "";
  EXPECT_EQ(config.error().kind, chat::ErrorKind::Config);
  return config.error().message;
}

std::string provider_error(std::string json) {
  const Status status = validate_provider(std::move(json));
  return status ? "" : status.error().message;
}

std::shared_ptr<const Provider> provider(std::string json) {
  const auto config = parse_config(R"({"providers": [)" + json + "]}");
  if (!config) ADD_FAILURE() << config.error().message;
  return config ? (*config)->providers.at(0) : nullptr;
}

// A provider of that protocol at that base_url.
std::shared_ptr<const Provider> at(std::string_view protocol, std::string_view base_url,
                                   std::string_view name = "acme") {
  return provider(R"({"name": ")" + std::string(name) + R"(", "protocol": ")" + std::string(protocol) +
                  R"(", "base_url": ")" + std::string(base_url) + R"("})");
}

TEST(Config, of_nothing_is_an_engine_without_providers_and_models) {
  const auto config = parse_config("{}");
  ASSERT_TRUE(config);
  EXPECT_TRUE((*config)->providers.empty());
  EXPECT_TRUE((*config)->catalog->models().empty());
  EXPECT_EQ((*config)->secret_count, 0u);
  EXPECT_FALSE((*config)->seed.has_value());
  EXPECT_EQ((*config)->find_provider("openai"), nullptr);
}

TEST(Config, knows_protocol_address_and_key_variable_of_a_built_in_provider) {
  const auto openai = provider(R"({"name": "openai"})");
  EXPECT_EQ(openai->protocol, "openai-chat");
  EXPECT_EQ(openai->link->origin->url, "https://api.openai.com");
  EXPECT_EQ(openai->link->path_prefix, "/v1");
  EXPECT_EQ(openai->key_variable, "OPENAI_API_KEY");
  EXPECT_EQ(openai->link->provider, "openai");
  EXPECT_FALSE(openai->loopback);
  EXPECT_EQ(openai->privacy, catalog::Privacy::Public);
  ASSERT_NE(openai->link->format, nullptr);
  EXPECT_EQ(openai->link->format->name(), "openai-chat");
  EXPECT_EQ(provider(R"({"name": "qwen"})")->key_variable, "DASHSCOPE_API_KEY");
  EXPECT_EQ(provider(R"({"name": "dashscope"})")->key_variable, "DASHSCOPE_API_KEY");
}

TEST(Config, keeps_every_argument_of_a_provider) {
  const auto config = parse_config(R"({"seed": 7, "providers": [{"name": "acme", "protocol": "openai-chat",
      "base_url": "HTTPS://Acme.Example:8443/api/v2/", "api_key": {"secret": 0},
      "headers": {"X-A": "b", "X-Token": {"secret": 2}}, "privacy": "no_training", "region": "eu",
      "proxy": "http://user:pass@proxy:3128", "ca_file": "/etc/ca.pem", "insecure": true, "transport": "curl",
      "options": {}}]})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ((*config)->seed, 7u);
  EXPECT_EQ((*config)->secret_count, 3u);
  const auto acme = (*config)->find_provider("acme");
  ASSERT_NE(acme, nullptr);
  EXPECT_EQ(acme->link->origin->url, "https://acme.example:8443");
  EXPECT_EQ(acme->link->path_prefix, "/api/v2");
  EXPECT_EQ(acme->link->key, 0u);
  ASSERT_EQ(acme->link->headers.size(), 2u);
  EXPECT_EQ(std::get<std::string>(acme->link->headers[0].value), "b");
  EXPECT_EQ(std::get<dispatch::SecretHandle>(acme->link->headers[1].value), 2u);
  EXPECT_EQ(acme->privacy, catalog::Privacy::NoTraining);
  EXPECT_EQ(acme->region, "eu");
  EXPECT_EQ(acme->link->origin->proxy, "http://user:pass@proxy:3128");
  EXPECT_EQ(acme->link->origin->ca_file, "/etc/ca.pem");
  EXPECT_TRUE(acme->link->origin->insecure);
  EXPECT_EQ(acme->transport, Transport::Curl);
  EXPECT_EQ(acme->key_variable, "ACME_API_KEY");
}

TEST(Config, takes_an_address_with_and_without_the_version_where_clients_leave_it_out) {
  for (const char* url : {"http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"}) {
    EXPECT_EQ(at("anthropic-messages", url)->link->path_prefix, "/v1") << url;
  }
  EXPECT_EQ(at("anthropic-messages", "http://h:1/anthropic")->link->path_prefix, "/anthropic/v1");
}

TEST(Config, takes_an_address_of_an_openai_server_as_it_is) {
  EXPECT_EQ(at("openai-chat", "http://h:1")->link->path_prefix, "");
  EXPECT_EQ(at("openai-chat", "http://h:1/v1//")->link->path_prefix, "/v1");
  EXPECT_EQ(at("openai-chat", "http://h:1/openai/v1")->link->path_prefix, "/openai/v1");
}

TEST(Config, says_which_addresses_are_on_this_machine) {
  for (const char* url : {"http://127.0.0.1:1/v1", "http://LOCALHOST/v1", "http://[::1]:8000", "https://127.9.9.9",
                          "http://a.localhost"}) {
    EXPECT_TRUE(at("openai-chat", url)->loopback) << url;
  }
  for (const char* url :
       {"http://127.example.com/v1", "http://10.0.0.1", "http://localhost.example.com", "http://1270.0.0.1"}) {
    EXPECT_FALSE(at("openai-chat", url)->loopback) << url;
  }
}

TEST(Config, tells_at_the_call_that_a_key_is_missing) {
  const Status missing = provider(R"({"name": "openai"})")->usable();
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("no key: set OPENAI_API_KEY"), std::string::npos);
  EXPECT_EQ(missing.error().kind, chat::ErrorKind::Config);
  EXPECT_TRUE(provider(R"({"name": "openai", "api_key": {"secret": 0}})")->usable());
  EXPECT_TRUE(provider(R"({"name": "openai", "headers": {"Authorization": {"secret": 0}}})")->usable());
  EXPECT_TRUE(at("openai-chat", "http://127.0.0.1:1/v1")->usable());
}

TEST(Config, tells_an_empty_proxy_from_none) {
  EXPECT_EQ(provider(R"({"name": "openai"})")->link->origin->proxy, "");
  EXPECT_EQ(provider(R"({"name": "openai", "proxy": ""})")->link->origin->proxy, "-");
}

TEST(Config, names_the_path_of_what_is_wrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "must be an object"},
      {"{", "the configuration is"},
      {R"({"provider": []})", "provider: unknown key; did you mean \"providers\"?"},
      {R"({"providers": "openai"})", "providers: must be a list"},
      {R"({"providers": [{"name": "openai"}, {"name": "openai"}]})",
       "providers[1].name: \"openai\" stands there twice"},
      {R"({"providers": [{"name": "openai", "privacy": "whisper"}]})",
       "providers[0].privacy: \"whisper\" is not one of local, private, no_training or public"},
      {R"({"models": [{"name": "lonely"}]})", "models[0].name: \"lonely\""},
      {R"({"models": [{"name": "a/b"}, {"name": "a/b"}]})", "models[1].name: \"a/b\" stands there twice"},
      {R"({"catalog": [{"name": "a/b", "x": 1}]})", "catalog[0].x: unknown key"},
      {R"({"seed": -1})", "seed: must be a whole number"},
      {R"({"seed": "lucky"})", "seed: must be a whole number"},
  };
  for (const auto& [json, expected] : cases) {
    EXPECT_EQ(error_of(json).find(expected), 0u) << json << " gives " << error_of(json);
  }
}

TEST(Config, names_the_argument_of_a_wrong_provider) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "name: is missing"},
      {R"({"name": 42})", "name: must be a string"},
      {R"({"name": "a/b"})", "name: may hold letters"},
      {R"({"name": "nobody-knows"})", "protocol: \"nobody-knows\" is no built-in provider, so it needs protocol"},
      {R"({"name": "opnai"})", "did you mean \"openai\"?"},
      {R"({"name": "x", "protocol": "openai-chat"})", "base_url: \"x\" is no built-in provider, so it needs base_url"},
      {R"({"name": "x", "protocol": "smoke-signals"})", "protocol: \"smoke-signals\" is not one of openai-chat"},
      {R"({"name": "openai", "base_url": "not a url"})", "base_url: is no address"},
      {R"({"name": "openai", "base_url": "ftp://127.0.0.1/"})", "base_url: must begin with http:// or https://"},
      {R"({"name": "openai", "base_url": "http://"})", "base_url: has no valid host"},
      {R"({"name": "openai", "base_url": "http://h:99999"})", "base_url: has no valid host or port"},
      {R"({"name": "openai", "base_url": "http://h:"})", "base_url: has no valid host or port"},
      {R"({"name": "openai", "base_url": "http://[::1/v1"})", "base_url: has no valid host"},
      {R"({"name": "openai", "base_url": "http://h/v1?key=1"})", "base_url: must end with the path"},
      {R"({"name": "openai", "base_url": "http://h/v 1"})", "base_url: has a path with spaces"},
      {R"({"name": "openai", "base_url": "http://h\r\nx/v1"})", "base_url: has no valid host"},
      {R"({"name": "openai", "headers": ["x"]})", "headers: must be a table"},
      {R"({"name": "openai", "headers": {"x a": "b"}})", "headers: holds a name"},
      {R"({"name": "openai", "headers": {"x-a": 7}})", "headers.x-a: must be a string"},
      {R"({"name": "openai", "headers": {"x-a": "b\r\nx-evil: 1"}})", "headers.x-a: holds a line break"},
      {R"({"name": "openai", "headers": {"x-a": "b", "X-A": "c"}})", "headers.X-A: stands there twice"},
      {R"({"name": "openai", "headers": {"Content-Length": "1"}})", "headers.Content-Length: belongs to the transport"},
      {R"({"name": "openai", "api_key": "sk-x"})", "api_key: must be the number of a secret"},
      {R"({"name": "openai", "api_key": {"secret": -1}})", "api_key: must be the number of a secret"},
      {R"({"name": "openai", "proxy": "nowhere"})", "proxy: is no address"},
      {R"({"name": "openai", "insecure": "yes"})", "insecure: must be true or false"},
      {R"({"name": "openai", "transport": "pigeon"})", "transport: \"pigeon\" is not one of auto, own or curl"},
      {R"({"name": "openai", "options": {"colour": "red"}})",
       "colour: provider \"openai\" has no such option; known are name"},
      {R"({"name": "openai", "options": {"privcy": "local"}})",
       "privcy: provider \"openai\" has no such option; did you mean \"privacy\"?"},
      {R"({"name": "openai", "region": 42})", "region: must be a string"},
  };
  for (const auto& [json, expected] : cases) {
    EXPECT_NE(provider_error(json).find(expected), std::string::npos) << json << " gives " << provider_error(json);
  }
}

TEST(Config, quotes_no_password_of_an_address) {
  for (const char* json :
       {R"({"name": "openai", "base_url": "https://me:sk-canary@h/v1"})",
        R"({"name": "openai", "base_url": "me:sk-canary@h"})", R"({"name": "openai", "proxy": "ftp://me:sk-canary@h"})",
        R"({"name": "openai", "api_key": "sk-canary"})", R"({"name": "openai", "headers": {"x-a": "sk-canary\n"}})"}) {
    ASSERT_FALSE(provider_error(json).empty()) << json;
    EXPECT_EQ(provider_error(json).find("canary"), std::string::npos) << provider_error(json);
  }
}

TEST(Config, asks_azure_for_its_address_and_takes_its_options) {
  EXPECT_EQ(provider_error(R"({"name": "azure"})").find("base_url: provider \"azure\" has no address of its own"), 0u);
  const auto azure = provider(R"({"name": "azure", "base_url": "https://example.openai.azure.com",
                                  "options": {"api_version": "2024-10-21"}})");
  ASSERT_EQ(azure->options.size(), 1u);
  EXPECT_EQ(azure->options[0].second, "2024-10-21");
}

TEST(Config, checks_one_model_by_itself) {
  EXPECT_TRUE(validate_model(R"({"name": "a/b", "input_price": "1"})"));
  EXPECT_EQ(validate_model(R"({"name": "lonely"})").error().message.find("name: "), 0u);
  EXPECT_FALSE(validate_model("no json"));
}

TEST(Config, puts_own_models_on_top_of_those_shipped) {
  const auto config = parse_config(R"({"models": [{"name": "a/m", "context_window": 2}],
                                       "catalog": [{"name": "a/m", "context_window": 1}, {"name": "a/n"}]})");
  ASSERT_TRUE(config);
  EXPECT_EQ((*config)->catalog->find("a/m")->context_window, 2);
  EXPECT_EQ((*config)->catalog->models().size(), 2u);
}

}  // namespace
}  // namespace orchestra::engine
