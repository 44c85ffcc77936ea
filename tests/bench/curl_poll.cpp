// The unit of the benchmarks: the plainest fast client that libcurl allows. One thread, one multi handle driven by
// curl_multi_poll, reused easy handles, keep-alive; no JSON is built or read and nothing is retried.
//
//   bench_curl_poll --port N --concurrency C --seconds S [--stream EVENTS] [--ca-file FILE (then over TLS)]
//                   [--warm-up CALLS (20 and two a caller)]
//
// Prints one JSON line in the shape of drive.py. Before timing it looks once for the text in an answer.

#include <curl/curl.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int port = 0;
  int concurrency = 1;
  double seconds = 1;
  int stream_events = 0;  // 0: plain calls
  std::string ca_file;    // "": no TLS
  int warm_up = 0;        // 0: 20 calls and two a caller
};

// The request of every arm, as a JSON writer without spaces has it.
std::string request_body(bool stream) {
  std::string question;
  for (int i = 0; i < 20; ++i) question += "Name the players. ";
  return R"({"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant."},)"
         R"({"role":"user","content":")" +
         question + R"("}],"temperature":0.2,"max_tokens":256)" + (stream ? R"(,"stream":true})" : "}");
}

// With memmem, which takes longer here than curl does: figures stay comparable with those of earlier measurements.
std::size_t count_events(std::string_view text) {
  std::size_t count = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while ((at = static_cast<const char*>(memmem(at, static_cast<std::size_t>(end - at), "\n\n", 2))) != nullptr) {
    ++count;
    at += 2;
  }
  return count;
}

struct Call {
  CURL* easy = nullptr;
  std::string body;
  Clock::time_point started;
};

