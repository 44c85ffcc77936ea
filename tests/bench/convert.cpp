// What it costs to convert between the package's own shape and each protocol's, without a network: requests, replies
// and streams, in both directions.
//
//   bench_convert --folder FOLDER [--seconds 0.05 (of one figure)]
//
// Prints one JSON line: a list of {"protocol", "payload", "what", "ns" (CPU of one conversion), "bytes"}. The bytes lie
// in FOLDER as PROTOCOL.PAYLOAD.request, .reply and .stream, for those who read them otherwise. Before timing, what was
// written is read back and compared.

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/request.hpp"
#include "json/value.hpp"
#include "protocol/format.hpp"

namespace {

using namespace orchestra;  // NOLINT(google-build-using-namespace): a program

constexpr int kTools = 18;
constexpr std::size_t kPieces = 200;
constexpr std::string_view kArguments = R"({"city":"Lyon","days":3,"units":"metric","with":["wind","rain"]})";

struct Payload {
  std::string name;
  std::string call;  // the keywords of a call, as the core is given them
  protocol::ServerReply reply;
};

std::string repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

Payload text_payload() {
  Payload payload{"text", {}, {}};
  payload.call =
      R"({"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":")" +
      repeated("Name the players. ", 20) + R"("}],"temperature":0.2,"max_tokens":256})";
  payload.reply.text = repeated("An orchestra tunes before it plays.\n", 13);
  return payload;
}

// 18 tools, one of which has been asked and has answered; the reply asks for another.
Payload tools_payload() {
  Payload payload{"tools", {}, {}};
  std::string tools;
  for (int i = 0; i < kTools; ++i) {
    tools +=
        (i > 0 ? "," : "") + (R"({"type":"function","function":{"name":"weather_)" + std::to_string(i)) +
        R"(","description":"The weather of a city over some days, from the nearest station.",)"
        R"("parameters":{"type":"object","properties":{"city":{"type":"string","description":"Its name"},)"
        R"("days":{"type":"integer","minimum":1,"maximum":10},"units":{"type":"string","enum":["metric","imperial"]},)"
        R"("with":{"type":"array","items":{"type":"string"}}},"required":["city"],"additionalProperties":false}}})";
  }
  payload.call =
      R"({"messages":[{"role":"user","content":"How will it be in Lyon?"},{"role":"assistant","content":null,)"
      R"("tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather_0","arguments":"{\"city\":\"Lyon\"}"}}]},)"
      R"({"role":"tool","tool_call_id":"call_1","content":"Sun, 21 degrees, wind from the north."}],"tools":[)" +
      tools + R"(],"tool_choice":"auto","max_tokens":1024})";
  payload.reply.text = "I look at the days after.";
  payload.reply.tool_calls = {{"call_2", "weather_3", std::string(kArguments)}};
  payload.reply.finish = chat::Finish::ToolCalls;
  return payload;
}

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "bench_convert: %s\n", what.c_str());
  std::exit(1);
}

double cpu_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Nanoseconds of one, over so many seconds after a warm-up of a fifth of that.
double cost(double seconds, const std::function<std::size_t()>& convert) {
  volatile std::size_t seen = 0;  // nothing may be left out for not being looked at
  const auto run = [&](double nanoseconds) {
    const double started = cpu_nanoseconds();
    double count = 0;
    double used = 0;
    do {
      for (int i = 0; i < 20; ++i) seen = seen + convert();
      count += 20;
      used = cpu_nanoseconds() - started;
    } while (used < nanoseconds);
    return used / count;
  };
  run(seconds * 2e8);
  return run(seconds * 1e9);
}

std::string read_reply(const protocol::Format& format, const std::string& body, std::size_t& calls) {
  json::Document document;
  if (const auto problem = document.parse_copy(body)) fail("a reply is no JSON: " + problem->message);
  const auto summary = format.summarize(document.root(), {});
  if (!summary) fail("a reply is not read: " + summary.error().message);
  const auto choices = format.choices(document.root(), {});
  calls = choices.front().tool_calls.size();
  return choices.front().text;
}

