#include "binding/delta.hpp"

#include <structmember.h>

#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "binding/guarded.hpp"
#include "binding/handle.hpp"
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

// ---- the deltas of a stream that were not read yet

namespace {

struct DeltasObject {
  PyObject_HEAD  // NOLINT
      std::vector<chat::Delta>
          deltas;
  std::size_t next;
};

DeltasObject& deltas_of(PyObject* object) { return *reinterpret_cast<DeltasObject*>(object); }

std::size_t left(const DeltasObject& deltas) { return deltas.deltas.size() - deltas.next; }

// REQUIRES: there is one. Making the object may run any code, which may drop them all.
PyObject* pop(DeltasObject& from) {
  const chat::Delta delta = std::move(from.deltas[from.next++]);
  if (from.next == from.deltas.size()) {
    from.deltas.clear();
    from.next = 0;
  }
  return guarded([&] { return py::reinterpret_steal<py::object>(make_delta(delta)); });
}

PyObject* create_deltas(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  new (&deltas_of(object).deltas) std::vector<chat::Delta>();
  return object;
}

void destroy_deltas(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  std::destroy_at(&deltas_of(object).deltas);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* fill(PyObject* self, PyObject* handle) {
  return guarded([&]() -> py::object {
    DeltasObject& into = deltas_of(self);
    std::vector<chat::Delta> more = py::cast<Handle&>(py::handle(handle)).take_deltas();
    if (left(into) == 0) {
      into.deltas = std::move(more);
      into.next = 0;
    } else {
      into.deltas.insert(into.deltas.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    }
    return py::none();
  });
}

PyObject* drop(PyObject* self, PyObject*) {
  DeltasObject& deltas = deltas_of(self);
  std::exchange(deltas.deltas, {});
  deltas.next = 0;
  Py_RETURN_NONE;
}

PyObject* take(PyObject* self, PyObject*) {
  if (left(deltas_of(self)) == 0) Py_RETURN_NONE;
  return pop(deltas_of(self));
}

PyObject* count_left(PyObject* self, void*) { return PyLong_FromSize_t(left(deltas_of(self))); }

PyObject* call_next(PyObject* self) {
  static PyObject* const name = PyUnicode_InternFromString("_next");
  return PyObject_CallMethodNoArgs(self, name);
}

PyObject* next_delta(PyObject* self) { return left(deltas_of(self)) > 0 ? pop(deltas_of(self)) : call_next(self); }

// What __anext__() gives while there are deltas: an awaitable that ends at once. The delta is taken when it is awaited,
// so that one that is thrown away takes none with it.
struct ReadyObject {
  PyObject_HEAD  // NOLINT
      PyObject* stream;
};

PyTypeObject* ready_type = nullptr;
PyObject* kept_ready = nullptr;  // one that was used up, to be used again

PyObject*& stream_of(PyObject* object) { return reinterpret_cast<ReadyObject*>(object)->stream; }

PyObject* next_awaitable(PyObject* self) {
  if (left(deltas_of(self)) == 0) return call_next(self);  // a coroutine, which waits
  PyObject* ready = std::exchange(kept_ready, nullptr);
  if (ready == nullptr) ready = ready_type->tp_alloc(ready_type, 0);
  if (ready != nullptr) stream_of(ready) = Py_NewRef(self);
  return ready;
}

void destroy_ready(PyObject* object) {
  Py_CLEAR(stream_of(object));
  if (kept_ready == nullptr) {
    Py_SET_REFCNT(object, 1);
    kept_ready = object;
    return;
  }
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* await_ready(PyObject* object) {
  PyObject* stream = std::exchange(stream_of(object), nullptr);
  if (stream == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "this step of the stream was awaited before");
    return nullptr;
  }
  PyObject* delta = nullptr;
  if (left(deltas_of(stream)) > 0) {
    delta = pop(deltas_of(stream));
  } else {  // the stream was closed meanwhile
    PyObject* checked = PyObject_CallMethod(stream, "_check_end", nullptr);
    if (checked != nullptr) PyErr_SetNone(PyExc_StopAsyncIteration);
    Py_XDECREF(checked);
  }
  Py_DECREF(stream);
  return delta;
}

PySendResult send_ready(PyObject* object, PyObject*, PyObject** result) {
  *result = await_ready(object);
  return *result != nullptr ? PYGEN_RETURN : PYGEN_ERROR;
}

PyObject* iterate_ready(PyObject* object) {
  PyObject* delta = await_ready(object);
  if (delta != nullptr) PyErr_SetObject(PyExc_StopIteration, delta);
  Py_XDECREF(delta);
  return nullptr;
}

PyMethodDef deltas_methods[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {"_fill", &fill, METH_O, nullptr},
    {"_drop", &drop, METH_NOARGS, nullptr},
    {"_take", &take, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef deltas_attributes[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {"_left", &count_left, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot deltas_slots[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {Py_tp_new, reinterpret_cast<void*>(&create_deltas)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&destroy_deltas)},
    {Py_tp_methods, deltas_methods},
    {Py_tp_getset, deltas_attributes},
    {0, nullptr},
};

PyType_Slot sync_slots[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {Py_tp_iter, reinterpret_cast<void*>(&PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(&next_delta)},
    {0, nullptr},
};

PyType_Slot async_slots[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {Py_am_aiter, reinterpret_cast<void*>(&PyObject_SelfIter)},
    {Py_am_anext, reinterpret_cast<void*>(&next_awaitable)},
    {0, nullptr},
};

PyType_Slot ready_slots[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {Py_tp_dealloc, reinterpret_cast<void*>(&destroy_ready)},
    {Py_tp_iter, reinterpret_cast<void*>(&PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(&iterate_ready)},
    {Py_am_await, reinterpret_cast<void*>(&PyObject_SelfIter)},
    {Py_am_send, reinterpret_cast<void*>(&send_ready)},
    {0, nullptr},
};

constexpr unsigned kOpen = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
PyType_Spec deltas_spec = {"orchestra._core.Deltas", sizeof(DeltasObject), 0, kOpen, deltas_slots};
PyType_Spec sync_spec = {"orchestra._core.SyncDeltas", sizeof(DeltasObject), 0, kOpen, sync_slots};
PyType_Spec async_spec = {"orchestra._core.AsyncDeltas", sizeof(DeltasObject), 0, kOpen, async_slots};
PyType_Spec ready_spec = {"orchestra._core._Ready", sizeof(ReadyObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, ready_slots};

py::object make_type(PyType_Spec& of, PyObject* base = nullptr) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpecWithBases(&of, base));
  if (!type) throw py::error_already_set();
  return type;
}

}  // namespace

void bind_delta(py::module_& module) {
  const py::object type = make_type(spec);
  module.attr("Delta") = type;
  delta_type = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr());
  empty_text = py::str("").release().ptr();

  const py::object deltas = make_type(deltas_spec);
  module.attr("Deltas") = deltas;
  module.attr("SyncDeltas") = make_type(sync_spec, deltas.ptr());
  module.attr("AsyncDeltas") = make_type(async_spec, deltas.ptr());
  ready_type = reinterpret_cast<PyTypeObject*>(make_type(ready_spec).release().ptr());
}

}  // namespace orchestra::binding