std::size_t write_body(char* data, std::size_t, std::size_t size, void* call) {
  static_cast<Call*>(call)->body.append(data, size);
  return size;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

long resident_kilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

class Client {
 public:
  explicit Client(const Options& options)
      : options_(options),
        url_((options.ca_file.empty() ? "http" : "https") + std::string("://127.0.0.1:") +
             std::to_string(options.port) + "/v1/chat/completions"),
        request_(request_body(options.stream_events > 0)),
        multi_(curl_multi_init()) {
    headers_ = curl_slist_append(headers_, "Content-Type: application/json");
    headers_ = curl_slist_append(headers_, "Authorization: Bearer sk-bench-0123456789012345678901234567890123");
    headers_ = curl_slist_append(headers_, "Expect:");
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options.concurrency) + 8);
    curl_multi_setopt(multi_, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
    for (int i = 0; i < options.concurrency; ++i) {
      calls_.push_back(std::make_unique<Call>());
      Call& call = *calls_.back();
      call.easy = curl_easy_init();
      curl_easy_setopt(call.easy, CURLOPT_URL, url_.c_str());
      if (!options.ca_file.empty()) curl_easy_setopt(call.easy, CURLOPT_CAINFO, options.ca_file.c_str());
      curl_easy_setopt(call.easy, CURLOPT_NOSIGNAL, 1L);
      curl_easy_setopt(call.easy, CURLOPT_POST, 1L);
      curl_easy_setopt(call.easy, CURLOPT_HTTPHEADER, headers_);
      curl_easy_setopt(call.easy, CURLOPT_WRITEFUNCTION, write_body);
      curl_easy_setopt(call.easy, CURLOPT_WRITEDATA, &call);
      curl_easy_setopt(call.easy, CURLOPT_PRIVATE, &call);
    }
  }

  ~Client() {
    for (const auto& call : calls_) curl_easy_cleanup(call->easy);
    curl_multi_cleanup(multi_);
    curl_slist_free_all(headers_);
  }

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // At least `least` calls, then more until the time is over; returns when the last one has ended.
  void run(int least, double seconds) {
    const auto until =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    int begun = 0;
    int open = 0;
    const auto begin = [&](Call& call) {
      if (begun >= least && Clock::now() >= until) return;
      ++begun;
      ++open;
      call.body.clear();
      curl_easy_setopt(call.easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.size()));
      curl_easy_setopt(call.easy, CURLOPT_POSTFIELDS, request_.data());
      call.started = Clock::now();
      curl_multi_add_handle(multi_, call.easy);
    };
    for (const auto& call : calls_) begin(*call);
    while (open > 0) {
      int running = 0;
      curl_multi_perform(multi_, &running);
      int left = 0;
      while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode code = message->data.result;
        Call* call = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        curl_multi_remove_handle(multi_, call->easy);
        --open;
        finish(*call, code);
        begin(*call);
      }
      if (open > 0) curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
    }
  }

  bool last_answer_holds(std::string_view text) const { return calls_.front()->body.find(text) != std::string::npos; }

  void forget_figures() {
    latencies_.clear();
    errors_ = 0;
  }

  std::vector<double>& latencies() { return latencies_; }
  std::size_t errors() const { return errors_; }

 private:
  void finish(const Call& call, CURLcode code) {
    long status = 0;
    curl_easy_getinfo(call.easy, CURLINFO_RESPONSE_CODE, &status);
    latencies_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - call.started).count());
    if (expected_size_ == 0) expected_size_ = call.body.size();
    bool good = code == CURLE_OK && status == 200 && call.body.size() == expected_size_;
    if (options_.stream_events > 0) {
      // The role, the finish, the usage and [DONE] besides the numbered events.
      good = good && count_events(call.body) == static_cast<std::size_t>(options_.stream_events) + 4;
    }
    if (!good) ++errors_;
  }

  const Options options_;
  const std::string url_;
  const std::string request_;
  CURLM* multi_;
  curl_slist* headers_ = nullptr;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<double> latencies_;
  std::size_t expected_size_ = 0;
  std::size_t errors_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  Options options;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = arguments[i];
    const char* value = arguments[i + 1];
    if (name == "--port") {
      options.port = std::atoi(value);
    } else if (name == "--concurrency") {
      options.concurrency = std::atoi(value);
    } else if (name == "--seconds") {
      options.seconds = std::atof(value);
    } else if (name == "--stream") {
      options.stream_events = std::atoi(value);
    } else if (name == "--ca-file") {
      options.ca_file = value;
    } else if (name == "--warm-up") {
      options.warm_up = std::atoi(value);
    } else {
      std::fprintf(stderr, "bench_curl_poll: unknown option %s\n", arguments[i]);
      return 2;
    }
  }
  if (options.port <= 0 || options.concurrency <= 0) {
    std::fprintf(stderr, "bench_curl_poll: --port and --concurrency are needed\n");
    return 2;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  {
    Client client(options);
    client.run(options.warm_up > 0 ? options.warm_up : 20 + 2 * options.concurrency, 0);
    if (client.errors() > 0 ||
        !client.last_answer_holds(options.stream_events > 0 ? " piece000"
                                                            : R"(An orchestra tunes before it plays.\n)")) {
      std::fprintf(stderr, "bench_curl_poll: the upstream answers something else\n");
      return 1;
    }
    client.forget_figures();
    const double cpu = cpu_seconds();
    const auto started = Clock::now();
    client.run(options.concurrency, options.seconds);
    const double wall = std::chrono::duration<double>(Clock::now() - started).count();
    const double used = cpu_seconds() - cpu;
    std::vector<double>& latencies = client.latencies();
    const auto calls = latencies.size();
    std::sort(latencies.begin(), latencies.end());
    std::printf(
        R"({"calls": %zu, "cpu_us": %.3f, "calls_per_second": %.0f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %zu, "rss_mb": %.1f})"
        "\n",
        calls, used / static_cast<double>(calls) * 1e6, static_cast<double>(calls) / wall, latencies[calls / 2],
        latencies[std::min(calls - 1, calls * 99 / 100)], client.errors(),
        static_cast<double>(resident_kilobytes()) / 1024.0);
  }
  curl_global_cleanup();
}
