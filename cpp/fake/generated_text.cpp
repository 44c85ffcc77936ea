#include "fake/generated_text.hpp"

#include <array>

#include "runtime/random.hpp"

namespace orchestra::fake {
namespace {

constexpr auto kWords = std::to_array<std::string_view>({
    "the",     "a",       "this",   "each",    "one",      "answer", "question", "river",  "city",    "window",
    "letter",  "engine",  "garden", "number",  "morning",  "signal", "result",   "market", "story",   "bridge",
    "harbour", "teacher", "forest", "machine", "evidence", "winter", "pattern",  "method", "season",  "journey",
    "is",      "was",     "shows",  "gives",   "keeps",    "needs",  "follows",  "brings", "holds",   "changes",
    "means",   "makes",   "takes",  "finds",   "opens",    "of",     "in",       "with",   "from",    "for",
    "over",    "under",   "near",   "between", "after",    "before", "and",      "but",    "because", "while",
    "small",   "clear",   "early",  "quiet",   "simple",   "bright", "useful",   "common", "careful", "open",
    "often",   "slowly",  "always", "almost",  "together", "again",  "usually",  "well",   "soon",    "here",
});

bool is_text_key(json::Value key) {
  for (const std::string_view name : {"content", "text", "system", "input", "instructions", "prompt"}) {
    if (key.is(name)) return true;
  }
  return false;
}

}  // namespace

std::string generate_text(std::uint64_t seed) {
  runtime::Random random(seed);
  std::string text;
  std::uint64_t left = 20 + random.below(41);
  text.reserve(left * 7);
  while (left > 0) {
    std::uint64_t words = 6 + random.below(7);
    if (left < words + 6) words = left;  // no sentence of a word or two at the end
    left -= words;
    for (std::uint64_t i = 0; i < words; ++i) {
      if (!text.empty()) text += ' ';
      const std::size_t begin = text.size();
      text += kWords[random.below(kWords.size())];
      if (i == 0) text[begin] = static_cast<char>(text[begin] - 'a' + 'A');
    }
    text += '.';
  }
  return text;
}

std::uint64_t text_seed(std::uint64_t seed, json::Value body) {
  std::string_view conversation = body.raw();
  for (const std::string_view name : {"messages", "input", "contents"}) {
    if (body[name]) conversation = body[name].raw();
  }
  // FNV-1a, 64 bits.
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char byte : conversation) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  return hash ^ (seed * 0x9e3779b97f4a7c15u);
}

std::size_t text_bytes(json::Value body) {
  std::size_t bytes = 0;
  for (const json::Value element : body.elements()) bytes += text_bytes(element);
  for (const auto [key, member] : body.members()) {
    if (!member.is_string()) {
      bytes += text_bytes(member);
    } else if (is_text_key(key)) {
      bytes += member.raw().size() - 2;
    }
  }
  return bytes;
}

}  // namespace orchestra::fake
