#include "protocol/anthropic_messages/anthropic_messages.hpp"
#include "protocol/paths.hpp"

namespace orchestra::protocol::anthropic_messages {

namespace {

class AnthropicMessages final : public Format {
 public:
  [[nodiscard]] std::string_view name() const override { return kName; }

  [[nodiscard]] Result<EncodedRequest> encode(const chat::Request& request,
                                              const EncodeOptions& options) const override {
    return anthropic_messages::encode(request, options);
  }
  [[nodiscard]] Headers credentials(std::string_view key) const override {
    if (key.empty()) return {};
    return {{"x-api-key", std::string(key)}};
  }
  [[nodiscard]] Result<chat::Summary> summarize(json::Value body, const DecodeOptions& options) const override {
    return anthropic_messages::summarize(body, options);
  }
  [[nodiscard]] std::vector<chat::Choice> choices(json::Value body, const DecodeOptions& options) const override {
    return anthropic_messages::choices(body, options);
  }
  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const DecodeOptions& options) const override {
    return anthropic_messages::stream_decoder(options);
  }
  [[nodiscard]] chat::Error error(int status, const Headers&, std::string_view body) const override {
    return error_of_answer(status, body, kErrorPaths);
  }

  [[nodiscard]] bool serves(std::string_view path) const override { return path_ends(path, "/messages"); }
  [[nodiscard]] Result<ServerRequest> read_request(json::Value body) const override {
    return anthropic_messages::read_request(body);
  }
  [[nodiscard]] std::string encode_reply(const ServerReply& reply) const override {
    return anthropic_messages::encode_reply(reply);
  }
  [[nodiscard]] std::vector<ServerEvent> encode_stream(const ServerReply& reply, const ServerRequest& request,
                                                       std::size_t pieces) const override {
    return anthropic_messages::encode_stream(reply, request, pieces);
  }
  [[nodiscard]] std::string encode_error(int status, std::string_view message) const override {
    return anthropic_messages::encode_error(status, message);
  }
};

}  // namespace

const Format& format() {
  static const AnthropicMessages instance;
  return instance;
}

}  // namespace orchestra::protocol::anthropic_messages
