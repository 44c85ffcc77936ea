#include "http/curl_transfer.hpp"

#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

namespace orchestra::http {

using runtime::End;
using runtime::EndKind;

namespace {

bool is_tls_error(CURLcode result) {
  switch (result) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_USE_SSL_FAILED: return true;
    default: return false;
  }
}

}  // namespace

CurlTransfer::CurlTransfer(CurlExchange& exchange, CurlOrigin& origin, ReceiveBuffer& buffer)
    : exchange_(exchange), origin_(origin), buffer_(buffer), easy_(curl_easy_init()) {
  if (easy_ == nullptr) return;
  curl_easy_setopt(easy_, CURLOPT_PRIVATE, this);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_.data());
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  // Otherwise removing a handle waits for its name lookup, and the loop with it.
  curl_easy_setopt(easy_, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy_, CURLOPT_POST, 1L);
  curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  // One connection a request: cancelling closes it, which tells every server to stop.
  curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy_, CURLOPT_HTTP09_ALLOWED, 0L);
  curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  // Minutes may pass between a request and its answer, and address translators forget connections that are silent.
  curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy_, CURLOPT_PREREQFUNCTION, &on_ready_to_send);
  curl_easy_setopt(easy_, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &on_head_line);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  origin_.configure(easy_);
}

CurlTransfer::~CurlTransfer() {
  if (easy_ != nullptr) curl_easy_cleanup(easy_);
}

std::optional<runtime::End> CurlTransfer::begin(runtime::ExchangeId id, runtime::ExchangeRequest request,
                                                runtime::ExchangeSink& sink, HeadLimits limits) {
  id_ = id;
  sink_ = &sink;
  socket_fault_ = 0;
  sent_ = again_ = paused_ = stopped_ = held_head_ = false;
  error_[0] = '\0';
  limits_ = limits;
  head_ = ResponseHead(limits);
  decoding_.reset();
  end_.reset();
  body_ = std::move(request.body);
  const auto fail = [](EndKind kind, std::string why) { return runtime::End{kind, std::move(why)}; };
  if (easy_ == nullptr) return fail(EndKind::NotConnected, "out of memory");
  if (!origin_.trust_fault().empty()) return fail(EndKind::TlsFailed, origin_.trust_fault());
  url_ = origin_.url(request.head->target);
  if (url_ == nullptr) return fail(EndKind::NotConnected, "the URL is malformed");
  headers_ = origin_.headers(request.head);
  if (headers_ == nullptr) return fail(EndKind::NotConnected, "a header holds a line break");
  curl_easy_setopt(easy_, CURLOPT_CURLU, url_.get());
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_.get());
  curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body_ ? body_->size() : 0));
  curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body_ ? body_->data() : "");
  return std::nullopt;
}

void CurlTransfer::forget_sink() {
  sink_ = nullptr;
  if (decoding_ != nullptr) decoding_->forget();
}

void CurlTransfer::pause() {
  paused_ = true;
  if (decoding_ != nullptr) decoding_->pause();
}

void CurlTransfer::resume() {
  paused_ = false;
  if (decoding_ != nullptr) decoding_->resume();
}

void CurlTransfer::clear() {
  id_ = 0;
  forget_sink();
  decoding_.reset();
  url_.reset();
  headers_.reset();
  body_.reset();
  end_.reset();
  head_ = ResponseHead(HeadLimits{});
}

// Before each time a request is sent, on a connection that stands. libcurl repeats a request by itself when a kept
// connection dies before the first byte of an answer, and has no option against it: the second time is refused here, or
// a server that read the first would be asked, and paid, twice.
int CurlTransfer::on_ready_to_send(void* self, char*, char*, int, int) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  if (transfer.sent_) {
    transfer.again_ = true;
    return CURL_PREREQFUNC_ABORT;
  }
  if (transfer.sink_ == nullptr) return CURL_PREREQFUNC_ABORT;
  transfer.sent_ = true;
  transfer.sink_->on_connected();
  return transfer.sink_ == nullptr ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

std::size_t CurlTransfer::on_head_line(char* bytes, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  if (transfer.sink_ == nullptr) return 0;
  const std::size_t length = size * count;
  switch (transfer.head_.add({bytes, length})) {
    case ResponseHead::Progress::More: return length;
    case ResponseHead::Progress::Malformed: return 0;
    case ResponseHead::Progress::Complete: break;
  }
  transfer.held_head_ = true;
  if (!transfer.paused_) transfer.give_held_head();
  return transfer.sink_ == nullptr ? 0 : length;
}

