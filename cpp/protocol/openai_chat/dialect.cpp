#include <array>

#include "protocol/openai_chat/openai_chat.hpp"

namespace orchestra::protocol::openai_chat {

namespace {

// From the providers' API references: OpenAI calls max_tokens deprecated and its reasoning models refuse it; OpenRouter
// takes reasoning.max_tokens; the servers with top_k say so in their references.
constexpr std::array kDialects = {
    Dialect{.name = "openai", .max_tokens = "max_completion_tokens"},
    Dialect{.name = "azure", .max_tokens = "max_completion_tokens"},
    Dialect{.name = "openrouter", .top_k = true, .reasoning_budget = true},
    Dialect{.name = "together", .top_k = true},
    Dialect{.name = "fireworks", .top_k = true},
    Dialect{.name = "perplexity", .top_k = true},
    Dialect{.name = "qwen", .top_k = true},
    Dialect{.name = "dashscope", .top_k = true},
    Dialect{.name = "vllm", .top_k = true},
    Dialect{.name = "tgi", .top_k = true},
    Dialect{.name = "text-generation-webui", .top_k = true},
    Dialect{.name = "llamacpp", .top_k = true},
    Dialect{.name = "lmstudio", .top_k = true},
};
constexpr Dialect kPlain{};

}  // namespace

const Dialect& dialect(std::string_view provider) {
  for (const Dialect& row : kDialects) {
    if (row.name == provider) return row;
  }
  return kPlain;
}

}  // namespace orchestra::protocol::openai_chat
