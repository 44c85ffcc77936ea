#include "binding/delta.hpp"

#include <structmember.h>

#include <cstddef>
#include <string_view>

#include "binding/json_python.hpp"

namespace orchestra::binding {

namespace py = pybind11;

namespace {

struct DeltaObject {
  PyObject_HEAD  // NOLINT
      PyObject* text;
  PyObject* reasoning;
  PyObject* tool_call;
  PyObject* finish_reason;
  PyObject* usage;
  int attempt;
};

PyTypeObject* delta_type = nullptr;
PyObject* empty_text = nullptr;

DeltaObject& self_of(PyObject* object) { return *reinterpret_cast<DeltaObject*>(object); }

void destroy(PyObject* object) {
  DeltaObject& delta = self_of(object);
  Py_DECREF(delta.text);
  Py_DECREF(delta.reasoning);
  Py_DECREF(delta.tool_call);
  Py_DECREF(delta.finish_reason);
  Py_DECREF(delta.usage);
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* represent(PyObject* object) {
  const DeltaObject& delta = self_of(object);
  return PyUnicode_FromFormat("Delta(text=%R, reasoning=%R, tool_call=%R, finish_reason=%R)", delta.text,
                              delta.reasoning, delta.tool_call, delta.finish_reason);
}

PyObject* text_object(std::string_view text) {
  return text.empty() ? Py_NewRef(empty_text) : to_str(text).release().ptr();
}

PyObject* make_delta(const chat::Delta& delta) {
  // What can fail comes first.
  py::object text = py::reinterpret_steal<py::object>(text_object(delta.text));
  py::object reasoning = py::reinterpret_steal<py::object>(text_object(delta.reasoning));
  py::object tool_call = delta.tool_call ? py::cast(*delta.tool_call) : py::none();
  py::object finish = str_or_none(chat::finish_name(delta.finish));
  py::object usage = delta.usage ? py::cast(*delta.usage) : py::none();
  PyObject* object = delta_type->tp_alloc(delta_type, 0);
  if (object == nullptr) throw py::error_already_set();
  DeltaObject& made = self_of(object);
  made.text = text.release().ptr();
  made.reasoning = reasoning.release().ptr();
  made.tool_call = tool_call.release().ptr();
  made.finish_reason = finish.release().ptr();
  made.usage = usage.release().ptr();
  made.attempt = delta.attempt;
  return object;
}

PyMemberDef members[] = {
    // NOLINT(modernize-avoid-c-arrays): as CPython wants it
    {"text", T_OBJECT_EX, offsetof(DeltaObject, text), READONLY, "\"\" when there is none."},
    {"reasoning", T_OBJECT_EX, offsetof(DeltaObject, reasoning), READONLY, "\"\" when there is none."},
    {"tool_call", T_OBJECT_EX, offsetof(DeltaObject, tool_call), READONLY, "A ToolFragment or None."},
    {"finish_reason", T_OBJECT_EX, offsetof(DeltaObject, finish_reason), READONLY, "Only of the last one."},
    {"usage", T_OBJECT_EX, offsetof(DeltaObject, usage), READONLY, "Only of the last one."},
    {"attempt", T_INT, offsetof(DeltaObject, attempt), READONLY, "Which try it comes from; the first is 1."},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {Py_tp_doc, const_cast<char*>("One step of a stream; the last one alone has finish_reason and usage.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(&destroy)},
    {Py_tp_repr, reinterpret_cast<void*>(&represent)},
    {Py_tp_members, members},
    {0, nullptr},
};

PyType_Spec spec = {"orchestra._core.Delta", sizeof(DeltaObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

py::list make_deltas(const std::vector<chat::Delta>& deltas) {
  py::list list(deltas.size());
  for (std::size_t i = 0; i < deltas.size(); ++i) {
    PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(i), make_delta(deltas[i]));
  }
  return list;
}

void bind_delta(py::module_& module) {
  const auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  module.attr("Delta") = type;
  delta_type = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr());
  empty_text = py::str("").release().ptr();
}

}  // namespace orchestra::binding
