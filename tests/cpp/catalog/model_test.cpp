#include "catalog/model.hpp"

#include <gtest/gtest.h>

#include <string>

#include "json/value.hpp"

namespace orchestra::catalog {
namespace {

Result<std::shared_ptr<const Model>> read(std::string json, std::string_view path = "") {
  json::Document document;
  EXPECT_FALSE(document.parse(std::move(json)).has_value());
  return read_model(document.root(), path);
}

std::string error_of(std::string json, std::string_view path = "") {
  const auto model = read(std::move(json), path);
  if (model) return "";
  EXPECT_EQ(model.error().kind, chat::ErrorKind::Config);
  return model.error().message;
}

TEST(Model, keeps_everything_that_is_said_of_it) {
  const auto model =
      read(R"({"name": "acme/m/1", "aliases": ["acme/m-latest"], "capabilities": {"tools": true, "seed": false},
      "modalities": ["image", "text", "image"], "context_window": 32768, "max_output": 4096, "input_price": "2.5",
      "output_price": 10, "cached_input_price": "0.25", "cache_write_price": "3.125", "cache_write_1h_price": "5",
      "reasoning_price": "7", "audio_input_price": "8", "audio_output_price": "9", "quality": 0.8, "latency": 0.4,
      "tokenizer": "o200k_base", "privacy": "no_training", "region": "eu"})");
  ASSERT_TRUE(model) << model.error().message;
  const Model& m = **model;
  EXPECT_EQ(m.provider(), "acme");
  EXPECT_EQ(m.wire_name(), "m/1");
  EXPECT_EQ(m.aliases, std::vector<std::string>{"acme/m-latest"});
  EXPECT_EQ(m.has(Capability::Tools), Known::Yes);
  EXPECT_EQ(m.has(Capability::Seed), Known::No);
  EXPECT_EQ(m.has(Capability::Vision), Known::Unknown);
  EXPECT_EQ(*m.modalities, (std::vector<Modality>{Modality::Text, Modality::Image}));
  EXPECT_EQ(m.context_window, 32768);
  EXPECT_EQ(m.max_output, 4096);
  ASSERT_NE(m.price(), nullptr);
  EXPECT_EQ(m.price()->rates.input, 2'500'000'000);
  EXPECT_EQ(m.price()->rates.output, 10'000'000'000);
  EXPECT_EQ(m.price()->rates.cached_input, 250'000'000);
  EXPECT_EQ(m.price()->rates.cache_write, 3'125'000'000);
  EXPECT_EQ(m.price()->rates.cache_write_1h, 5'000'000'000);
  EXPECT_EQ(m.price()->rates.reasoning, 7'000'000'000);
  EXPECT_EQ(m.price()->rates.audio_input, 8'000'000'000);
  EXPECT_EQ(m.price()->rates.audio_output, 9'000'000'000);
  EXPECT_EQ(m.quality, 0.8);
  EXPECT_EQ(m.latency, 0.4);
  EXPECT_EQ(m.tokenizer, "o200k_base");
  EXPECT_EQ(m.privacy, Privacy::NoTraining);
  EXPECT_EQ(m.region, "eu");
}

TEST(Model, keeps_what_is_not_said_unknown) {
  const auto model = read(R"({"name": "a/b", "capabilities": null, "input_price": null})");
  ASSERT_TRUE(model);
  const Model& m = **model;
  for (const Known known : m.capabilities) EXPECT_EQ(known, Known::Unknown);
  EXPECT_EQ(m.price(), nullptr);
  EXPECT_FALSE(m.modalities || m.context_window || m.max_output || m.quality || m.latency || m.privacy || m.region);
}

TEST(Model, takes_a_price_of_zero_as_a_price) {
  const auto model = read(R"({"name": "a/b", "input_price": 0, "output_price": "0"})");
  ASSERT_TRUE(model);
  ASSERT_NE((*model)->price(), nullptr);
  EXPECT_EQ((*model)->price()->rates.input, 0);
}

TEST(Model, reads_a_sheet_with_its_source_and_date) {
  const auto model = read(R"({"name": "a/b", "capabilities": ["tools"], "prices":
      [{"input": "1", "output": "2", "source": "a list", "checked_on": "2026-11-25"}]})");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->price()->rates.output, 2'000'000'000);
  EXPECT_EQ((*model)->price()->source, "a list");
  EXPECT_EQ((*model)->price()->checked_on, "2026-11-25");
}

TEST(Model, names_the_path_of_what_is_wrong) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "must be an object"},
      {R"({})", "name: is missing"},
      {R"({"name": "lonely"})", "name: \"lonely\" is not of the form provider/model"},
      {R"({"name": "/m"})", "name: \"/m\""},
      {R"({"name": "p/"})", "name: \"p/\""},
      {R"({"name": 7})", "name: must be a string"},
      {R"({"name": "a/b", "aliases": "c/d"})", "aliases: must be a list"},
      {R"({"name": "a/b", "aliases": ["c/d", "e"]})", "aliases[1]: \"e\""},
      {R"({"name": "a/b", "capabilities": 7})", "capabilities: must be a set"},
      {R"({"name": "a/b", "capabilities": ["tool"]})", "did you mean \"tools\"?"},
      {R"({"name": "a/b", "capabilities": {"tools": 1}})", "capabilities.tools: must be true or false"},
      {R"({"name": "a/b", "modalities": ["smell"]})", "modalities: \"smell\" is not one of text, image, audio or file"},
      {R"({"name": "a/b", "context_window": "big"})", "context_window: must be a whole number"},
      {R"({"name": "a/b", "context_window": 0})", "context_window: must be at least 1"},
      {R"({"name": "a/b", "context_window": true})", "context_window: must be a whole number"},
      {R"({"name": "a/b", "input_price": "-1"})", "input_price: \"-1\" is negative"},
      {R"({"name": "a/b", "input_price": true})", "input_price: must be a decimal number"},
      {R"({"name": "a/b", "inputprice": 1})", "inputprice: unknown key; did you mean \"input_price\"?"},
      {R"({"name": "a/b", "zzzzzzzzzzzz": 1})", "zzzzzzzzzzzz: unknown key; known are name"},
      {R"({"name": "a/b", "prices": [{"input": "1"}, {"input": "2"}]})", "prices: holds more than one sheet"},
      {R"({"name": "a/b", "prices": [{"inputs": "1"}]})", "prices[0].inputs: unknown key; did you mean \"input\"?"},
      {R"({"name": "a/b", "prices": [{"checked_on": "soon"}]})", "prices[0].checked_on: is not a date"},
      {R"({"name": "a/b", "prices": [], "output_price": 1})", "prices: stands beside a plain price"},
      {R"({"name": "a/b", "quality": 2})", "quality: must be between 0 and 1"},
      {R"({"name": "a/b", "latency": -1})", "latency: must not be negative"},
      {R"({"name": "a/b", "tokenizer": "gpt2"})", "tokenizer: \"gpt2\" is not one of"},
      {R"({"name": "a/b", "privacy": "whisper"})",
       "privacy: \"whisper\" is not one of local, private, no_training or public"},
      {R"({"name": "a/b", "region": ""})", "region: is empty"},
      {R"({"name": "a/b", "name": "a/c"})", "name: stands there twice"},
  };
  for (const auto& [json, expected] : cases) {
    EXPECT_NE(error_of(json).find(expected), std::string::npos) << json << " gives " << error_of(json);
  }
  EXPECT_EQ(error_of(R"({"name": "a/b", "max_output": 1.5})", "models[2]"),
            "models[2].max_output: must be a whole number");
  EXPECT_EQ(error_of(R"({"name": "a/b", "prices": [{"input": "x"}]})", "models[2]").find("models[2].prices[0].input: "),
            0u);
  EXPECT_EQ(error_of(R"({"name": "a/b", "aliases": ["x"]})", "models[2]").find("models[2].aliases[0]: "), 0u);
}

}  // namespace
}  // namespace orchestra::catalog
