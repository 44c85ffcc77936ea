// Reading JSON: Document owns a text and a flat list of its nodes; Value is a cheap cursor into it.
//
// Reads return empty results instead of failing: a missing member is a Value that does not exist, and every read of it
// is empty again, so that v["a"]["b"][0].integer() is safe on any input. Strings keep their escapes until they are
// read, and raw() gives the exact text of a subtree, so that what is only passed on is never rebuilt. Thread-safety: a
// Document may be read from several threads once parse() has returned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace orchestra::json {

enum class Type : std::uint8_t { Null, Bool, Number, String, Array, Object };

// A value is a span. That of a container is followed by its extent and then by its content, which of an object is key,
// value, key, value...
struct Span {
  std::uint32_t begin : 29;  // first byte of the value in the text; of a string, the first byte after the quote
  Type type : 3;
  std::uint32_t length : 29;  // bytes of the value; of a string, without the quotes
  bool escaped : 1;           // a string with a backslash in it
};
struct Extent {
  std::uint32_t next;   // index of the node that follows the content
  std::uint32_t count;  // elements of an array, members of an object
};
union Node {
  Span span;
  Extent extent;
};
static_assert(sizeof(Node) == 8, "every second byte of a hostile body is a value");

inline constexpr std::size_t kMaxText = std::size_t{512} << 20;  // bytes

inline constexpr std::uint32_t kMaxDepth = 128;  // containers inside each other, the outermost counted

class Document;

class Value {
 public:
  Value() = default;
  Value(const Document* document, std::uint32_t index) : document_(document), index_(index) {}

  [[nodiscard]] bool exists() const { return document_ != nullptr; }
  // Exists and is not null.
  explicit operator bool() const { return exists() && type() != Type::Null; }

  [[nodiscard]] Type type() const;  // Null when it does not exist
  [[nodiscard]] bool is_object() const { return type() == Type::Object; }
  [[nodiscard]] bool is_array() const { return type() == Type::Array; }
  [[nodiscard]] bool is_string() const { return type() == Type::String; }
  [[nodiscard]] bool is_number() const { return type() == Type::Number; }
  [[nodiscard]] bool is_bool() const { return type() == Type::Bool; }
  [[nodiscard]] bool is_null() const { return exists() && type() == Type::Null; }

  // The member of an object (the first of that name) or the element of an array; does not exist when absent.
  Value operator[](std::string_view key) const;
  Value operator[](std::size_t index) const;
  [[nodiscard]] std::size_t size() const;  // elements or members; 0 for everything else

  // The exact JSON text of this value, quotes included; empty when it does not exist.
  [[nodiscard]] std::string_view raw() const;

  // The text of a string, unescaped. Surrogate pairs are joined and a lone half becomes U+FFFD. Empty optional: no
  // string.
  [[nodiscard]] std::optional<std::string> string() const;
  [[nodiscard]] std::string string_or(std::string_view fallback = {}) const;
  // A string equal to this text.
  [[nodiscard]] bool is(std::string_view text) const;
  // Appends the unescaped text. `half` carries a high surrogate from the end of one string to the beginning of the next
  // of the same stream (0: none): it is kept back here and joined there; see flush_half().
  void append_to(std::string& out, std::uint16_t& half) const;

  // A whole number that fits int64 (2.0 and 2e0 are whole too); a fraction, a string, true: empty.
  [[nodiscard]] std::optional<std::int64_t> integer() const;
  [[nodiscard]] std::optional<double> number() const;  // empty when it does not fit a double
  [[nodiscard]] std::optional<bool> boolean() const;

  class Elements;
  class Members;
  // Of an array; empty for everything else:      for (Value element : value.elements())
  [[nodiscard]] Elements elements() const;
  // Of an object; empty for everything else:     for (auto [key, member] : value.members()), both Values
  [[nodiscard]] Members members() const;

 private:
  friend class Document;
  [[nodiscard]] Span span() const;
  [[nodiscard]] Extent extent() const;             // REQUIRES: a container
  [[nodiscard]] std::uint32_t next() const;        // index of the node behind this value
  [[nodiscard]] std::string_view content() const;  // of a string: between the quotes, still escaped
  [[nodiscard]] bool is_escaped(std::string_view text) const;

