// Checks of messages, their parts and their tool calls.
#include "chat/request_check.hpp"

namespace orchestra::chat {
namespace {

Fault check_image(json::Value part, const Path& path) {
  const json::Value image = part["image_url"];
  const Path here(path, "image_url");
  if (image.is_string()) return {};
  if (!image.is_object()) return wrong_type(here, "an object with a url, or a string", image);
  return check_string(image, here, "url");
}

Fault check_audio(json::Value part, const Path& path) {
  const json::Value audio = part["input_audio"];
  const Path here(path, "input_audio");
  if (!audio.is_object()) return wrong_type(here, "an object with data", audio);
  if (Fault found = check_string(audio, here, "data")) return found;
  return check_optional_string(audio, here, "format");
}

Fault check_file(json::Value part, const Path& path) {
  const json::Value file = part["file"];
  const Path here(path, "file");
  if (!file.is_object()) return wrong_type(here, "an object with file_data or file_id", file);
  bool named = false;
  for (std::string_view key : {"file_data", "file_id", "file_url", "filename"}) {
    if (Fault found = check_optional_string(file, here, key)) return found;
    named = named || file[key];
  }
  return named ? Fault() : fault(here, "must have file_data, file_id or filename");
}

// Parts of other types are refused, except in an assistant message: there they are blocks of a provider that go back to
// it, such as thinking with its signature.
Fault check_part(json::Value part, const Path& path, Words types, bool others) {
  if (!part.is_object()) return wrong_type(path, "an object", part);
  const json::Value type = part["type"];
  if (!type.is_string()) return wrong_type({path, "type"}, "a string", type);
  if (!is_one_of(type, types)) return others ? Fault() : not_one_of({path, "type"}, type, types);
  if (type.is("text")) return check_string(part, path, "text");
  if (type.is("refusal")) return check_string(part, path, "refusal");
  if (type.is("image_url")) return check_image(part, path);
  if (type.is("input_audio")) return check_audio(part, path);
  return check_file(part, path);
}

Fault check_parts(json::Value content, const Path& path, Words types, bool others = false) {
  if (content.is_string()) return {};
  if (!content.is_array()) return wrong_type(path, "a string or a list of parts", content);
  std::size_t index = 0;
  for (json::Value part : content.elements()) {
    if (Fault found = check_part(part, {path, index++}, types, others)) return found;
  }
  return {};
}

Fault check_tool_call(json::Value call, const Path& path) {
  if (!call.is_object()) return wrong_type(path, "an object", call);
  if (Fault found = check_string(call, path, "id")) return found;
  if (Fault found = check_optional_string(call, path, "type")) return found;
  // A call of another type belongs to one provider and goes back to it.
  if (call["type"] && !call["type"].is("function")) return {};
  const Path here(path, "function");
  const json::Value function = call["function"];
  if (!function.is_object()) return wrong_type(here, "an object", function);
  if (Fault found = check_string(function, here, "name")) return found;
  return check_string(function, here, "arguments");
}

Fault check_assistant(json::Value message, const Path& path) {
  if (const json::Value content = message["content"]) {
    if (Fault found = check_parts(content, {path, "content"}, {"text", "refusal"}, true)) return found;
  }
  if (Fault found = check_optional_string(message, path, "refusal")) return found;
  const json::Value calls = message["tool_calls"];
  if (!calls) return {};
  const Path here(path, "tool_calls");
  if (!calls.is_array()) return wrong_type(here, "a list", calls);
  std::size_t index = 0;
  for (json::Value call : calls.elements()) {
    if (Fault found = check_tool_call(call, {here, index++})) return found;
  }
  return {};
}

Fault check_message(json::Value message, const Path& path) {
  if (!message.is_object()) return wrong_type(path, "an object", message);
  const json::Value role = message["role"];
  const json::Value content = message["content"];
  const Path here(path, "content");
  if (Fault found = check_optional_string(message, path, "name")) return found;
  if (role.is("user")) return check_parts(content, here, {"text", "image_url", "input_audio", "file"});
  if (role.is("assistant")) return check_assistant(message, path);
  if (role.is("system") || role.is("developer")) return check_parts(content, here, {"text"});
  if (role.is("tool")) {
    if (Fault found = check_string(message, path, "tool_call_id")) return found;
    return check_parts(content, here, {"text", "image_url", "file"});
  }
  return not_one_of({path, "role"}, role, {"system", "developer", "user", "assistant", "tool"});
}

}  // namespace

Fault check_messages(json::Value messages) {
  const Path path("messages");
  if (!messages.is_array()) return wrong_type(path, "a string, an object or a list of objects", messages);
  if (messages.size() == 0) return fault(path, "must not be empty");
  std::size_t index = 0;
  for (json::Value message : messages.elements()) {
    if (Fault found = check_message(message, {path, index++})) return found;
  }
  return {};
}

Fault check_system(json::Value system) { return check_parts(system, Path("system"), {"text"}); }

}  // namespace orchestra::chat
