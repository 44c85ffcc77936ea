#include "protocol/raw_object.hpp"

namespace orchestra::protocol {

std::string& RawObject::slot(std::string_view name) {
  for (auto& [key, json] : members_) {
    if (key == name) return json;
  }
  growth_ += name.size();
  return members_.emplace_back(std::string(name), std::string()).second;
}

void RawObject::set(std::string_view name, std::string_view json) {
  std::string& held = slot(name);
  if (held == json || (json == "null" && !held.empty())) return;
  if (json.size() > held.size()) growth_ += json.size() - held.size();
  held.assign(json);
}

void RawObject::append(std::string_view name, std::string_view json) {
  std::string& held = slot(name);
  const bool strings = held.starts_with('"') && json.starts_with('"');
  const bool arrays = held.starts_with('[') && json.starts_with('[');
  if (!strings && !arrays) return set(name, json);
  growth_ += json.size();
  if (strings) return append_json_string(held, json);
  const std::string_view more = json.substr(1);
  const std::size_t first = more.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || more[first] == ']') return;
  held.pop_back();
  if (held.find_first_not_of(" \t\r\n", 1) != std::string::npos) held += ',';
  held += more;
}

void RawObject::merge(json::Value object) {
  std::string scratch;
  for (auto [key, value] : object.members()) set(member_name(key, scratch), value.raw());
}

std::string_view RawObject::get(std::string_view name) const {
  for (const auto& [key, json] : members_) {
    if (key == name) return json;
  }
  return {};
}

void RawObject::write_members(json::Writer& writer, std::string_view left_out) const {
  for (const auto& [key, json] : members_) {
    if (left_out.empty() || key != left_out) writer.key(key).raw(json);
  }
}

std::string_view member_name(json::Value key, std::string& scratch) {
  std::string_view raw = key.raw();
  raw = raw.substr(1, raw.size() - 2);
  if (raw.find('\\') == std::string_view::npos) return raw;
  scratch = key.string_or();
  return scratch;
}

void append_json_string(std::string& to, std::string_view json) {
  to.pop_back();
  to += json.substr(1);
}

void write_clean(json::Writer& writer, json::Value value) {
  const std::string_view raw = value.raw();
  if (raw.find("\\ud") == std::string_view::npos && raw.find("\\uD") == std::string_view::npos) {
    writer.raw(raw);
  } else if (value.is_string()) {
    writer.string(value.string_or());
  } else if (value.is_array()) {
    writer.begin_array();
    for (json::Value element : value.elements()) write_clean(writer, element);
    writer.end_array();
  } else if (value.is_object()) {
    writer.begin_object();
    for (auto [key, member] : value.members()) {
      writer.key(key.string_or());
      write_clean(writer, member);
    }
    writer.end_object();
  } else {
    writer.raw(raw);
  }
}

}  // namespace orchestra::protocol