  const Document* document_ = nullptr;
  std::uint32_t index_ = 0;
};

// Whether the bytes are valid UTF-8.
bool is_utf8(std::string_view bytes);

// Ends a stream of append_to(): a half that was kept back becomes U+FFFD.
void flush_half(std::string& out, std::uint16_t& half);

struct Problem {
  std::string message;     // such as "no JSON: a comma is missing"
  std::size_t offset = 0;  // byte in the text
};

// REQUIRES: stays where it is while a Value points into it, so it neither copies nor moves.
class Document {
 public:
  Document() = default;
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  // Takes the text and parses it: one JSON value with white space around it, valid UTF-8, at most `max_depth` deep,
  // strict grammar. Memory of an earlier parse is reused. Returns the first problem, or nothing. After a problem root()
  // does not exist, but text() is kept.
  std::optional<Problem> parse(std::string text, std::size_t max_depth = kMaxDepth);
  // Copies into the memory of the last parse.
  std::optional<Problem> parse_copy(std::string_view text, std::size_t max_depth = kMaxDepth);

  [[nodiscard]] Value root() const { return nodes_.empty() ? Value() : Value(this, 0); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  friend class Value;
  std::optional<Problem> scan(std::size_t max_depth);

  std::string text_;
  std::vector<Node> nodes_;
};

class Value::Elements {
 public:
  class iterator {
   public:
    iterator(const Document* document, std::uint32_t index) : document_(document), index_(index) {}
    Value operator*() const { return {document_, index_}; }
    iterator& operator++();
    bool operator!=(const iterator& other) const { return index_ != other.index_; }

   private:
    const Document* document_;
    std::uint32_t index_;
  };
  Elements(const Document* document, std::uint32_t first, std::uint32_t end)
      : document_(document), first_(first), end_(end) {}
  [[nodiscard]] iterator begin() const { return {document_, first_}; }
  [[nodiscard]] iterator end() const { return {document_, end_}; }

 private:
  const Document* document_;
  std::uint32_t first_, end_;
};

struct Member {
  Value key;
  Value value;
};

class Value::Members {
 public:
  class iterator {
   public:
    iterator(const Document* document, std::uint32_t index) : document_(document), index_(index) {}
    Member operator*() const { return {Value(document_, index_), Value(document_, index_ + 1)}; }
    iterator& operator++();
    bool operator!=(const iterator& other) const { return index_ != other.index_; }

   private:
    const Document* document_;
    std::uint32_t index_;
  };
  Members(const Document* document, std::uint32_t first, std::uint32_t end)
      : document_(document), first_(first), end_(end) {}
  [[nodiscard]] iterator begin() const { return {document_, first_}; }
  [[nodiscard]] iterator end() const { return {document_, end_}; }

 private:
  const Document* document_;
  std::uint32_t first_, end_;
};

// ---- what is read for each node

constexpr bool is_container(Type type) { return type == Type::Array || type == Type::Object; }

inline Span Value::span() const { return document_->nodes_[index_].span; }
inline Extent Value::extent() const { return document_->nodes_[index_ + 1].extent; }
inline std::uint32_t Value::next() const { return is_container(span().type) ? extent().next : index_ + 1; }
inline Type Value::type() const { return exists() ? span().type : Type::Null; }
inline std::size_t Value::size() const { return is_container(type()) ? extent().count : 0; }

inline std::string_view Value::content() const {
  const Span here = span();
  return {document_->text_.data() + here.begin, here.length};
}

inline bool Value::is(std::string_view text) const {
  if (!is_string()) return false;
  return span().escaped ? is_escaped(text) : content() == text;
}

inline Value::Elements Value::elements() const {
  if (!is_array()) return {document_, 0, 0};
  return {document_, index_ + 2, extent().next};
}

inline Value::Members Value::members() const {
  if (!is_object()) return {document_, 0, 0};
  return {document_, index_ + 2, extent().next};
}

inline Value::Elements::iterator& Value::Elements::iterator::operator++() {
  index_ = Value(document_, index_).next();
  return *this;
}

inline Value::Members::iterator& Value::Members::iterator::operator++() {
  index_ = Value(document_, index_ + 1).next();
  return *this;
}

}  // namespace orchestra::json
