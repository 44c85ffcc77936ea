#include "binding/wire.hpp"

#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "binding/delta.hpp"
#include "binding/faults.hpp"
#include "binding/json_python.hpp"
#include "binding/outcome.hpp"
#include "protocol/format.hpp"

namespace orchestra::binding {

namespace py = pybind11;

namespace {

const protocol::Format& format_of(const std::string& name) {
  const auto* format = protocol::find_format(name);
  if (format == nullptr) {
    std::string known;
    for (const auto one : protocol::format_names()) known += (known.empty() ? "" : ", ") + std::string(one);
    throw Fault{chat::make_error(chat::ErrorKind::Config, "protocol: \"" + name + "\" is not one of " + known)};
  }
  return *format;
}

double unix_now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

Fault fault_of_status(const protocol::Format& format, int status, const protocol::Headers& headers,
                      std::string_view body) {
  return Fault{dispatch::status_error(format, status, headers, body, unix_now())};
}

py::object decode_reply(const std::string& protocol, const std::string& body, int status,
                        const protocol::Headers& headers) {
  const auto& format = format_of(protocol);
  if (status < 200 || status > 299) throw fault_of_status(format, status, headers, body);
  return make_reply(outcome_of_body(format, {}, status, headers, body));
}

// A recorded stream, fed chunk by chunk.
class StreamReader {
 public:
  StreamReader(const std::string& protocol, int status, protocol::Headers headers)
      : format_(format_of(protocol)), status_(status), headers_(std::move(headers)) {
    if (is_success()) decoder_ = format_.stream_decoder({});
  }

  py::list feed(const py::bytes& chunk) {
    const std::string_view bytes(chunk);
    if (!decoder_) {
      error_body_ += bytes;
      return py::list();
    }
    std::vector<chat::Delta> deltas;
    check(decoder_->feed(bytes, deltas), deltas);
    return make_deltas(deltas);
  }

  py::list end() {
    if (!decoder_) throw fault_of_status(format_, status_, headers_, error_body_);
    std::vector<chat::Delta> deltas;
    check(decoder_->end(deltas), deltas);
    return make_deltas(deltas);
  }

  // Deltas that came before an error in the same bytes are not lost: take them, then raise.
  py::list take_kept() { return make_deltas(std::exchange(kept_, {})); }

  py::object reply() {
    if (!decoder_) throw std::runtime_error("there is no reply: the answer was an error");
    return make_reply(outcome_of_body(format_, {}, status_, headers_, decoder_->plain_body()));
  }
  py::object partial() {
    return make_reply(outcome_of_partial({&format_, {}, decoder_ ? decoder_->plain_body() : std::string()}));
  }

 private:
  [[nodiscard]] bool is_success() const { return status_ >= 200 && status_ <= 299; }
  void check(Status status, std::vector<chat::Delta>& deltas) {
    if (status) return;
    kept_ = std::move(deltas);
    if (!status.error().status) status.error().status = status_;
    throw Fault{std::move(status).error()};
  }

  const protocol::Format& format_;
  int status_;
  protocol::Headers headers_;
  std::unique_ptr<protocol::StreamDecoder> decoder_;
  std::string error_body_;
  std::vector<chat::Delta> kept_;
};

}  // namespace

void bind_wire(py::module_& module) {
  module.def("decode_reply", &decode_reply, py::arg("protocol"), py::arg("body"), py::arg("status"),
             py::arg("headers"));
  py::class_<StreamReader>(module, "StreamReader")
      .def(py::init<const std::string&, int, protocol::Headers>(), py::arg("protocol"), py::arg("status"),
           py::arg("headers"))
      .def("feed", &StreamReader::feed, py::arg("chunk"))
      .def("end", &StreamReader::end)
      .def("take_kept", &StreamReader::take_kept)
      .def("reply", &StreamReader::reply)
      .def("partial", &StreamReader::partial);
  module.def("protocols", [] {
    std::vector<std::string> names;
    for (const auto name : protocol::format_names()) names.emplace_back(name);
    return names;
  });
  // (name, protocol, base_url, key variable) of every provider that is known by name.
  module.def("builtin_providers", [] {
    py::list list;
    for (const auto* provider : protocol::builtin_providers()) {
      list.append(py::make_tuple(to_str(provider->name), to_str(provider->protocol), to_str(provider->base_url),
                                 to_str(provider->key_variable)));
    }
    return list;
  });
}

}  // namespace orchestra::binding
