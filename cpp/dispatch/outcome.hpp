// Outcome: how a call ended, with every attempt. Plain data; handed from the loop's thread to the caller's once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/error.hpp"
#include "chat/reply.hpp"
#include "json/value.hpp"
#include "protocol/format.hpp"
#include "runtime/header_text.hpp"
#include "spend/cost.hpp"

namespace orchestra::dispatch {

struct Attempt {
  std::string model;
  std::optional<int> status;
  std::optional<chat::ErrorKind> error;
  std::string error_message;
  double started = 0;  // seconds since 1970, UTC
  double latency = 0;  // seconds
  std::optional<double> retry_after;
  std::optional<chat::Usage> usage;  // absent: no answer was read
  spend::Cost cost;
  std::vector<std::string> dropped;
  std::string transport;
};

// A plain body of a format, read on demand.
struct Partial {
  const protocol::Format* format = nullptr;
  protocol::DecodeOptions options;
  std::string body;
  std::string model;
  std::string provider;
};

struct Outcome {
  std::optional<chat::Error> error;
  std::string model;  // of the last attempt
  std::string provider;
  const protocol::Format* format = nullptr;
  protocol::DecodeOptions decode;
  // The reply; of a failed stream what came of it. nullptr: nothing came.
  std::unique_ptr<json::Document> body;
  chat::Summary summary;
  int status = 0;
  runtime::HeaderText headers;
  std::vector<Attempt> attempts;
  spend::Cost cost;
  double started = 0;  // seconds since 1970, UTC
  double latency = 0;  // seconds since the call began
  std::optional<double> time_to_first_token;
};

// Reads a plain body into outcome.body and outcome.summary. An error has an excerpt of the body.
std::optional<chat::Error> read_body(Outcome& outcome, const protocol::Format& format,
                                     const protocol::DecodeOptions& options, std::string body);

// The error of an answer whose status is not 2xx, with the wait that the provider asks for.
chat::Error status_error(const protocol::Format& format, int status, const protocol::Headers& headers,
                         std::string_view body, double unix_now);

}  // namespace orchestra::dispatch
