// ToyFormat: a format whose bytes can be read at a glance, for tests of what is around a format.
//   reply "text", stream <role>[t][e][x][t]<end>, error {404 message}
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "protocol/format.hpp"

namespace orchestra::fake {

class ToyFormat final : public protocol::Format {
 public:
  std::string_view name() const override { return "toy"; }

  Result<protocol::EncodedRequest> encode(const chat::Request&, const protocol::EncodeOptions&) const override {
    return protocol::EncodedRequest{};
  }
  protocol::Headers credentials(std::string_view) const override { return {}; }
  Result<chat::Summary> summarize(json::Value, const protocol::DecodeOptions&) const override {
    return chat::Summary{};
  }
  std::vector<chat::Choice> choices(json::Value, const protocol::DecodeOptions&) const override { return {}; }
  std::unique_ptr<protocol::StreamDecoder> stream_decoder(const protocol::DecodeOptions&) const override {
    return nullptr;
  }
  chat::Error error(int, const protocol::Headers&, std::string_view) const override { return {}; }

  bool serves(std::string_view path) const override { return path == "/v1/toy"; }
  Result<protocol::ServerRequest> read_request(json::Value) const override { return protocol::ServerRequest{}; }
  std::string encode_reply(const protocol::ServerReply& reply) const override { return "\"" + reply.text + "\""; }
  std::vector<ServerEvent> encode_stream(const protocol::ServerReply& reply, const protocol::ServerRequest&,
                                         std::size_t) const override {
    std::vector<ServerEvent> events{{"<role>", false}};
    for (const char letter : reply.text) events.push_back({"[" + std::string(1, letter) + "]", true});
    events.push_back({"<end>", false});
    return events;
  }
  std::string encode_error(int status, std::string_view message) const override {
    return "{" + std::to_string(status) + " " + std::string(message) + "}";
  }
};

}  // namespace orchestra::fake
