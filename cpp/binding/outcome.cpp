#include "binding/outcome.hpp"

#include <pybind11/stl.h>

#include "binding/faults.hpp"
#include "binding/json_python.hpp"
#include "binding/values.hpp"

namespace orchestra::binding {

namespace py = pybind11;
using dispatch::Attempt;
using dispatch::Outcome;

const std::vector<chat::Choice>& ReplyView::choices() {
  if (choices_.empty()) {
    if (outcome_->body && outcome_->format != nullptr) {
      choices_ = outcome_->format->choices(outcome_->body->root(), outcome_->decode);
    }
    if (choices_.empty()) {
      choices_.emplace_back();
      choices_.back().message = R"({"role":"assistant","content":""})";
    }
  }
  return choices_;
}

std::shared_ptr<Outcome> outcome_of_body(const protocol::Format& format, const protocol::DecodeOptions& options,
                                         int status, protocol::Headers headers, std::string body) {
  auto outcome = std::make_shared<Outcome>();
  outcome->format = &format;
  outcome->decode = options;
  outcome->status = status;
  if (auto error = dispatch::read_body(*outcome, format, options, std::move(body))) {
    if (!error->status) error->status = status;
    throw Fault{*std::move(error)};
  }
  outcome->headers = runtime::HeaderText(headers);
  return outcome;
}

std::shared_ptr<Outcome> outcome_of_partial(const dispatch::Partial& partial) {
  auto outcome = std::make_shared<Outcome>();
  outcome->format = partial.format;
  outcome->decode = partial.options;
  outcome->model = partial.model;
  outcome->provider = partial.provider;
  outcome->cost = spend::unknown();  // until the attempt has ended
  auto document = std::make_unique<json::Document>();
  if (partial.format != nullptr && !partial.body.empty() && !document->parse_copy(partial.body)) {
    if (auto summary = partial.format->summarize(document->root(), partial.options))
      outcome->summary = *std::move(summary);
    outcome->summary.finish = chat::Finish::None;
    outcome->summary.finish_raw.clear();
    outcome->body = std::move(document);
  }
  return outcome;
}

namespace {

py::object text_or_none(const std::optional<std::string>& text) {
  if (!text) return py::none();
  return to_str(*text);
}

py::list tool_calls(const chat::Choice& choice) {
  py::list calls;
  for (const auto& call : choice.tool_calls) {
    calls.append(py::make_tuple(to_str(call.id), to_str(call.name), to_str(call.arguments)));
  }
  return calls;
}

py::dict choice_fields(const chat::Choice& choice) {
  py::dict fields;
  fields["index"] = choice.index;
  fields["text"] = to_str(choice.text);
  fields["refusal"] = text_or_none(choice.refusal);
  fields["reasoning"] = text_or_none(choice.reasoning);
  fields["tool_calls"] = tool_calls(choice);
  fields["message"] = to_python(choice.message);
  fields["logprobs"] = to_python(choice.logprobs);
  fields["finish_reason"] = str_or_none(chat::finish_name(choice.finish));
  fields["finish_reason_raw"] = str_or_none(choice.finish_raw);
  return fields;
}

// A whole outcome as plain JSON values, and back: what a resume file keeps.
py::dict dump(const Outcome& outcome) {
  py::dict fields;
  fields["protocol"] = to_str(outcome.format->name());
  fields["forced_tool"] = outcome.decode.forced_tool;
  fields["status"] = outcome.status;
  py::list headers;
  for (const auto& [name, value] : outcome.headers.list()) headers.append(py::make_tuple(to_str(name), to_str(value)));
  fields["headers"] = headers;
  fields["body"] = to_str(outcome.body->text());
  fields["model"] = outcome.model;
  fields["provider"] = outcome.provider;
  fields["started"] = outcome.started;
  fields["latency"] = outcome.latency;
  fields["time_to_first_token"] = outcome.time_to_first_token;
  py::list attempts;
  for (const Attempt& attempt : outcome.attempts) {
    py::dict entry;
    entry["model"] = attempt.model;
    entry["status"] = attempt.status;
    entry["error"] = attempt.error ? py::object(py::int_(static_cast<int>(*attempt.error))) : py::none();
    entry["error_message"] = to_str(attempt.error_message);
    entry["started"] = attempt.started;
    entry["latency"] = attempt.latency;
    entry["cost"] = cost_state(attempt.cost);
    entry["dropped"] = attempt.dropped;
    entry["transport"] = attempt.transport;
    attempts.append(entry);
  }
  fields["attempts"] = attempts;
  return fields;
}

ReplyView restore(const py::dict& fields) {
  const auto* format = protocol::find_format(fields["protocol"].cast<std::string>());
  if (format == nullptr) throw py::value_error("unknown protocol");
  protocol::DecodeOptions options;
  options.forced_tool = fields["forced_tool"].cast<bool>();
  protocol::Headers headers;
  for (const py::handle pair : fields["headers"]) headers.push_back(pair.cast<std::pair<std::string, std::string>>());
  auto outcome = outcome_of_body(*format, options, fields["status"].cast<int>(), std::move(headers),
                                 fields["body"].cast<std::string>());
  outcome->model = fields["model"].cast<std::string>();
  outcome->provider = fields["provider"].cast<std::string>();
  outcome->started = fields["started"].cast<double>();
  outcome->latency = fields["latency"].cast<double>();
  outcome->time_to_first_token = fields["time_to_first_token"].cast<std::optional<double>>();
  for (const py::handle item : fields["attempts"]) {
    const auto entry = item.cast<py::dict>();
    Attempt attempt;
    attempt.model = entry["model"].cast<std::string>();
    attempt.status = entry["status"].cast<std::optional<int>>();
    if (!entry["error"].is_none()) attempt.error = static_cast<chat::ErrorKind>(entry["error"].cast<int>());
    attempt.error_message = entry["error_message"].cast<std::string>();
    attempt.started = entry["started"].cast<double>();
    attempt.latency = entry["latency"].cast<double>();
    attempt.cost = cost_from_state(entry["cost"].cast<py::sequence>());
    attempt.dropped = entry["dropped"].cast<std::vector<std::string>>();
    attempt.transport = entry["transport"].cast<std::string>();
    outcome->cost += attempt.cost;
    outcome->attempts.push_back(std::move(attempt));
  }
  if (!outcome->attempts.empty() && !outcome->attempts.back().error)
    outcome->attempts.back().usage = outcome->summary.usage;
  return ReplyView(std::move(outcome));
}

}  // namespace

void bind_outcome(py::module_& module) {
  py::class_<ReplyView>(module, "Outcome", "How a call ended.")
      // (kind, message, fields) of the error; None: there is a reply.
      .def_property_readonly("fault",
                             [](const ReplyView& view) -> py::object {
                               const auto& error = view.outcome().error;
                               if (!error) return py::none();
                               return py::make_tuple(to_str(chat::error_name(error->kind)), to_str(error->message),
                                                     fault_fields(*error));
                             })
      .def_property_readonly("text", [](ReplyView& view) { return to_str(view.choices().front().text); })
      .def_property_readonly("refusal", [](ReplyView& view) { return text_or_none(view.choices().front().refusal); })
      .def_property_readonly("reasoning",
                             [](ReplyView& view) { return text_or_none(view.choices().front().reasoning); })
      .def_property_readonly("tool_calls", [](ReplyView& view) { return tool_calls(view.choices().front()); })
      .def_property_readonly("message", [](ReplyView& view) { return to_python(view.choices().front().message); })
      .def_property_readonly("logprobs", [](ReplyView& view) { return to_python(view.choices().front().logprobs); })
      .def_property_readonly("choices",
                             [](ReplyView& view) {
                               py::list list;
                               for (const auto& choice : view.choices()) list.append(choice_fields(choice));
                               return list;
                             })
      .def_property_readonly(
          "finish_reason",
          [](const ReplyView& view) { return str_or_none(chat::finish_name(view.outcome().summary.finish)); })
      .def_property_readonly("finish_reason_raw",
                             [](const ReplyView& view) { return str_or_none(view.outcome().summary.finish_raw); })
      .def_property_readonly("usage", [](const ReplyView& view) { return view.outcome().summary.usage; })
      .def_property_readonly("served_model",
                             [](const ReplyView& view) { return str_or_none(view.outcome().summary.served_model); })
      .def_property_readonly("cost", [](const ReplyView& view) { return view.outcome().cost; })
      .def_property_readonly("attempts", [](const ReplyView& view) { return view.outcome().attempts; })
      .def_property_readonly("attempt_count", [](const ReplyView& view) { return view.outcome().attempts.size(); })
      .def_property_readonly("model", [](const ReplyView& view) { return view.outcome().model; })
      .def_property_readonly("provider", [](const ReplyView& view) { return view.outcome().provider; })
      .def_property_readonly("started", [](const ReplyView& view) { return view.outcome().started; })
      .def_property_readonly("latency", [](const ReplyView& view) { return view.outcome().latency; })
      .def_property_readonly("time_to_first_token",
                             [](const ReplyView& view) { return view.outcome().time_to_first_token; })
      .def_property_readonly("headers",
                             [](const ReplyView& view) {
                               py::dict headers;
                               for (const auto& [name, value] : view.outcome().headers.list()) {
                                 const py::str key = to_str(name).attr("lower")();
                                 headers[key] = headers.contains(key)
                                                    ? py::str(py::str(headers[key]) + py::str(", ") + to_str(value))
                                                    : to_str(value);
                               }
                               return headers;
                             })
      .def_property_readonly("raw",
                             [](const ReplyView& view) {
                               return view.outcome().body ? to_python(view.outcome().body->root())
                                                          : py::object(py::dict());
                             })
      .def_property_readonly("body",
                             [](const ReplyView& view) {
                               return view.outcome().body ? py::bytes(view.outcome().body->text()) : py::bytes();
                             })
      .def("dump", [](const ReplyView& view) { return dump(view.outcome()); })
      .def_static("restore", &restore, py::arg("fields"));
}

}  // namespace orchestra::binding
