#include "binding/outcome.hpp"

#include <pybind11/stl.h>

#include <new>
#include <stdexcept>
#include <string>

#include "binding/faults.hpp"
#include "binding/guarded.hpp"
#include "binding/json_python.hpp"
#include "binding/values.hpp"

namespace orchestra::binding {

namespace py = pybind11;
using dispatch::Attempt;
using dispatch::Outcome;

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

py::object restore(const py::dict& fields) {
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
  return make_reply(std::move(outcome));
}

// ---- the type

struct ReplyObject {
  PyObject_HEAD  // NOLINT
      std::shared_ptr<const Outcome>
          outcome;
  std::vector<chat::Choice> choices;  // decoded at the first use
  bool has_messages;                  // they hold their messages
};

// The Python class whose instances are made; the type itself until Python has given one.
PyObject* reply_class = nullptr;

ReplyObject& self_of(PyObject* object) { return *reinterpret_cast<ReplyObject*>(object); }

// At least one; an empty one when nothing came.
const std::vector<chat::Choice>& choices_of(ReplyObject& reply, bool with_messages = false) {
  if (reply.choices.empty() || (with_messages && !reply.has_messages)) {
    const Outcome& outcome = *reply.outcome;
    reply.has_messages = with_messages;
    if (outcome.body && outcome.format != nullptr) {
      protocol::DecodeOptions options = outcome.decode;
      options.messages = with_messages;  // most replies are asked for their text alone
      reply.choices = outcome.format->choices(outcome.body->root(), options);
    }
    if (reply.choices.empty()) {
      reply.choices.emplace_back();
      reply.choices.back().message = R"({"role":"assistant","content":""})";
    }
  }
  return reply.choices;
}

const chat::Choice& first(ReplyObject& reply) { return choices_of(reply).front(); }

template <class Read>
constexpr PyGetSetDef attribute(const char* name, Read, const char* doc) {
  // A lambda without captures is made anew where it is needed.
  constexpr auto get = [](PyObject* self, void*) -> PyObject* {
    return guarded([self]() -> py::object { return Read()(self_of(self)); });
  };
  return {name, +get, nullptr, doc, nullptr};
}

py::object headers_of(const Outcome& outcome) {
  py::dict headers;
  for (const auto& [name, value] : outcome.headers.list()) {
    const py::str key = to_str(name).attr("lower")();
    headers[key] =
        headers.contains(key) ? py::str(py::str(headers[key]) + py::str(", ") + to_str(value)) : to_str(value);
  }
  return headers;
}

py::object fault_of(const Outcome& outcome) {
  if (!outcome.error) return py::none();
  return py::make_tuple(to_str(chat::error_name(outcome.error->kind)), to_str(outcome.error->message),
                        fault_fields(*outcome.error));
}

py::object choice_list(ReplyObject& reply) {
  py::list list;
  for (const auto& choice : choices_of(reply, true)) list.append(choice_fields(choice));
  return list;
}

PyGetSetDef attributes[] = {
    // NOLINT(modernize-avoid-c-arrays): as CPython wants it
    attribute(
        "text", [](ReplyObject& r) -> py::object { return to_str(first(r).text); },
        "The text of the answer, \"\" when there is none."),
    attribute(
        "refusal", [](ReplyObject& r) { return text_or_none(first(r).refusal); },
        "The model's words of refusal; None: it did not refuse."),
    attribute(
        "reasoning", [](ReplyObject& r) { return text_or_none(first(r).reasoning); },
        "The text of the model's reasoning, where the provider shows it."),
    attribute(
        "message", [](ReplyObject& r) { return to_python(choices_of(r, true).front().message); },
        "The answer as a message of OpenAI's chat shape: append it to the messages of any later call, unchanged."),
    attribute(
        "logprobs", [](ReplyObject& r) { return to_python(first(r).logprobs); },
        "The log probabilities as the provider gave them; None: it gave none."),
    attribute(
        "finish_reason", [](ReplyObject& r) { return str_or_none(chat::finish_name(r.outcome->summary.finish)); },
        "stop, length, tool_calls, content_filter, refusal, budget or other; None only on a partial reply."),
    attribute(
        "finish_reason_raw", [](ReplyObject& r) { return str_or_none(r.outcome->summary.finish_raw); },
        "The provider's own word."),
    attribute(
        "usage", [](ReplyObject& r) { return py::cast(r.outcome->summary.usage); },
        "Token counts as the provider reported them."),
    attribute(
        "cost", [](ReplyObject& r) { return py::cast(r.outcome->cost); },
        "What the call cost, failed attempts included."),
    attribute(
        "model", [](ReplyObject& r) -> py::object { return to_str(r.outcome->model); },
        "provider/model, as it was asked."),
    attribute(
        "served_model", [](ReplyObject& r) { return str_or_none(r.outcome->summary.served_model); },
        "The model's name as the provider states it."),
    attribute(
        "provider", [](ReplyObject& r) -> py::object { return to_str(r.outcome->provider); },
        "The provider that was asked last."),
    attribute(
        "attempts", [](ReplyObject& r) { return py::cast(r.outcome->attempts); },
        "Every request that was made for this call, in order."),
    attribute(
        "latency", [](ReplyObject& r) -> py::object { return py::float_(r.outcome->latency); },
        "Seconds since the call began, waits and retries included."),
    attribute(
        "time_to_first_token", [](ReplyObject& r) { return py::cast(r.outcome->time_to_first_token); },
        "Seconds from the call's beginning to the first content (of a plain call: the first byte of the body)."),
    attribute(
        "headers", [](ReplyObject& r) { return headers_of(*r.outcome); }, "The answer's headers by lower-case name."),
    attribute(
        "raw", [](ReplyObject& r) { return r.outcome->body ? to_python(r.outcome->body->root()) : py::dict(); },
        "The provider's object; of a stream the same reply in the format's plain shape."),
    attribute(
        "body",
        [](ReplyObject& r) -> py::object { return r.outcome->body ? py::bytes(r.outcome->body->text()) : py::bytes(); },
        "The bytes that `raw` is read from."),
    attribute(
        "_started", [](ReplyObject& r) -> py::object { return py::float_(r.outcome->started); }, nullptr),
    attribute(
        "_fault", [](ReplyObject& r) { return fault_of(*r.outcome); }, nullptr),
    attribute(
        "_is_plain",
        [](ReplyObject& r) -> py::object { return py::bool_(!r.outcome->error && r.outcome->attempts.size() <= 1); },
        nullptr),
    attribute(
        "_tool_calls", [](ReplyObject& r) -> py::object { return tool_calls(first(r)); }, nullptr),
    attribute(
        "_choices", [](ReplyObject& r) { return choice_list(r); }, nullptr),
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef methods[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {"_dump",
     [](PyObject* self, PyObject*) { return guarded([self]() -> py::object { return dump(*self_of(self).outcome); }); },
     METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyObject* refuse_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyErr_Format(PyExc_TypeError, "a %s comes from a call; it cannot be made", type->tp_name);
  return nullptr;
}

void destroy(PyObject* object) {
  ReplyObject& reply = self_of(object);
  PyTypeObject* type = Py_TYPE(object);
  std::destroy_at(&reply.outcome);
  std::destroy_at(&reply.choices);
  type->tp_free(object);
  Py_DECREF(type);
}

PyType_Slot slots[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {Py_tp_doc, const_cast<char*>("The answer to one call.")},
    {Py_tp_new, reinterpret_cast<void*>(&refuse_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&destroy)},
    {Py_tp_getset, attributes},
    {Py_tp_methods, methods},
    {0, nullptr},
};

PyType_Spec spec = {"orchestra._core.Outcome", sizeof(ReplyObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

py::object make_reply(std::shared_ptr<const Outcome> outcome) {
  auto* type = reinterpret_cast<PyTypeObject*>(reply_class);
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) throw py::error_already_set();
  ReplyObject& reply = self_of(object);
  new (&reply.outcome) std::shared_ptr<const Outcome>(std::move(outcome));
  new (&reply.choices) std::vector<chat::Choice>();
  return py::reinterpret_steal<py::object>(object);
}

void bind_outcome(py::module_& module) {
  const auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  module.attr("Outcome") = type;
  reply_class = type.inc_ref().ptr();
  module.def(
      "set_reply_class",
      [](const py::object& made) {
        if (PyObject_IsSubclass(made.ptr(), reply_class) != 1) throw py::type_error("no subclass of Outcome");
        Py_SETREF(reply_class, made.inc_ref().ptr());
      },
      py::arg("reply"), "From now on outcomes are instances of this subclass of Outcome.");
  module.def("restore", &restore, py::arg("fields"), "The outcome that _dump() gave.");
}

}  // namespace orchestra::binding
