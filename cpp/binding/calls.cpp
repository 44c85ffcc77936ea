#include "binding/calls.hpp"

#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>

#include "binding/delta.hpp"
#include "binding/faults.hpp"
#include "binding/json_python.hpp"
#include "binding/outcome.hpp"
#include "binding/unlocked.hpp"

namespace orchestra::binding {

namespace py = pybind11;

namespace {

PyObject* interned(const char* name) { return PyUnicode_InternFromString(name); }

// A future that was cancelled, or whose loop is closed, wants nothing any more.
void set_result(PyObject* future, PyObject* result) {
  static PyObject* const name = interned("set_result");
  PyObject* done = PyObject_CallMethodOneArg(future, name, result);
  if (done == nullptr) PyErr_Clear();
  Py_XDECREF(done);
}

}  // namespace

Calls::Calls(py::object future_type, const py::object& loop) : future_type_(std::move(future_type)) {
  if (!loop.is_none()) loop_ = py::weakref(loop);
}

Calls::~Calls() { clear(); }

// Bound to the loop, so that one that is awaited in another loop is an error instead of a wait without end.
py::object Calls::create_future() const {
  static PyObject* const names = PyTuple_Pack(1, interned("loop"));
  PyObject* const arguments[] = {PyWeakref_GetObject(loop_.ptr())};  // NOLINT(modernize-avoid-c-arrays)
  if (arguments[0] == Py_None) throw std::runtime_error("the event loop in which this stream was made is gone");
  auto future = py::reinterpret_steal<py::object>(PyObject_Vectorcall(future_type_.ptr(), arguments, 0, names));
  if (!future) throw py::error_already_set();
  return future;
}

// A ticket is the place of a slot and how often that was used: what comes too late finds nobody.
std::uint64_t Calls::take_slot() {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t place = free_slots_.back();
  free_slots_.pop_back();
  slots_[place].used = true;
  return (static_cast<std::uint64_t>(slots_[place].generation) << 32) | place;
}

Calls::Slot* Calls::find(std::uint64_t ticket) {
  const std::size_t place = static_cast<std::uint32_t>(ticket);
  if (place >= slots_.size()) return nullptr;
  Slot& slot = slots_[place];
  return slot.used && slot.generation == ticket >> 32 ? &slot : nullptr;
}

void Calls::free(std::uint64_t ticket) {
  Slot* slot = find(ticket);
  if (slot == nullptr) return;
  const Slot last = std::exchange(*slot, Slot{.generation = slot->generation + 1});
  free_slots_.push_back(static_cast<std::uint32_t>(ticket));
  Py_XDECREF(last.future);  // may run code that comes back here
}

void Calls::cancel(Slot& slot, const std::string& why) {
  const auto engine = slot.engine.lock();
  if (engine && slot.call) engine->cancel(slot.call, chat::make_error(chat::ErrorKind::Cancelled, why));
}

py::object Calls::begin(Core& core, const py::dict& call) {
  py::object future = create_future();
  const std::uint64_t ticket = take_slot();
  try {
    Slot& slot = *find(ticket);
    slot.call = core.prepare(json_of(call, chat::ErrorKind::InvalidRequest), false, queue_, ticket);
    slot.engine = core.engine();
    slot.future = future.inc_ref().ptr();
    core.start(slot.call);
  } catch (...) {
    free(ticket);
    throw;
  }
  return future;
}

py::object Calls::begin_here(Core& core, const py::dict& call) {
  static PyObject* const get_running_loop =
      py::object(py::module_::import("asyncio").attr("_get_running_loop")).release().ptr();
  if (forks_ != fork_count()) return py::none();
  const auto running = py::reinterpret_steal<py::object>(PyObject_CallNoArgs(get_running_loop));
  if (!running) throw py::error_already_set();
  if (running.is_none() || running.ptr() != PyWeakref_GetObject(loop_.ptr())) return py::none();
  return begin(core, call);
}

void Calls::cancel(py::handle future, std::string why) {
  for (std::size_t place = 0; place < slots_.size(); ++place) {
    if (slots_[place].future != future.ptr()) continue;
    cancel(slots_[place], why);
    free((static_cast<std::uint64_t>(slots_[place].generation) << 32) | place);
    return;
  }
}

void Calls::deliver() {
  leave_if_ending();
  std::vector<Announcement> announced = std::move(announced_);
  queue_->drain(announced);
  for (Announcement& announcement : announced) {
    Slot* slot = find(announcement.ticket);
    if (slot == nullptr) continue;
    const auto future = py::reinterpret_steal<py::object>(std::exchange(slot->future, nullptr));
    if (announcement.outcome) {
      free(announcement.ticket);
      if (future) set_result(future.ptr(), make_reply(std::move(announcement.outcome)).ptr());
    } else if (future) {
      set_result(future.ptr(), Py_None);
    }
  }
  announced.clear();
  announced_ = std::move(announced);
}

void Calls::start(Core& core, std::string json, std::size_t index) {
  const std::uint64_t ticket = take_slot();
  try {
    Slot& slot = *find(ticket);
    slot.call = core.prepare(std::move(json), false, queue_, ticket);
    slot.engine = core.engine();
    slot.index = index;
    core.start(slot.call);
  } catch (...) {
    free(ticket);
    throw;
  }
}

std::size_t Calls::add(Core& core, const py::dict& call, std::size_t index) {
  start(core, json_of(call, chat::ErrorKind::InvalidRequest), index);
  return size();
}

std::size_t Calls::add_all(Core& core, const py::dict& options, const py::list& items, std::size_t index) {
  std::string json;
  std::size_t started = 0;
  try {
    json = json_of(options, chat::ErrorKind::InvalidRequest);
    json.pop_back();
    json += options.empty() ? R"("messages":)" : R"(,"messages":)";
    const std::size_t head = json.size();
    for (const py::handle item : items) {
      if (PyDict_Check(item.ptr()) && py::reinterpret_borrow<py::dict>(item).contains("messages")) break;
      json.resize(head);
      if (!append_json(json, item)) break;
      json += '}';
      start(core, json, index + started);
      ++started;
    }
  } catch (const Fault&) {               // whoever adds that one alone hears what is wrong with it
  } catch (const std::runtime_error&) {  // closed
  }
  return started;
}

std::vector<std::size_t> Calls::collect(const py::list& replies, bool wait) {
  if (wait) {
    wait_for(*queue_, std::nullopt, announced_);
  } else {
    queue_->drain(announced_);
  }
  std::vector<std::size_t> indices;
  indices.reserve(announced_.size());
  for (Announcement& announcement : announced_) {
    const Slot* slot = find(announcement.ticket);
    if (slot == nullptr) continue;
    const std::size_t index = slot->index;
    free(announcement.ticket);
    if (index >= replies.size()) continue;
    indices.push_back(index);
    PyObject* reply = make_reply(std::move(announcement.outcome)).release().ptr();
    PyList_SetItem(replies.ptr(), static_cast<Py_ssize_t>(index), reply);
  }
  announced_.clear();
  return indices;
}

void Calls::cancel_all(const std::string& why) {
  for (Slot& slot : slots_) {
    if (slot.used) cancel(slot, why);
  }
}

std::shared_ptr<Handle> Calls::open(Core& core, const py::dict& call) {
  const std::uint64_t ticket = take_slot();
  try {
    auto handle = std::make_shared<Handle>(core.engine(), queue_, ticket);
    handle->prepare(core.prepare(json_of(call, chat::ErrorKind::InvalidRequest), true, handle, ticket));
    return handle;
  } catch (...) {
    free(ticket);
    throw;
  }
}

py::object Calls::next(const Handle& handle) {
  py::object future = create_future();
  Slot* slot = find(handle.ticket());
  if (slot == nullptr) {  // closed: there is nothing to wait for
    set_result(future.ptr(), Py_None);
  } else {
    Py_XSETREF(slot->future, future.inc_ref().ptr());
  }
  return future;
}

void Calls::wait() {
  std::vector<Announcement> announced;
  wait_for(*queue_, std::nullopt, announced);
}

int Calls::traverse(visitproc visit, void* arg) const {  // NOLINT(readability-named-parameter): Py_VISIT names them
  Py_VISIT(future_type_.ptr());
  Py_VISIT(loop_.ptr());
  for (const Slot& slot : slots_) Py_VISIT(slot.future);
  return 0;
}

void Calls::clear() {
  std::vector<Slot> slots = std::exchange(slots_, {});
  free_slots_.clear();
  for (Slot& slot : slots) Py_CLEAR(slot.future);
  future_type_ = py::object();
}

namespace {

int traverse_calls(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!py::detail::is_holder_constructed(self)) return 0;
  return py::cast<const Calls&>(py::handle(self)).traverse(visit, arg);
}

int clear_calls(PyObject* self) {
  py::cast<Calls&>(py::handle(self)).clear();
  return 0;
}

}  // namespace

