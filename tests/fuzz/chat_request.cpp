// Fuzz target: Request never reads outside its text; it refuses with a message, or gives messages as a list.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "chat/request.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using orchestra::chat::Field;
  auto request = orchestra::chat::Request::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!request) {
    require(request.error().kind == orchestra::chat::ErrorKind::InvalidRequest);
    // The message goes to Python as text and stays short whatever came in, its path of at most four keys aside.
    require(request.error().message.find(": ") != std::string::npos);
    return 0;
  }
  const orchestra::chat::Request& accepted = **request;
  require(accepted[Field::Messages].is_array() && accepted[Field::Messages].size() > 0);
  for (orchestra::json::Value message : accepted[Field::Messages].elements()) require(message["role"].is_string());
  require(accepted.text_bytes() <= accepted.root().raw().size());
  // What was accepted is accepted again, and in the same form.
  auto again = orchestra::chat::Request::parse(std::string(accepted.root().raw()));
  require(again.has_value());
  require((**again)[Field::Messages].raw() == accepted[Field::Messages].raw());
  require((**again).text_bytes() == accepted.text_bytes());
  return 0;
}
