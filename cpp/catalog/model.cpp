#include "catalog/model.hpp"

#include <algorithm>
#include <limits>
#include <span>

#include "catalog/fields.hpp"

namespace orchestra::catalog {

namespace {

const std::vector<std::string_view> kCapabilityNames = {
    "tools",         "parallel_tools", "json_schema", "json_mode", "vision",       "reasoning", "streaming",
    "system_prompt", "prefill",        "seed",        "logprobs",  "prompt_cache", "batch"};
const std::vector<std::string_view> kModalityNames = {"text", "image", "audio", "file"};
const std::vector<std::string_view> kPrivacyNames = {"local", "private", "no_training", "public"};
const std::vector<std::string_view> kTokenizerNames = {"o200k_base", "cl100k_base"};

// "input_price" for "input".
std::string price_argument(std::string_view rate) { return std::string(rate) + "_price"; }

const std::vector<std::string_view>& model_keys() {
  static const std::vector<std::string> price_names = [] {
    std::vector<std::string> names;
    for (const RateName& rate : kRateNames) names.push_back(price_argument(rate.name));
    return names;
  }();
  static const std::vector<std::string_view> keys = [] {
    std::vector<std::string_view> names = {"name",           "aliases",    "capabilities", "modalities",
                                           "context_window", "max_output", "prices",       "quality",
                                           "latency",        "tokenizer",  "privacy",      "region"};
    names.insert(names.end(), price_names.begin(), price_names.end());
    return names;
  }();
  return keys;
}

std::string unknown_word(std::string_view word, const std::vector<std::string_view>& words) {
  std::string text = "\"" + std::string(word.substr(0, 100)) + "\" is not one of " + listing(words);
  const std::string_view guess = nearest(word, words);
  if (!guess.empty()) text.append("; did you mean \"").append(guess).append("\"?");
  return text;
}

std::optional<std::size_t> place_of(std::string_view word, const std::vector<std::string_view>& words) {
  const auto found = std::ranges::find(words, word);
  if (found == words.end()) return std::nullopt;
  return static_cast<std::size_t>(found - words.begin());
}

bool is_whole_name(std::string_view name) { return !split_name(name).model.empty(); }

void read_capabilities(Fields& fields, Model& model) {
  const json::Value value = fields.get("capabilities");
  if (!value.exists()) return;
  const auto set = [&](std::string_view name, Known known) {
    const auto place = place_of(name, kCapabilityNames);
    if (!place) fields.fail("capabilities", unknown_word(name, kCapabilityNames));
    if (place) model.capabilities[*place] = known;
  };
  if (value.is_object()) {
    for (const auto [key, flag] : value.members()) {
      const std::optional<bool> yes = flag.boolean();
      if (!yes) fields.fail(child_path("capabilities", key.string_or().substr(0, 100)), "must be true or false");
      set(key.string_or(), yes.value_or(false) ? Known::Yes : Known::No);
    }
  } else if (value.is_array()) {
    for (const std::string& name : fields.texts("capabilities").value_or(std::vector<std::string>{}))
      set(name, Known::Yes);
  } else {
    fields.fail("capabilities", "must be a set of names or a table of name and bool");
  }
}

void read_modalities(Fields& fields, Model& model) {
  const auto names = fields.texts("modalities");
  if (!names) return;
  std::vector<Modality> modalities;
  for (const std::string& name : *names) {
    const auto place = place_of(name, kModalityNames);
    if (!place) {
      fields.fail("modalities", unknown_word(name, kModalityNames));
      return;
    }
    const auto modality = static_cast<Modality>(*place);
    if (std::ranges::find(modalities, modality) == modalities.end()) modalities.push_back(modality);
  }
  std::ranges::sort(modalities);
  model.modalities = std::move(modalities);
}

std::optional<NanoUsdPerMillion> read_rate(Fields& fields, std::string_view key) {
  const json::Value value = fields.get(key);
  if (!value.exists()) return std::nullopt;
  if (!value.is_string() && !value.is_number()) {
    fields.fail(key, "must be a decimal number, in USD per million tokens");
    return std::nullopt;
  }
  const std::string text = value.is_string() ? value.string_or() : std::string(value.raw());
  const Result<NanoUsdPerMillion> price = read_price(text);
  if (price) return *price;
  fields.fail(key, "\"" + text.substr(0, 40) + "\" " + price.error().message);
  return std::nullopt;
}

bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  for (const std::size_t i : {0u, 1u, 2u, 3u, 5u, 6u, 8u, 9u}) {
    if (text[i] < '0' || text[i] > '9') return false;
  }
  const std::string_view month = text.substr(5, 2), day = text.substr(8, 2);
  return month >= "01" && month <= "12" && day >= "01" && day <= "31";
}

std::optional<chat::Error> read_sheet(json::Value value, const std::string& path, Price& price) {
  std::vector<std::string_view> keys = {"source", "checked_on"};
  for (const RateName& rate : kRateNames) keys.push_back(rate.name);
  Fields fields(value, path, keys);
  for (const RateName& rate : kRateNames) price.rates.*rate.member = read_rate(fields, rate.name);
  price.source = fields.text("source").value_or("");
  price.checked_on = fields.text("checked_on").value_or("");
  if (!price.checked_on.empty() && !is_date(price.checked_on)) fields.fail("checked_on", "is not a date (YYYY-MM-DD)");
  return fields.error();
}

void read_prices(Fields& fields, Model& model) {
  Price flat;
  for (const RateName& rate : kRateNames) flat.rates.*rate.member = read_rate(fields, price_argument(rate.name));
  if (!flat.rates.empty()) model.prices.push_back(flat);
  const json::Value sheets = fields.get("prices");
  if (!sheets.exists()) return;
  if (!sheets.is_array()) return fields.fail("prices", "must be a list of sheets");
  if (!model.prices.empty())
    return fields.fail("prices", "stands beside a plain price such as input_price; give one of both");
  if (sheets.size() > 1) return fields.fail("prices", "holds more than one sheet");
  for (std::size_t i = 0; i < sheets.size(); ++i) {
    Price sheet;
    if (auto error = read_sheet(sheets[i], element_path(fields.path("prices"), i), sheet))
      fields.fail(std::move(*error));
    model.prices.push_back(std::move(sheet));
  }
}

void read_names(Fields& fields, Model& model) {
  const json::Value name = fields.get("name");
  if (!name.exists() && !fields.error()) fields.fail("name", "is missing");
  model.name = fields.text("name").value_or("");
  if (!fields.error() && !is_whole_name(model.name)) {
    fields.fail("name", "\"" + model.name.substr(0, 100) + "\" is not of the form provider/model");
  }
  model.aliases = fields.texts("aliases").value_or(std::vector<std::string>{});
  for (std::size_t i = 0; i < model.aliases.size(); ++i) {
    if (is_whole_name(model.aliases[i])) continue;
    fields.fail(element_path("aliases", i),
                "\"" + model.aliases[i].substr(0, 100) + "\" is not of the form provider/model");
  }
}

}  // namespace

