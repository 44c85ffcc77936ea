// Texts that a FakeProviders makes up, the same on every platform for the same seed and request, and token counts that
// are plausible for them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "json/value.hpp"

namespace orchestra::fake {

// A few sentences, 20 to 60 words.
std::string generate_text(std::uint64_t seed);

// The seed of the answer to a request: the same conversation gets the same answer, streamed or not.
std::uint64_t text_seed(std::uint64_t seed, json::Value body);

// A quarter of the bytes, rounded up: 0 only of nothing.
inline std::int64_t estimate_tokens(std::size_t bytes) { return static_cast<std::int64_t>((bytes + 3) / 4); }

// Bytes of the texts in a request of any chat protocol: what stands under content, text, system and the like.
std::size_t text_bytes(json::Value body);

}  // namespace orchestra::fake
