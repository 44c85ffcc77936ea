#include "dispatch/outcome.hpp"

#include <utility>

namespace orchestra::dispatch {

std::optional<chat::Error> read_body(Outcome& outcome, const protocol::Format& format,
                                     const protocol::DecodeOptions& options, std::string body) {
  auto document = std::make_unique<json::Document>();
  std::optional<chat::Error> error;
  if (const auto problem = document->parse(std::move(body), options.limits.json_depth)) {
    error = chat::make_error(chat::ErrorKind::Protocol, "the answer cannot be read: " + problem->message + " (byte " +
                                                            std::to_string(problem->offset) + ")");
  } else if (auto summary = format.summarize(document->root(), options)) {
    outcome.summary = *std::move(summary);
  } else {
    error = std::move(summary).error();
  }
  if (error) {
    if (!error->has_body) {
      error->body = document->text().substr(0, chat::kBodyExcerpt);
      error->has_body = true;
    }
    return error;
  }
  outcome.body = std::move(document);
  return std::nullopt;
}

chat::Error status_error(const protocol::Format& format, int status, const protocol::Headers& headers,
                         std::string_view body, double unix_now) {
  chat::Error error = format.error(status, headers, body);
  error.status = status;
  if (!error.retry_after) error.retry_after = protocol::retry_hint(status, headers, unix_now);
  return error;
}

}  // namespace orchestra::dispatch
