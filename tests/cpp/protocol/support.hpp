// What the tests of the formats share: whole replies and streams out of inline text, requests out of inline JSON.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/request.hpp"
#include "protocol/format.hpp"

namespace orchestra::protocol::testing {

// A decoded body: the document stays alive with what was read of it.
struct Decoded {
  Result<chat::Summary> summary = chat::make_error(chat::ErrorKind::Protocol, "not decoded");
  std::vector<chat::Choice> choices;
};

inline Decoded decode(const Format& format, std::string body, const DecodeOptions& options = {}) {
  json::Document document;
  const auto problem = document.parse(std::move(body));
  EXPECT_FALSE(problem.has_value()) << problem->message;
  Decoded out;
  out.summary = format.summarize(document.root(), options);
  if (out.summary) out.choices = format.choices(document.root(), options);
  return out;
}

struct Streamed {
  Status status = Done{};
  std::vector<chat::Delta> deltas;
  std::string plain_body;
  bool done = false, finished = false, content = false;

  [[nodiscard]] std::string text() const {
    std::string out;
    for (const auto& delta : deltas) out += delta.text;
    return out;
  }
  [[nodiscard]] std::string reasoning() const {
    std::string out;
    for (const auto& delta : deltas) out += delta.reasoning;
    return out;
  }
  [[nodiscard]] std::vector<std::string> arguments() const {
    std::vector<std::string> out;
    for (const auto& delta : deltas) {
      if (!delta.tool_call) continue;
      const auto index = static_cast<std::size_t>(delta.tool_call->index);
      if (out.size() <= index) out.resize(index + 1);
      out[index] += delta.tool_call->arguments;
    }
    return out;
  }
};

// Feeds the bytes in pieces of `size` (0: all at once).
inline Streamed stream(const Format& format, std::string_view bytes, std::size_t size = 0,
                       const DecodeOptions& options = {}) {
  Streamed out;
  const auto decoder = format.stream_decoder(options);
  const std::size_t step = size == 0 ? std::max<std::size_t>(bytes.size(), 1) : size;
  for (std::size_t at = 0; at < bytes.size() && out.status; at += step) {
    const std::string piece(bytes.substr(at, step));  // a copy, so that nothing can be read later
    out.status = decoder->feed(piece, out.deltas);
  }
  if (out.status) out.status = decoder->end(out.deltas);
  out.plain_body = decoder->plain_body();
  out.done = decoder->is_done();
  out.finished = decoder->is_finished();
  out.content = decoder->has_content();
  return out;
}

inline std::string events(const std::vector<std::string>& data) {
  std::string out;
  for (const std::string& json : data) out.append("data: ").append(json).append("\n\n");
  return out;
}

inline Result<EncodedRequest> encode(const Format& format, std::string keywords, EncodeOptions options = {}) {
  auto request = chat::Request::parse(std::move(keywords));
  EXPECT_TRUE(request.has_value()) << request.error().message;
  if (!request) return request.error();
  if (options.model.empty()) options.model = "m";
  return format.encode(**request, options);
}

// The body of a request that must be encodable.
inline std::string body_of(const Format& format, std::string keywords, const EncodeOptions& options = {}) {
  auto request = encode(format, std::move(keywords), options);
  EXPECT_TRUE(request.has_value()) << request.error().message;
  return request ? request->body : std::string();
}

}  // namespace orchestra::protocol::testing
