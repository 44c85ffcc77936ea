#include "binding/delta.hpp"

#include <structmember.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "binding/calls.hpp"
#include "binding/forks.hpp"
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
  PyObject_HEAD         // NOLINT
      PyObject* calls;  // a Calls; nullptr: not attached yet
  std::shared_ptr<Handle> handle;
  std::vector<chat::Delta> deltas;
  std::size_t next;
  unsigned forks;
  bool closed;
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
  DeltasObject& made = deltas_of(object);
  new (&made.deltas) std::vector<chat::Delta>();
  new (&made.handle) std::shared_ptr<Handle>();
  made.forks = fork_count();
  return object;
}

int traverse_deltas(PyObject* self, visitproc visit, void* arg) {  // NOLINT: Py_VISIT names them
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(deltas_of(self).calls);
  return 0;
}

int clear_deltas(PyObject* self) {
  deltas_of(self).closed = true;
  Py_CLEAR(deltas_of(self).calls);
  return 0;
}

void destroy_deltas(PyObject* object) {
  PyObject_GC_UnTrack(object);
  clear_deltas(object);
  PyTypeObject* type = Py_TYPE(object);
  std::destroy_at(&deltas_of(object).deltas);
  std::destroy_at(&deltas_of(object).handle);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* attach(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  return guarded([&]() -> py::object {
    if (count != 2) throw py::type_error("_attach(calls, handle)");
    DeltasObject& deltas = deltas_of(self);
    [[maybe_unused]] const Calls& calls = py::cast<Calls&>(py::handle(arguments[0]));  // throws for anything else
    deltas.handle = py::cast<std::shared_ptr<Handle>>(py::handle(arguments[1]));
    Py_XSETREF(deltas.calls, Py_NewRef(arguments[0]));
    return py::none();
  });
}

void take_what_came(DeltasObject& into) {
  std::vector<chat::Delta> more = into.handle->take_deltas();
  if (left(into) == 0) {
    into.deltas = std::move(more);
    into.next = 0;
  } else {
    into.deltas.insert(into.deltas.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
}

PyObject* fill(PyObject* self, PyObject*) {
  take_what_came(deltas_of(self));
  Py_RETURN_NONE;
}

PyObject* drop(PyObject* self, PyObject*) {
  DeltasObject& deltas = deltas_of(self);
  std::exchange(deltas.deltas, {});
  deltas.next = 0;
  deltas.closed = true;
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

// What it gives while there are none: waits on futures until there are. Everything that is no delta (the end, close(),
// a fork) is left to the coroutine of _next().
struct WaitingObject {
  PyObject_HEAD  // NOLINT
      PyObject* stream;
  PyObject* inner;  // what it waits on: the iterator of a future, or the coroutine; nullptr: nothing yet
  bool has_coroutine;
};

PyTypeObject* waiting_type = nullptr;

WaitingObject& waiting_of(PyObject* object) { return *reinterpret_cast<WaitingObject*>(object); }

bool may_get_more(const DeltasObject& deltas) {
  return !deltas.closed && deltas.calls != nullptr && deltas.forks == fork_count() && !deltas.handle->ended();
}

PyObject* next_awaitable(PyObject* self) {
  DeltasObject& deltas = deltas_of(self);
  if (left(deltas) == 0) {
    if (!deltas.closed && deltas.calls != nullptr && deltas.forks == fork_count()) take_what_came(deltas);
    if (left(deltas) == 0) {
      if (!may_get_more(deltas)) return call_next(self);
      PyObject* waiting = waiting_type->tp_alloc(waiting_type, 0);
      if (waiting != nullptr) waiting_of(waiting).stream = Py_NewRef(self);
      return waiting;
    }
  }
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

// Sets what it waits on. False: Python's error is set.
bool begin_to_wait(WaitingObject& waiting) {
  DeltasObject& deltas = deltas_of(waiting.stream);
  if (!may_get_more(deltas)) {
    waiting.has_coroutine = true;
    Py_XSETREF(waiting.inner, call_next(waiting.stream));
    return waiting.inner != nullptr;
  }
  PyObject* future = guarded([&] { return py::cast<Calls&>(py::handle(deltas.calls)).next(*deltas.handle); });
  if (future == nullptr) return false;
  const auto* async = Py_TYPE(future)->tp_as_async;
  if (async == nullptr || async->am_await == nullptr) {
    PyErr_SetString(PyExc_TypeError, "a future that cannot be awaited");
  } else {
    Py_XSETREF(waiting.inner, async->am_await(future));
  }
  Py_DECREF(future);
  return waiting.inner != nullptr && PyErr_Occurred() == nullptr;
}

// Ends the stream for an error that is set, and keeps it set.
void close_for_error(PyObject* stream) {
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyObject* closed = PyObject_CallMethod(stream, "_close", nullptr);
  if (closed == nullptr) PyErr_WriteUnraisable(stream);
  Py_XDECREF(closed);
  PyErr_Restore(type, value, trace);
}

PySendResult send_waiting(PyObject* object, PyObject* argument, PyObject** result) {
  WaitingObject& waiting = waiting_of(object);
  *result = nullptr;
  if (waiting.stream == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "this step of the stream was awaited before");
    return PYGEN_ERROR;
  }
  for (;;) {
    if (waiting.inner == nullptr && !begin_to_wait(waiting)) return PYGEN_ERROR;
    const PySendResult sent = PyIter_Send(waiting.inner, argument, result);
    if (sent == PYGEN_NEXT) return sent;
    if (sent == PYGEN_ERROR || waiting.has_coroutine) {
      if (sent == PYGEN_ERROR && !waiting.has_coroutine) close_for_error(waiting.stream);
      Py_CLEAR(waiting.inner);
      Py_CLEAR(waiting.stream);
      return sent;
    }
    Py_CLEAR(*result);
    Py_CLEAR(waiting.inner);
    DeltasObject& deltas = deltas_of(waiting.stream);
    if (may_get_more(deltas) || !deltas.closed) take_what_came(deltas);
    if (left(deltas) > 0) {
      *result = pop(deltas);
      Py_CLEAR(waiting.stream);
      return *result != nullptr ? PYGEN_RETURN : PYGEN_ERROR;
    }
  }
}

PyObject* iterate_waiting(PyObject* object) {
  PyObject* result = nullptr;
  switch (send_waiting(object, Py_None, &result)) {
    case PYGEN_NEXT: return result;
    case PYGEN_ERROR: return nullptr;
    case PYGEN_RETURN: break;
  }
  PyErr_SetObject(PyExc_StopIteration, result);
  Py_DECREF(result);
  return nullptr;
}

// An exception is thrown in where it waits, as a task does that is cancelled in the moment in which it goes on.
PyObject* throw_waiting(PyObject* object, PyObject* arguments) {
  WaitingObject& waiting = waiting_of(object);
  if (waiting.has_coroutine && waiting.inner != nullptr) {
    static PyObject* const name = PyUnicode_InternFromString("throw");
    PyObject* method = PyObject_GetAttr(waiting.inner, name);
    if (method == nullptr) return nullptr;
    PyObject* result = PyObject_CallObject(method, arguments);
    Py_DECREF(method);
    return result;
  }
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  if (PyArg_UnpackTuple(arguments, "throw", 1, 3, &type, &value, &trace) == 0) return nullptr;
  if (PyExceptionInstance_Check(type)) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(type)), type);
  } else {
    PyErr_SetObject(type, value);
  }
  if (waiting.stream != nullptr) close_for_error(waiting.stream);
  Py_CLEAR(waiting.inner);
  Py_CLEAR(waiting.stream);
  return nullptr;
}

PyObject* close_waiting(PyObject* object, PyObject*) {
  WaitingObject& waiting = waiting_of(object);
  if (waiting.stream != nullptr) {
    PyObject* closed = PyObject_CallMethod(waiting.stream, "_close", nullptr);
    if (closed == nullptr) return nullptr;
    Py_DECREF(closed);
  }
  Py_CLEAR(waiting.inner);  // a coroutine is closed by that
  Py_CLEAR(waiting.stream);
  Py_RETURN_NONE;
}

int traverse_waiting(PyObject* self, visitproc visit, void* arg) {  // NOLINT: Py_VISIT names them
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(waiting_of(self).stream);
  Py_VISIT(waiting_of(self).inner);
  return 0;
}

int clear_waiting(PyObject* self) {
  Py_CLEAR(waiting_of(self).inner);
  Py_CLEAR(waiting_of(self).stream);
  return 0;
}

void destroy_waiting(PyObject* object) {
  PyObject_GC_UnTrack(object);
  clear_waiting(object);
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

PyMethodDef waiting_methods[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {"throw", &throw_waiting, METH_VARARGS, nullptr},
    {"close", &close_waiting, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef deltas_methods[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {"_attach", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&attach)), METH_FASTCALL, nullptr},
    {"_fill", &fill, METH_NOARGS, nullptr},
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
    {Py_tp_traverse, reinterpret_cast<void*>(&traverse_deltas)},
    {Py_tp_clear, reinterpret_cast<void*>(&clear_deltas)},
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

PyType_Slot waiting_slots[] = {
    // NOLINT(modernize-avoid-c-arrays)
    {Py_tp_dealloc, reinterpret_cast<void*>(&destroy_waiting)},
    {Py_tp_traverse, reinterpret_cast<void*>(&traverse_waiting)},
    {Py_tp_clear, reinterpret_cast<void*>(&clear_waiting)},
    {Py_tp_methods, waiting_methods},
    {Py_tp_iter, reinterpret_cast<void*>(&PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(&iterate_waiting)},
    {Py_am_await, reinterpret_cast<void*>(&PyObject_SelfIter)},
    {Py_am_send, reinterpret_cast<void*>(&send_waiting)},
    {0, nullptr},
};

constexpr unsigned kOpen = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
PyType_Spec deltas_spec = {"orchestra._core.Deltas", sizeof(DeltasObject), 0, kOpen | Py_TPFLAGS_HAVE_GC, deltas_slots};
PyType_Spec sync_spec = {"orchestra._core.SyncDeltas", sizeof(DeltasObject), 0, kOpen, sync_slots};
PyType_Spec async_spec = {"orchestra._core.AsyncDeltas", sizeof(DeltasObject), 0, kOpen, async_slots};
PyType_Spec ready_spec = {"orchestra._core._Ready", sizeof(ReadyObject), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, ready_slots};
PyType_Spec waiting_spec = {"orchestra._core._Waiting", sizeof(WaitingObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_GC, waiting_slots};

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
  waiting_type = reinterpret_cast<PyTypeObject*>(make_type(waiting_spec).release().ptr());
  ready_type = reinterpret_cast<PyTypeObject*>(make_type(ready_spec).release().ptr());
}

}  // namespace orchestra::binding
