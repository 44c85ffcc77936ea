// Content parts of the canonical shape as blocks of this format.
#include <array>
#include <utility>

#include "protocol/anthropic_messages/anthropic_messages.hpp"
#include "protocol/data_url.hpp"
#include "protocol/utf8.hpp"

namespace orchestra::protocol::anthropic_messages {

namespace {

using json::Value;
using json::Writer;

// What a caller may put beside a part for this format.
constexpr std::array<std::string_view, 4> kPartKeys = {"cache_control", "citations", "title", "context"};

Writer& begin_block(Writer& writer, std::string_view type) { return writer.begin_object().member("type", type); }

void end_block(Writer& writer, Value part, const PartPlace& place, bool has_title = false) {
  for (const std::string_view key : kPartKeys) {
    if (place.is_foreign || !part[key] || (has_title && key == "title")) continue;
    writer.key(key).raw(part[key].raw());
  }
  writer.end_object();
}

void write_base64_source(Writer& writer, const DataUrl& data) {
  writer.key("source").begin_object().member("type", "base64").member("media_type", data.media_type);
  writer.member("data", data.base64).end_object();
}

void write_image(Writer& writer, Value part, const PartPlace& place, Refusals& refusals) {
  const Value image = part["image_url"];
  const std::string url = image.is_string() ? image.string_or() : image["url"].string_or();
  begin_block(writer, "image");
  if (const auto data = parse_data_url(url)) {
    write_base64_source(writer, *data);
  } else if (url.starts_with("http://") || url.starts_with("https://")) {
    writer.key("source").begin_object().member("type", "url").member("url", url).end_object();
  } else {
    refusals.invalid(place.path + ".image_url", "is neither a data URL with base64 nor an http(s) URL");
  }
  end_block(writer, part, place);
}

std::string_view type_by_name(std::string_view filename) {
  if (filename.ends_with(".txt") || filename.ends_with(".md") || filename.ends_with(".csv")) return "text/plain";
  return "application/pdf";
}

void write_document(Writer& writer, const DataUrl& data, const PartPlace& place, Refusals& refusals) {
  if (data.media_type == "application/pdf") return write_base64_source(writer, data);
  const std::string text = decode_base64(data.base64);
  if (!is_utf8(text)) return refusals.invalid(place.path + ".file.file_data", "a text document must be UTF-8");
  writer.key("source").begin_object().member("type", "text").member("media_type", "text/plain");
  writer.member("data", text).end_object();
}

// An image, a PDF, a text, or the id of an uploaded file.
void write_file(Writer& writer, Value part, const PartPlace& place, Refusals& refusals, bool& needs_files) {
  const Value file = part["file"];
  const std::string name = file["filename"].string_or();
  const std::string content = file["file_data"].string_or();
  if (content.empty()) {
    begin_block(writer, "document");
    if (file["file_id"]) {
      needs_files = true;
      writer.key("source").begin_object().member("type", "file").key("file_id").raw(file["file_id"].raw()).end_object();
    } else if (file["file_url"]) {
      writer.key("source").begin_object().member("type", "url").key("url").raw(file["file_url"].raw()).end_object();
    } else {
      refusals.invalid(place.path + ".file", "has neither file_data nor file_id");
    }
    return end_block(writer, part, place);
  }
  auto data = parse_data_url(content);
  if (!data && !content.starts_with("data:")) {
    if (auto base64 = standard_base64(content)) data = DataUrl{std::string(type_by_name(name)), *std::move(base64)};
  }
  if (!data) {
    refusals.invalid(place.path + ".file.file_data", "is no base64");
    writer.null();
    return;
  }
  const bool is_image = data->media_type.starts_with("image/");
  begin_block(writer, is_image ? "image" : "document");
  if (is_image) {
    write_base64_source(writer, *data);
  } else if (data->media_type == "application/pdf" || data->media_type.starts_with("text/") ||
             data->media_type == "application/json") {
    write_document(writer, *data, place, refusals);
    if (!name.empty()) writer.member("title", name);
  } else {
    refusals.refuse("file", "media type " + data->media_type + " at " + place.path);
    // With drop_unsupported the name of the file is what remains of it.
    writer.key("source").begin_object().member("type", "text").member("media_type", "text/plain");
    writer.member("data", name.empty() ? "(file)" : name).end_object();
  }
  end_block(writer, part, place, !name.empty());
}

bool is_block_of_ours(Value part) {
  return (part["type"].is("thinking") && part["signature"]) || part["type"].is("redacted_thinking");
}

}  // namespace

void write_part(Value part, const PartPlace& place, std::string& blocks, Refusals& refusals, bool& needs_files) {
  const std::string type = part["type"].string_or();
  std::string block;
  Writer writer(block);
  if (type == "text" || type == "refusal") {
    if (part[type].raw().size() <= 2) return;  // an empty text block is refused by the service
    if (place.is_own && type == "text") {
      block = part.raw();
    } else {
      begin_block(writer, "text").key("text").raw(part[type].raw());
      end_block(writer, part, place);
    }
  } else if (type == "image_url") {
    write_image(writer, part, place, refusals);
  } else if (type == "file") {
    write_file(writer, part, place, refusals, needs_files);
  } else if (type == "input_audio") {
    return refusals.refuse("input_audio", "this format takes no audio, at " + place.path);
  } else if (place.is_own || (!place.is_foreign && is_block_of_ours(part))) {
    block = part.raw();
  } else {
    return;
  }
  if (!blocks.empty()) blocks += ',';
  blocks += block;
}

}  // namespace orchestra::protocol::anthropic_messages
