// Document: the parser.
//
// simdjson checks UTF-8; the grammar is scanned by hand in one loop. simdjson's On-Demand cursor is lax where a value
// is not read, so that every literal, number and escape would have to be checked again here, and it wants padding
// behind the text and a separate pass for its index, which costs most on the short texts of a stream.
#include <simdjson.h>

#include <utility>

#include "json/plain_run.hpp"
#include "json/value.hpp"

namespace orchestra::json {
namespace {

constexpr std::uint32_t kMask = kMaxText - 1;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// Scans a text that ends with a NUL byte of std::string: no grammar rule accepts NUL, so that only the plain runs of
// strings need to know the end.
class Scanner {
 public:
  Scanner(const std::string& text, std::vector<Node>& nodes, std::size_t max_depth)
      : begin_(text.data()), at_(begin_), end_(begin_ + text.size()), nodes_(nodes), max_depth_(max_depth) {}

  // Fills the nodes. On false, problem() says what is wrong and where.
  bool run();
  [[nodiscard]] Problem problem() const;

 private:
  bool fail(const char* what) {
    problem_ = at_ == end_ ? "no JSON: the text ends in the middle of a value" : what;
    return false;
  }
  [[nodiscard]] std::uint32_t offset() const { return static_cast<std::uint32_t>(at_ - begin_); }
  void skip_space() {
    while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') ++at_;
  }
  void add(Type type, std::uint32_t begin, std::uint32_t length, bool escaped = false) {
    const Span span{.begin = begin & kMask, .type = type, .length = length & kMask, .escaped = escaped};
    nodes_.push_back(Node{.span = span});
  }
  bool string();
  bool escape();
  bool number();
  bool literal(std::string_view word, Type type);
  bool scalar();
  bool open(Type type);
  void close();
  bool key();
  bool next();

  const char* begin_;
  const char* at_;
  const char* end_;
  std::vector<Node>& nodes_;
  const char* problem_ = "";
  bool is_too_deep_ = false;
  // The innermost container around at_; as long as it is open, its extent names the next one outwards.
  std::uint32_t open_ = 0;
  std::size_t depth_ = 0;
  const std::size_t max_depth_;
};

Problem Scanner::problem() const {
  std::string message = problem_;
  if (is_too_deep_) {
    message = "the JSON is nested deeper than " + std::to_string(max_depth_) + " containers, the limit `json_depth`";
  }
  return {std::move(message), static_cast<std::size_t>(at_ - begin_)};
}

// One escape; at_ is at its backslash.
bool Scanner::escape() {
  switch (*++at_) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': ++at_; return true;
    case 'u':
      ++at_;
      for (int i = 0; i < 4; ++i, ++at_) {
        if (!is_hex(*at_)) return fail("no JSON: \\u without four hexadecimal digits");
      }
      return true;
    default: return fail("no JSON: an unknown escape in a string");
  }
}

bool Scanner::string() {
  ++at_;
  const std::uint32_t begin = offset();
  bool escaped = false;
  for (;;) {
    at_ = end_of_plain(at_, end_);
    if (*at_ == '"') break;
    if (*at_ != '\\') return fail("no JSON: a control character in a string");
    escaped = true;
    if (!escape()) return false;
  }
  add(Type::String, begin, offset() - begin, escaped);
  ++at_;
  return true;
}

bool Scanner::number() {
  const std::uint32_t begin = offset();
  if (*at_ == '-') ++at_;
  if (!is_digit(*at_)) return fail("no JSON: a minus without a digit");
  if (*at_++ != '0') {
    while (is_digit(*at_)) ++at_;
  } else if (is_digit(*at_)) {
    return fail("no JSON: a number with a leading zero");
  }
  if (*at_ == '.') {
    ++at_;
    if (!is_digit(*at_)) return fail("no JSON: a number without a digit after its point");
    while (is_digit(*at_)) ++at_;
  }
  if (*at_ == 'e' || *at_ == 'E') {
    ++at_;
    if (*at_ == '+' || *at_ == '-') ++at_;
    if (!is_digit(*at_)) return fail("no JSON: a number without a digit in its exponent");
    while (is_digit(*at_)) ++at_;
  }
  add(Type::Number, begin, offset() - begin);
  return true;
}

bool Scanner::literal(std::string_view word, Type type) {
  const std::uint32_t begin = offset();
  for (char c : word) {
    if (*at_ != c) return fail("no JSON: an unknown word");
    ++at_;
  }
  add(type, begin, static_cast<std::uint32_t>(word.size()));
  return true;
}

bool Scanner::scalar() {
  switch (*at_) {
    case '"': return string();
    case 't': return literal("true", Type::Bool);
    case 'f': return literal("false", Type::Bool);
    case 'n': return literal("null", Type::Null);
    default:
      if (*at_ == '-' || is_digit(*at_)) return number();
      return fail("no JSON: a value is missing");
  }
}

bool Scanner::open(Type type) {
  is_too_deep_ = depth_ == max_depth_;
  if (is_too_deep_) return false;
  ++depth_;
  const auto index = static_cast<std::uint32_t>(nodes_.size());
  add(type, offset(), 0);
  nodes_.push_back({.extent = {.next = std::exchange(open_, index), .count = 0}});
  ++at_;
  skip_space();
  return true;
}

void Scanner::close() {
  ++at_;
  --depth_;
  Span& span = nodes_[open_].span;
  Extent& extent = nodes_[open_ + 1].extent;
  span.length = (offset() - span.begin) & kMask;
  open_ = std::exchange(extent.next, static_cast<std::uint32_t>(nodes_.size()));
}

// A key with its colon and the space behind it.
bool Scanner::key() {
  if (*at_ != '"') return fail("no JSON: a key in quotes is missing");
  if (!string()) return false;
  skip_space();
  if (*at_ != ':') return fail("no JSON: a colon is missing");
  ++at_;
  skip_space();
  return true;
}

// From the end of a value to the beginning of the next one; at_ stays at the end when the outermost value is complete.
bool Scanner::next() {
  while (depth_ > 0) {
    ++nodes_[open_ + 1].extent.count;
    skip_space();
    const bool object = nodes_[open_].span.type == Type::Object;
    if (*at_ == ',') {
      ++at_;
      skip_space();
      return !object || key();
    }
    if (*at_ != (object ? '}' : ']')) return fail("no JSON: a comma is missing");
    close();
  }
  return true;
}

bool Scanner::run() {
  skip_space();
  do {
    if (*at_ == '{') {
      if (!open(Type::Object)) return false;
      if (*at_ != '}') {
        if (!key()) return false;
        continue;
      }
      close();
    } else if (*at_ == '[') {
      if (!open(Type::Array)) return false;
      if (*at_ != ']') continue;
      close();
    } else if (!scalar()) {
      return false;
    }
    if (!next()) return false;
  } while (depth_ > 0);
  skip_space();
  if (at_ == end_) return true;
  problem_ = "no JSON: something follows the value";
  return false;
}

}  // namespace