std::string read_stream(const protocol::Format& format, const std::string& body, std::size_t& fragments) {
  const auto decoder = format.stream_decoder({});
  std::vector<chat::Delta> deltas;
  if (!decoder->feed(body, deltas) || !decoder->end(deltas)) fail("a stream is not read");
  std::string text;
  fragments = 0;
  for (const auto& delta : deltas) {
    text += delta.text;
    fragments += delta.tool_call ? 1 : 0;
  }
  return text;
}

std::string write_request(const protocol::Format& format, const std::string& call) {
  const auto request = chat::Request::parse(call);
  if (!request) fail("a call is refused: " + request.error().message);
  protocol::EncodeOptions options;
  options.model = "a-model-of-today";
  auto encoded = format.encode(**request, options);
  if (!encoded) fail("a request cannot be written: " + encoded.error().message);
  return std::move(encoded->body);
}

std::string write_stream(const protocol::Format& format, const protocol::ServerReply& reply) {
  std::string out;
  for (const auto& event : format.encode_stream(reply, {"a-model-of-today", true, true}, kPieces)) out += event.bytes;
  return out;
}

class Report {
 public:
  Report(std::string folder, double seconds) : folder_(std::move(folder)), seconds_(seconds) {}

  void measure(const protocol::Format& format, const Payload& payload) {
    const std::string request = write_request(format, payload.call);
    const std::string reply = format.encode_reply(payload.reply);
    const std::string stream = write_stream(format, payload.reply);
    std::size_t count = 0;
    if (read_reply(format, reply, count) != payload.reply.text || count != payload.reply.tool_calls.size() ||
        read_stream(format, stream, count) != payload.reply.text || (count > 0) != !payload.reply.tool_calls.empty()) {
      fail(std::string(format.name()) + ": what was written is not what is read");
    }
    keep(format, payload, "request", request);
    keep(format, payload, "reply", reply);
    keep(format, payload, "stream", stream);
    const auto add = [&](std::string_view what, std::size_t bytes, const std::function<std::size_t()>& convert) {
      char text[300];
      std::snprintf(text, sizeof text,
                    R"(%s{"protocol": "%s", "payload": "%s", "what": "%s", "ns": %.1f, "bytes": %zu})",
                    lines_.empty() ? "" : ", ", std::string(format.name()).c_str(), payload.name.c_str(),
                    std::string(what).c_str(), cost(seconds_, convert), bytes);
      lines_ += text;
    };
    add("write request", request.size(), [&] { return write_request(format, payload.call).size(); });
    add("read reply", reply.size(), [&] { return read_reply(format, reply, count).size(); });
    add("read stream", stream.size(), [&] { return read_stream(format, stream, count).size(); });
    add("read request", request.size(), [&] {
      json::Document document;
      if (document.parse_copy(request)) fail("a request is no JSON");
      const auto read = format.read_request(document.root());
      if (!read) fail("a request is not read");
      return read->model.size();
    });
    add("write reply", reply.size(), [&] { return format.encode_reply(payload.reply).size(); });
    add("write stream", stream.size(), [&] { return write_stream(format, payload.reply).size(); });
  }

  [[nodiscard]] const std::string& lines() const { return lines_; }

 private:
  void keep(const protocol::Format& format, const Payload& payload, const char* kind, const std::string& bytes) const {
    std::ofstream(folder_ + "/" + std::string(format.name()) + "." + payload.name + "." + kind, std::ios::binary)
        << bytes;
  }

  const std::string folder_;
  const double seconds_;
  std::string lines_;
};

}  // namespace

int main(int count, char** arguments) {
  std::string folder;
  double seconds = 0.05;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = arguments[i];
    if (name == "--folder") {
      folder = arguments[i + 1];
    } else if (name == "--seconds") {
      seconds = std::atof(arguments[i + 1]);
    } else {
      fail("unknown option " + std::string(name));
    }
  }
  if (folder.empty()) fail("--folder is needed");
  Report report(folder, seconds);
  for (Payload payload : {text_payload(), tools_payload()}) {
    payload.reply.id = "reply-0123456789";
    payload.reply.model = "a-model-of-today";
    payload.reply.usage.input_tokens = 83;
    payload.reply.usage.output_tokens = 99;
    for (const auto name : protocol::format_names()) report.measure(*protocol::find_format(name), payload);
  }
  std::printf("[%s]\n", report.lines().c_str());
}
