// Which formats there are, and which providers are known by name.
#include <array>

#include "protocol/anthropic_messages/anthropic_messages.hpp"
#include "protocol/format.hpp"
#include "protocol/openai_chat/openai_chat.hpp"

namespace orchestra::protocol {

namespace {

const std::array<const Format*, 2>& formats() {
  static const std::array<const Format*, 2> all = {&anthropic_messages::format(), &openai_chat::format()};
  return all;
}

// Addresses are those of the providers' own API references (2026); local servers listen where they do by default. Some
// protocols have no Format yet.
constexpr std::array kBuiltins = {
    BuiltinProvider{"anthropic", "anthropic-messages", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "/v1"},
    BuiltinProvider{"azure", "openai-chat", "", "AZURE_API_KEY", ""},
    BuiltinProvider{"bedrock", "bedrock-converse", "", "BEDROCK_API_KEY", ""},
    BuiltinProvider{"cohere", "cohere-v2", "https://api.cohere.com/v2", "COHERE_API_KEY", ""},
    BuiltinProvider{"dashscope", "openai-chat", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
                    "DASHSCOPE_API_KEY", ""},
    BuiltinProvider{"deepseek", "openai-chat", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", ""},
    BuiltinProvider{"fireworks", "openai-chat", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", ""},
    BuiltinProvider{"gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY",
                    "/v1beta"},
    BuiltinProvider{"groq", "openai-chat", "https://api.groq.com/openai/v1", "GROQ_API_KEY", ""},
    BuiltinProvider{"llamacpp", "openai-chat", "http://127.0.0.1:8080/v1", "LLAMACPP_API_KEY", ""},
    BuiltinProvider{"lmstudio", "openai-chat", "http://127.0.0.1:1234/v1", "LMSTUDIO_API_KEY", ""},
    BuiltinProvider{"mistral", "mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", ""},
    BuiltinProvider{"moonshot", "openai-chat", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", ""},
    BuiltinProvider{"ollama", "ollama", "http://127.0.0.1:11434/api", "OLLAMA_API_KEY", "/api"},
    BuiltinProvider{"openai", "openai-chat", "https://api.openai.com/v1", "OPENAI_API_KEY", ""},
    BuiltinProvider{"openrouter", "openai-chat", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", ""},
    BuiltinProvider{"perplexity", "openai-chat", "https://api.perplexity.ai", "PERPLEXITY_API_KEY", ""},
    BuiltinProvider{"qwen", "openai-chat", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
                    "DASHSCOPE_API_KEY", ""},
    BuiltinProvider{"text-generation-webui", "openai-chat", "http://127.0.0.1:5000/v1", "TGI_API_KEY", ""},
    BuiltinProvider{"tgi", "openai-chat", "http://127.0.0.1:8080/v1", "TGI_API_KEY", ""},
    BuiltinProvider{"together", "openai-chat", "https://api.together.xyz/v1", "TOGETHER_API_KEY", ""},
    BuiltinProvider{"vertex", "gemini", "", "VERTEX_API_KEY", ""},
    BuiltinProvider{"vllm", "openai-chat", "http://127.0.0.1:8000/v1", "VLLM_API_KEY", ""},
    BuiltinProvider{"xai", "openai-chat", "https://api.x.ai/v1", "XAI_API_KEY", ""},
    BuiltinProvider{"zai", "openai-chat", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", ""},
};

}  // namespace

const Format* find_format(std::string_view name) {
  for (const Format* format : formats()) {
    if (format->name() == name) return format;
  }
  return nullptr;
}

std::vector<std::string_view> format_names() {
  std::vector<std::string_view> names;
  for (const Format* format : formats()) names.push_back(format->name());
  return names;
}

const BuiltinProvider* find_builtin(std::string_view name) {
  for (const BuiltinProvider& row : kBuiltins) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::vector<const BuiltinProvider*> builtin_providers() {
  std::vector<const BuiltinProvider*> all;
  for (const BuiltinProvider& row : kBuiltins) all.push_back(&row);
  return all;
}

}  // namespace orchestra::protocol