void CurlTransfer::give_held_head() {
  if (!std::exchange(held_head_, false)) return;
  runtime::AnswerHead head = head_.take();
  decoding_ = DecodingSink::wrap(head, *sink_, {.ratio = limits_.decompression_ratio});
  sink_->on_head(std::move(head));
}

void CurlTransfer::give_held_bytes() {
  if (decoding_ != nullptr) decoding_->proceed();
}

std::size_t CurlTransfer::on_body(char* bytes, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  if (transfer.sink_ == nullptr) return 0;
  const std::size_t length = size * count;
  DecodingSink* decoding = transfer.decoding_.get();
  if (transfer.paused_ || transfer.held_head_ || (decoding != nullptr && decoding->holds())) {
    transfer.stopped_ = true;  // libcurl keeps these bytes and reads no more
    return CURL_WRITEFUNC_PAUSE;
  }
  if (length == 0) return 0;
  if (decoding != nullptr) {
    decoding->on_bytes({bytes, length});
  } else {
    std::memcpy(transfer.buffer_.data(), bytes, length);
    transfer.sink_->on_bytes({transfer.buffer_.data(), length});
  }
  return transfer.sink_ == nullptr || transfer.has_broken_content() ? 0 : length;
}

void CurlTransfer::finish(CURLcode result) { end_ = end_of(result); }

End CurlTransfer::take_end() {
  End end = *std::exchange(end_, std::nullopt);
  return decoding_ != nullptr ? decoding_->judged(std::move(end)) : end;
}

End CurlTransfer::end_of(CURLcode result) const {
  if (!head_.fault().empty()) return {EndKind::Malformed, head_.fault()};
  if (has_broken_content()) return {EndKind::Malformed, decoding_->fault()};
  // An answer without a length that a TLS server ends by a bare close is complete to libcurl (7.88 ignores the missing
  // goodbye); that it was cut is seen by its format.
  if (result == CURLE_OK && head_.is_complete()) return {EndKind::Complete, ""};
  if (!sent_) {
    if (!is_tls_error(result)) return {EndKind::NotConnected, connect_message(result)};
    return {EndKind::TlsFailed, error_[0] != '\0' ? error_.data() : curl_easy_strerror(result)};
  }
  if (again_) return {EndKind::NoReply, "the kept connection died before an answer came"};
  // libcurl tells faults of the chunked encoding with the code of a broken connection.
  const bool no_http = result == CURLE_WEIRD_SERVER_REPLY || result == CURLE_UNSUPPORTED_PROTOCOL ||
                       result == CURLE_BAD_CONTENT_ENCODING || result == CURLE_OUT_OF_MEMORY ||
                       std::string_view(error_.data()).find("chunked-encoding") != std::string_view::npos;
  if (no_http) return {EndKind::Malformed, curl_easy_strerror(result)};
  if (head_.has_begun()) {
    return {EndKind::Cut, result == CURLE_OK ? "the answer broke off in its head" : curl_easy_strerror(result)};
  }
  return {EndKind::NoReply, result == CURLE_OK || is_tls_error(result) || result == CURLE_COULDNT_CONNECT
                                ? "the connection died before an answer came"
                                : curl_easy_strerror(result)};
}

// libcurl's own text may hold the proxy with its password.
std::string CurlTransfer::connect_message(CURLcode result) const {
  if (socket_fault_ == EMFILE || socket_fault_ == ENFILE) {
    return "too many open files: ask for fewer at once, or raise the limit (ulimit -n)";
  }
  std::string message = curl_easy_strerror(result);
  long os_error = 0;
  curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &os_error);
  if (result == CURLE_COULDNT_CONNECT && os_error != 0) {
    message += ": " + std::generic_category().message(static_cast<int>(os_error));
  }
  const std::optional<Proxy>& proxy = origin_.proxy();
  if (!proxy) return message;
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &status);
  if (status == 407) {
    message = proxy->user.empty() ? "the proxy asks for a user and a password: http://user:password@host:port"
                                  : "the proxy refuses the user or the password";
  } else if (status / 100 != 2 && status != 0) {
    message = "the proxy refuses the connection with status " + std::to_string(status);
  }
  return message + " (through " + proxy->shown() + ", from " + proxy->source + ")";
}

}  // namespace orchestra::http
