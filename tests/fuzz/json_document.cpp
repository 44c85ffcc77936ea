// Fuzz target: whatever Document accepts holds together. Its subtrees are JSON by themselves, reads stay inside the
// text, and what the writer makes of it reads back equal.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "json/value.hpp"
#include "json/writer.hpp"

namespace {

using orchestra::json::Document;
using orchestra::json::Value;
using orchestra::json::Writer;

void require(bool holds) {
  if (!holds) std::abort();
}

// The same value, every string unescaped and escaped again.
void rewrite(Value value, Writer& writer) {
  if (value.is_object()) {
    writer.begin_object();
    for (auto [key, member] : value.members()) {
      writer.key(*key.string());
      rewrite(member, writer);
    }
    writer.end_object();
  } else if (value.is_array()) {
    writer.begin_array();
    for (Value element : value.elements()) rewrite(element, writer);
    writer.end_array();
  } else if (value.is_string()) {
    require(value.is(*value.string()));
    writer.string(*value.string());
  } else {
    writer.raw(value.raw());
  }
}

void require_equal(Value a, Value b) {
  require(a.type() == b.type() && a.size() == b.size());
  require(a.string() == b.string() && a.integer() == b.integer() && a.number() == b.number() &&
          a.boolean() == b.boolean());
  if (a.integer()) require(a.number().has_value());
  auto other_element = b.elements().begin();
  for (Value element : a.elements()) {
    require_equal(element, *other_element);
    ++other_element;
  }
  auto other_member = b.members().begin();
  for (auto [key, member] : a.members()) {
    require_equal(key, (*other_member).key);
    require(a[*key.string()].exists());
    require_equal(member, (*other_member).value);
    ++other_member;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Document document;
  if (auto problem = document.parse_copy(text)) {
    require(problem->offset <= size && !problem->message.empty());
    require(!document.root().exists() && document.text() == text);
    return 0;
  }
  std::string rewritten;
  Writer writer(rewritten);
  rewrite(document.root(), writer);
  Document again;
  require(!again.parse(rewritten));
  require_equal(document.root(), again.root());
  require(!again.parse_copy(document.root().raw()));
  require_equal(document.root(), again.root());
  return 0;
}