bool is_utf8(std::string_view bytes) { return simdjson::validate_utf8(bytes.data(), bytes.size()); }

std::optional<Problem> Document::parse(std::string text, std::size_t max_depth) {
  text_ = std::move(text);
  return scan(max_depth);
}

std::optional<Problem> Document::parse_copy(std::string_view text, std::size_t max_depth) {
  text_.assign(text);
  return scan(max_depth);
}

std::optional<Problem> Document::scan(std::size_t max_depth) {
  nodes_.clear();
  if (text_.size() >= kMaxText) return Problem{"the JSON is larger than 512 MB", 0};
  if (text_.starts_with("\xEF\xBB\xBF")) return Problem{"no JSON: a byte order mark stands before the value", 0};
  // First, so that whoever quotes a text with another problem quotes valid UTF-8.
  if (!is_utf8(text_)) return Problem{"no JSON: the text is not valid UTF-8", 0};
  // A document of its own gets its nodes in one piece, and only those it has; one that is used again has room already.
  constexpr std::size_t kMostKept = 4096;
  thread_local std::vector<Node> kept;
  const bool first = nodes_.capacity() == 0;
  std::vector<Node>& nodes = first ? kept : nodes_;
  nodes.clear();
  Scanner scanner(text_, nodes, max_depth);
  if (!scanner.run()) {
    nodes.clear();
    if (nodes.capacity() > kMostKept) nodes.shrink_to_fit();
    Problem problem = scanner.problem();
    if (text_.find_first_not_of(" \n\r\t") == std::string::npos) problem.message = "no JSON: the text is empty";
    return problem;
  }
  if (first && nodes.size() <= kMostKept) {
    nodes_.assign(nodes.begin(), nodes.end());
  } else if (first) {
    nodes_.swap(nodes);
  }
  return std::nullopt;
}

}  // namespace orchestra::json