void bind_calls(py::module_& module) {
  const auto collectable = py::custom_type_setup([](PyHeapTypeObject* heap_type) {
    heap_type->ht_type.tp_flags |= Py_TPFLAGS_HAVE_GC;
    heap_type->ht_type.tp_traverse = &traverse_calls;
    heap_type->ht_type.tp_clear = &clear_calls;
  });
  py::class_<Handle, std::shared_ptr<Handle>>(module, "Handle", "A stream that runs.")
      .def("start",
           [](Handle& handle) {
             if (!handle.start()) throw std::runtime_error("the engine is closed");
           })
      .def("cancel", &Handle::cancel, py::arg("why"))
      .def("outcome",
           [](Handle& handle) -> py::object {
             auto outcome = handle.outcome();
             return outcome ? make_reply(std::move(outcome)) : py::none();
           })
      // What has come so far; of an ended call its outcome, whether its deltas were taken or not.
      .def("partial", [](Handle& handle) {
        dispatch::Partial partial;
        std::shared_ptr<engine::Outcome> ended;
        {
          const Unlocked unlocked;
          ended = handle.ended();
          if (!ended) partial = handle.partial();
          if (!ended && partial.format == nullptr) ended = handle.ended();
        }
        return make_reply(ended ? ended : outcome_of_partial(partial));
      });

  py::class_<Calls>(module, "Calls", "The calls of one consumer.", collectable)
      .def(py::init<py::object, py::object>(), py::arg("future_type") = py::none(), py::arg("loop") = py::none())
      .def("fileno", &Calls::fileno)
      .def("deliver", &Calls::deliver)
      .def("begin", &Calls::begin, py::arg("core"), py::arg("call"))
      .def("begin_here", &Calls::begin_here, py::arg("core"), py::arg("call"))
      .def("cancel", py::overload_cast<py::handle, std::string>(&Calls::cancel), py::arg("future"), py::arg("why"))
      .def("add", &Calls::add, py::arg("core"), py::arg("call"), py::arg("index"))
      .def("add_all", &Calls::add_all, py::arg("core"), py::arg("options"), py::arg("items"), py::arg("index"))
      .def("collect", &Calls::collect, py::arg("replies"), py::arg("wait"))
      .def("__len__", &Calls::size)
      .def("cancel_all", &Calls::cancel_all, py::arg("why"))
      .def("open", &Calls::open, py::arg("core"), py::arg("call"))
      .def("next", &Calls::next, py::arg("handle"))
      .def("close", &Calls::close, py::arg("handle"))
      .def("wait", &Calls::wait);
}

}  // namespace orchestra::binding
