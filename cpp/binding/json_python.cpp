#include "binding/json_python.hpp"

#include <charconv>
#include <cmath>
#include <vector>

#include "json/writer.hpp"

namespace orchestra::binding {

namespace py = pybind11;

namespace {

// Walks a value. The path of a problem is gathered backwards while the recursion unwinds, so that the good case pays
// nothing for it.
class Walker {
 public:
  explicit Walker(std::string& out) : out_(out) {}

  bool write(PyObject* value, std::uint32_t depth) {
    if (PyUnicode_Check(value)) return write_string(value);
    if (value == Py_None) return literal("null");
    if (value == Py_True) return literal("true");
    if (value == Py_False) return literal("false");
    if (PyLong_Check(value)) return write_int(value);
    if (PyFloat_Check(value)) return write_float(PyFloat_AS_DOUBLE(value));
    const bool is_dict = PyDict_Check(value);
    if (!is_dict && !PyList_Check(value) && !PyTuple_Check(value)) {
      return fail(std::string("a value of type ") + Py_TYPE(value)->tp_name + " cannot be sent as JSON");
    }
    if (depth >= json::kMaxDepth) return fail("it is nested more than " + std::to_string(json::kMaxDepth) + " deep");
    return is_dict ? write_dict(value, depth) : write_list(value, depth);
  }

  [[nodiscard]] chat::Error error() const {
    constexpr std::size_t kMost = 8;
    std::string path;
    std::size_t count = 0;
    for (auto segment = path_.rbegin(); segment != path_.rend(); ++segment) {
      if (++count > kMost) {
        path += "...";
        break;
      }
      if (!path.empty() && segment->front() != '[') path += '.';
      path += *segment;
    }
    return chat::make_error(chat::ErrorKind::InvalidRequest, (path.empty() ? "" : path + ": ") + problem_);
  }

 private:
  bool fail(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  bool literal(std::string_view text) {
    out_ += text;
    return true;
  }
  bool write_string(PyObject* value) {
    Py_ssize_t size = 0;
    const char* text = nullptr;
    if (PyUnicode_IS_COMPACT_ASCII(value)) {
      text = static_cast<const char*>(PyUnicode_DATA(value));
      size = PyUnicode_GET_LENGTH(value);
    } else {
      text = PyUnicode_AsUTF8AndSize(value, &size);
      if (text == nullptr) {
        PyErr_Clear();
        return fail("the text holds a lone surrogate, which is no valid Unicode");
      }
    }
    out_ += '"';
    json::escape(out_, {text, static_cast<std::size_t>(size)});
    out_ += '"';
    return true;
  }
  bool write_int(PyObject* value) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0) {
      char buffer[24];
      const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
      out_.append(buffer, end);
      return true;
    }
    const auto text = py::reinterpret_steal<py::object>(PyLong_Type.tp_repr(value));
    if (!text) {
      PyErr_Clear();
      return fail("the number is too large");
    }
    out_ += text.cast<std::string>();
    return true;
  }
  bool write_float(double value) {
    if (!std::isfinite(value)) return fail("the number is not finite");
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
    out_.append(buffer, end);
    return true;
  }
  bool write_dict(PyObject* value, std::uint32_t depth) {
    out_ += '{';
    PyObject* key = nullptr;
    PyObject* item = nullptr;
    Py_ssize_t position = 0;
    bool first = true;
    while (PyDict_Next(value, &position, &key, &item) != 0) {
      if (!first) out_ += ',';
      first = false;
      if (!PyUnicode_Check(key))
        return fail(std::string("a key of type ") + Py_TYPE(key)->tp_name + " cannot be sent as JSON");
      if (!write_string(key)) return false;
      out_ += ':';
      if (!write(item, depth + 1)) {
        path_.push_back(py::cast<std::string>(py::handle(key)));
        return false;
      }
    }
    out_ += '}';
    return true;
  }
  bool write_list(PyObject* value, std::uint32_t depth) {
    const Py_ssize_t size = PySequence_Fast_GET_SIZE(value);
    out_ += '[';
    for (Py_ssize_t i = 0; i < size; ++i) {
      if (i != 0) out_ += ',';
      if (!write(PySequence_Fast_GET_ITEM(value, i), depth + 1)) {
        path_.push_back("[" + std::to_string(i) + "]");
        return false;
      }
    }
    out_ += ']';
    return true;
  }

  std::string& out_;
  std::string problem_;
  std::vector<std::string> path_;
};

py::object number_to_python(json::Value value) {
  if (const auto whole = value.integer(); whole && value.raw().find_first_of(".eE") == std::string_view::npos) {
    return py::int_(*whole);
  }
  const std::string text(value.raw());
  if (text.find_first_of(".eE") == std::string::npos) {  // beyond 64 bits
    if (PyObject* number = PyLong_FromString(text.c_str(), nullptr, 10))
      return py::reinterpret_steal<py::object>(number);
    PyErr_Clear();
  }
  const double number = PyOS_string_to_double(text.c_str(), nullptr, nullptr);
  if (PyErr_Occurred() != nullptr) PyErr_Clear();
  return py::float_(number);
}

}  // namespace

Status append_json(std::string& out, py::handle value) {
  Walker walker(out);
  if (!walker.write(value.ptr(), 0)) return walker.error();
  return Done{};
}

py::str to_str(std::string_view utf8) {
  PyObject* text = PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), "replace");
  if (text == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(text);
}

py::object str_or_none(std::string_view utf8) {
  if (utf8.empty()) return py::none();
  return to_str(utf8);
}

py::object to_python(json::Value value) {
  switch (value.type()) {
    case json::Type::Null: return py::none();
    case json::Type::Bool: return py::bool_(*value.boolean());
    case json::Type::Number: return number_to_python(value);
    case json::Type::String: return to_str(*value.string());
    case json::Type::Array: {
      py::list list;
      for (const json::Value element : value.elements()) list.append(to_python(element));
      return list;
    }
    case json::Type::Object: {
      py::dict dict;
      for (const auto [key, member] : value.members()) dict[to_str(*key.string())] = to_python(member);
      return dict;
    }
  }
  return py::none();
}

py::object to_python(const std::string& text) {
  if (text.empty()) return py::none();
  json::Document document;
  if (document.parse_copy(text)) return py::none();
  return to_python(document.root());
}

}  // namespace orchestra::binding
