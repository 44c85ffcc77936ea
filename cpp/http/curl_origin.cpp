#include "http/curl_origin.hpp"

#include <algorithm>
#include <string_view>

#include "http/curl_transfer.hpp"

namespace orchestra::http {
namespace {

// A connection that has idled longer is not used again. The race it avoids: the server closes while our request is on
// its way, and nobody can tell whether it was read. Local servers close after 5 s (uvicorn, Node.js and llama.cpp by
// default), the front ends of vendors after 60 s and more (AWS load balancers 60, nginx 75). libcurl compares whole
// seconds with "greater than": 3 means below 4 s. Its own default of 118 s is beyond all of these.
constexpr long kIdleSecondsPlain = 3;
constexpr long kIdleSecondsTls = 50;

// Targets differ by model (Gemini, Bedrock), seldom by request; beyond this the cache starts anew.
constexpr std::size_t kMostUrls = 256;

bool is_header_text(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

bool has_name(const runtime::HeaderList& headers, std::string_view lower_name) {
  return std::any_of(headers.begin(), headers.end(), [&](const auto& header) {
    return std::equal(header.first.begin(), header.first.end(), lower_name.begin(), lower_name.end(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
  });
}

}  // namespace

CurlOrigin::CurlOrigin(std::shared_ptr<const runtime::Origin> origin)
    : origin_(std::move(origin)), proxy_(proxy_for(origin_->url, origin_->proxy)) {
  const bool tls = origin_->url.starts_with("https:") || (proxy_ && proxy_->scheme == "https");
  if (!tls || origin_->insecure) return;
  trusted_ = find_ca_store(origin_->ca_file, origin_->fallback_ca_file);
  if (!trusted_.is_found()) trust_fault_ = trusted_.not_found_message();
}
CurlOrigin::~CurlOrigin() = default;

void CurlOrigin::configure(CURL* easy) const {
  const bool tls = origin_->url.starts_with("https:");
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, tls ? kIdleSecondsTls : kIdleSecondsPlain);
  // Both given, libcurl leaves the environment alone.
  curl_easy_setopt(easy, CURLOPT_PROXY, proxy_ ? proxy_->address.c_str() : "");
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
  if (trusted_.is_found()) {  // one of both alone decides, not what libcurl was built with beside it
    curl_easy_setopt(easy, CURLOPT_CAINFO, trusted_.file.empty() ? nullptr : trusted_.file.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, trusted_.directory.empty() ? nullptr : trusted_.directory.c_str());
  }
  if (origin_->insecure) {
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

std::shared_ptr<CURLU> CurlOrigin::url(const std::string& target) {
  if (const auto found = urls_.find(target); found != urls_.end()) return found->second;
  std::shared_ptr<CURLU> url(curl_url(), curl_url_cleanup);
  const std::string text = origin_->url + target;
  if (!target.starts_with('/') || text.find('\0') != std::string::npos || url == nullptr ||
      curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_PATH_AS_IS) != CURLUE_OK) {
    return nullptr;
  }
  if (urls_.size() >= kMostUrls) urls_.clear();
  urls_.emplace(target, url);
  return url;
}

std::shared_ptr<curl_slist> CurlOrigin::headers(const std::shared_ptr<const runtime::RequestHead>& head) {
  // Most requests of an origin have the same head.
  if (last_head_ == head) return last_list_;
  const runtime::HeaderList& headers = head->headers;
  curl_slist* list = nullptr;
  const auto add = [&list](const std::string& line) {
    curl_slist* longer = curl_slist_append(list, line.c_str());
    if (longer == nullptr) return false;
    list = longer;
    return true;
  };
  // Without this, bodies above 1 MB wait a second for "100 Continue" from servers that do not know it.
  bool complete = add("Expect:");
  if (!has_name(headers, "content-type")) complete = complete && add("Content-Type:");
  for (const auto& [name, value] : headers) {
    complete = complete && is_header_text(name) && is_header_text(value);
    // "Name:" would remove the header, "Name;" sends it empty.
    complete = complete && add(value.empty() ? name + ";" : name + ": " + value);
  }
  if (!complete) {
    curl_slist_free_all(list);
    return nullptr;
  }
  last_list_.reset(list, curl_slist_free_all);
  last_head_ = head;
  return last_list_;
}

std::size_t CurlOrigin::enter_shard() {
  const auto least = std::min_element(in_flight_.begin(), in_flight_.end());
  ++*least;
  ++running_;
  return static_cast<std::size_t>(least - in_flight_.begin());
}

void CurlOrigin::leave_shard(std::size_t shard) {
  --in_flight_[shard];
  --running_;
}

}  // namespace orchestra::http
