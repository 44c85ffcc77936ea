#include "protocol/errors.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "protocol/utf8.hpp"

namespace orchestra::protocol {

namespace {

using chat::Error;
using chat::ErrorKind;

constexpr std::size_t kParsedBody = 1u << 20;  // a larger error body is a page, not an object
constexpr std::size_t kMessageExcerpt = 200;
constexpr int kProxyWantsCredentials = 407;  // which no provider says

struct ProviderWords {
  std::string message, code, type;
  std::optional<int> number;  // a code that is an HTTP status
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return out;
}

json::Value at(json::Value value, std::string_view path) {
  while (!path.empty() && value.exists()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    const std::string_view step = path.substr(0, dot);
    path.remove_prefix(std::min(dot + 1, path.size()));
    value = step == "0" ? value[std::size_t{0}] : value[step];
  }
  return value;
}

// The first string or whole number at these places; "" when there is none.
std::string first_of(json::Value body, std::span<const std::string_view> paths) {
  for (const std::string_view path : paths) {
    const json::Value value = at(body, path);
    if (auto text = value.string(); text && !text->empty()) return *std::move(text);
    if (value.is_number()) return std::string(value.raw());
  }
  return {};
}

std::optional<int> http_status(std::string_view code) {
  int status = 0;
  const auto [end, problem] = std::from_chars(code.data(), code.data() + code.size(), status);
  if (problem != std::errc{} || end != code.data() + code.size() || status < 300 || status > 599) return std::nullopt;
  return status;
}

ProviderWords read_words(json::Value body, const ErrorPaths& paths) {
  ProviderWords words;
  words.message = first_of(body, paths.message);
  words.code = first_of(body, paths.code);
  words.type = first_of(body, paths.type);
  words.number = http_status(words.code);
  return words;
}

struct Meaning {
  ErrorKind kind = ErrorKind::Server;
  bool retryable = false;
};

// A word that occurs in a code or type, in lower case; the first row that fits counts.
struct WordRow {
  std::string_view word;
  Meaning meaning;
};
constexpr std::array kWords = {
    WordRow{"context_length_exceeded", {ErrorKind::ContextTooLong}},
    WordRow{"exceed_context_size", {ErrorKind::ContextTooLong}},  // llama.cpp
    WordRow{"context_window", {ErrorKind::ContextTooLong}},
    WordRow{"too_many_tokens", {ErrorKind::ContextTooLong}},  // Cohere
    WordRow{"content_filter", {ErrorKind::ContentFiltered}},
    WordRow{"content_policy", {ErrorKind::ContentFiltered}},
    WordRow{"responsibleaipolicyviolation", {ErrorKind::ContentFiltered}},  // Azure
    WordRow{"insufficient_quota", {ErrorKind::RateLimited}},
    WordRow{"insufficient_balance", {ErrorKind::RateLimited}},
    WordRow{"payment_required", {ErrorKind::RateLimited}},
    WordRow{"billing", {ErrorKind::RateLimited}},
    WordRow{"overloaded", {ErrorKind::Overloaded, true}},
    WordRow{"unavailable", {ErrorKind::Overloaded, true}},
    WordRow{"rate_limit", {ErrorKind::RateLimited, true}},
    WordRow{"too_many_requests", {ErrorKind::RateLimited, true}},
    WordRow{"resource_exhausted", {ErrorKind::RateLimited, true}},
    WordRow{"throttl", {ErrorKind::RateLimited, true}},
    WordRow{"authentication", {ErrorKind::Authentication}},
    WordRow{"api_key", {ErrorKind::Authentication}},
    WordRow{"unauthorized", {ErrorKind::Authentication}},
    WordRow{"permission", {ErrorKind::PermissionDenied}},
    WordRow{"forbidden", {ErrorKind::PermissionDenied}},
    WordRow{"not_found", {ErrorKind::NotFound}},
    WordRow{"too_large", {ErrorKind::InvalidRequest}},
    WordRow{"invalid_request", {ErrorKind::InvalidRequest}},
    WordRow{"invalid_argument", {ErrorKind::InvalidRequest}},
    WordRow{"bad_request", {ErrorKind::InvalidRequest}},
};

// A phrase of a message, in lower case. Only where the code says nothing.
struct PhraseRow {
  std::string_view phrase;
  ErrorKind kind;
};
constexpr std::array kPhrases = {
    PhraseRow{"maximum context length", ErrorKind::ContextTooLong},
    PhraseRow{"prompt is too long", ErrorKind::ContextTooLong},
    PhraseRow{"exceed context limit", ErrorKind::ContextTooLong},
    PhraseRow{"context size", ErrorKind::ContextTooLong},
    PhraseRow{"context window", ErrorKind::ContextTooLong},
    PhraseRow{"context length", ErrorKind::ContextTooLong},
    PhraseRow{"too many tokens", ErrorKind::ContextTooLong},
    PhraseRow{"input is too long", ErrorKind::ContextTooLong},
    PhraseRow{"content management policy", ErrorKind::ContentFiltered},
    PhraseRow{"content filter", ErrorKind::ContentFiltered},
    PhraseRow{"content policy", ErrorKind::ContentFiltered},
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::optional<Meaning> meaning_of_words(const ProviderWords& words) {
  const std::string named = lower(words.code) + ' ' + lower(words.type);
  for (const WordRow& row : kWords) {
    if (contains(named, row.word)) return row.meaning;
  }
  return std::nullopt;
}

std::optional<Meaning> meaning_of_message(const ProviderWords& words) {
  const std::string message = lower(words.message);
  for (const PhraseRow& row : kPhrases) {
    if (contains(message, row.phrase)) return Meaning{row.kind};
  }
  return std::nullopt;
}

// 400, 422 and the 4xx that mean nothing of their own.
Meaning meaning_of_client_error(const ProviderWords& words) {
  for (const auto& found : {meaning_of_words(words), meaning_of_message(words)}) {
    if (found && (found->kind == ErrorKind::ContextTooLong || found->kind == ErrorKind::ContentFiltered)) return *found;
  }
  return {ErrorKind::InvalidRequest};
}

Meaning meaning_of_status(int status, const ProviderWords& words) {
  switch (status) {
    case kProxyWantsCredentials: return {ErrorKind::Connect};
    case 401: return {ErrorKind::Authentication};
    case 402: return {ErrorKind::RateLimited};
    case 403: return {ErrorKind::PermissionDenied};
    case 404: return {ErrorKind::NotFound};
    case 408:
    case 409:
    case 425: return {ErrorKind::Server, true};
    case 413: return {ErrorKind::InvalidRequest};
    case 429: {
      const auto named = meaning_of_words(words);
      return {ErrorKind::RateLimited, !(named && named->kind == ErrorKind::RateLimited && !named->retryable)};
    }
    case 503:
    case 529: return {ErrorKind::Overloaded, true};
    default: break;
  }
  if (status >= 400 && status < 500) return meaning_of_client_error(words);
  // llama.cpp answers mistakes of the client with 500 and 501.
  if (status >= 500) return {ErrorKind::Server, status != 501 && !contains(lower(words.type), "invalid_request")};
  return {ErrorKind::Protocol};
}

Meaning meaning_inside_200(const ProviderWords& words) {
  if (words.number) return meaning_of_status(*words.number, words);
  if (const auto found = meaning_of_words(words)) return *found;
  if (const auto found = meaning_of_message(words)) return *found;
  return {ErrorKind::Server, true};
}

std::string_view without_space(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

Error build(Meaning meaning, std::string message, std::string_view body) {
  Error error = chat::make_error(meaning.kind, std::move(message));
  error.retryable = meaning.retryable;
  error.body = excerpt(body);
  error.has_body = true;
  return error;
}

std::string valid_text(std::string_view bytes, std::size_t limit) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  while (!bytes.empty()) {
    const std::size_t length = sequence_length(bytes);
    const std::string_view piece = length == 0 ? kReplacement : bytes.substr(0, length);
    if (out.size() + piece.size() > limit) break;
    out += piece;
    bytes.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace

std::string excerpt(std::string_view bytes) { return valid_text(bytes, chat::kBodyExcerpt); }

Error error_of_answer(int status, std::string_view body, const ErrorPaths& paths) {
  ProviderWords words;
  json::Document document;
  const std::string_view content = without_space(body);
  if (body.size() <= kParsedBody && content.starts_with('{') && !document.parse_copy(body)) {
    words = read_words(document.root(), paths);
  }
  std::string message = words.message;
  if (status == kProxyWantsCredentials) {
    message = "the proxy asks for a user and a password: http://user:password@host:port";
  } else if (message.empty()) {
    message = "HTTP " + std::to_string(status);
    if (status >= 300 && status < 400) message += ", a redirect, which is never followed";
    if (!content.empty()) message += ": " + valid_text(content, kMessageExcerpt);
  }
  Error error = build(meaning_of_status(status, words), std::move(message), body);
  error.status = status;
  return error;
}

Error error_of_object(json::Value body, const ErrorPaths& paths) {
  const ProviderWords words = read_words(body, paths);
  std::string message = words.message;
  if (message.empty()) message = "the provider answered with an error: " + valid_text(body.raw(), kMessageExcerpt);
  return build(meaning_inside_200(words), std::move(message), body.raw());
}

Error protocol_error(std::string message) { return chat::make_error(ErrorKind::Protocol, std::move(message)); }

Error over_limit(std::string_view what, std::string_view name, std::size_t value, std::string_view unit) {
  std::string message(what);
  message.append(" than the limit `").append(name).append("` of ").append(std::to_string(value));
  message.append(unit.empty() ? "" : " ").append(unit);
  return protocol_error(std::move(message));
}

Error interrupted() {
  Error error = chat::make_error(ErrorKind::Interrupted, "the stream ended before its terminal event");
  error.retryable = true;
  return error;
}

}  // namespace orchestra::protocol