std::string_view capability_name(Capability capability) {
  return kCapabilityNames[static_cast<std::size_t>(capability)];
}
std::string_view modality_name(Modality modality) { return kModalityNames[static_cast<std::size_t>(modality)]; }
std::string_view privacy_name(Privacy privacy) { return kPrivacyNames[static_cast<std::size_t>(privacy)]; }

const std::vector<std::string_view>& privacy_names() { return kPrivacyNames; }

SplitName split_name(std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == name.size()) return {};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

std::string_view Model::provider() const { return split_name(name).provider; }
std::string_view Model::wire_name() const { return split_name(name).model; }

Result<std::shared_ptr<const Model>> read_model(json::Value value, std::string_view path) {
  Fields fields(value, path, model_keys());
  auto model = std::make_shared<Model>();
  read_names(fields, *model);
  read_capabilities(fields, *model);
  read_modalities(fields, *model);
  model->context_window = fields.count("context_window");
  model->max_output = fields.count("max_output");
  read_prices(fields, *model);
  model->quality = fields.number("quality", 0, 1);
  model->latency = fields.number("latency", 0, std::numeric_limits<double>::infinity());
  if (const auto place = fields.word("tokenizer", kTokenizerNames)) model->tokenizer = kTokenizerNames[*place];
  if (const auto place = fields.word("privacy", kPrivacyNames)) model->privacy = static_cast<Privacy>(*place);
  model->region = fields.text("region");
  if (fields.error()) return *fields.error();
  return std::shared_ptr<const Model>(std::move(model));
}

}  // namespace orchestra::catalog
