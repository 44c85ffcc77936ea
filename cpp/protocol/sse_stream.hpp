// SseStream: what the stream decoders of all formats over server-sent events share: framing, JSON, end markers, limits.
// A format derives from it and folds one event after the other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "json/value.hpp"
#include "protocol/errors.hpp"
#include "protocol/format.hpp"
#include "protocol/framing/sse.hpp"

namespace orchestra::protocol {

class SseStream : public StreamDecoder {
 public:
  Status feed(std::string_view bytes, std::vector<chat::Delta>& deltas) final;
  Status end(std::vector<chat::Delta>& deltas) final;
  [[nodiscard]] bool is_done() const final { return done_; }

 protected:
  SseStream(const DecodeOptions& options, const ErrorPaths& error_paths);

  // Takes in one event; `event` is an object.
  virtual Status fold(std::string_view name, json::Value event, std::vector<chat::Delta>& deltas) = 0;
  // Takes in an event that is byte for byte the one that was told to repeats_but_for(), except for that text. `text` is
  // a JSON string with its quotes, and holds no escapes.
  virtual Status fold_text(std::string_view text, std::vector<chat::Delta>& deltas) = 0;
  // Appends the last deltas; is_finished() holds.
  virtual void finish(std::vector<chat::Delta>& deltas) = 0;

  // Inside fold(): the event may come again with another text in this place, a string, and would change nothing else.
  // Most events of a stream are like that, and taking their text alone costs a tenth of reading them.
  void repeats_but_for(json::Value text);

  // fold() saw the terminal event.
  void set_done() { done_ = true; }
  // Counts bytes that are kept until the end of the stream.
  Status hold(std::size_t bytes);

  const DecodeOptions options_;
  const ErrorPaths& error_paths_;

 private:
  Status take(const SseEvent& event, bool torn, std::vector<chat::Delta>& deltas);
  Status take_end(std::vector<chat::Delta>& deltas);
  [[nodiscard]] std::string_view repeated_text(const SseEvent& event) const;
  Status end_of_page();

  SseParser parser_;
  json::Document document_;
  // What stands around the text in the event that may come again, quotes included; "": none may.
  std::string before_text_, behind_text_, repeated_name_;
  std::size_t held_ = 0;
  bool done_ = false;
  bool ended_ = false;    // the last delta was given out
  bool begun_ = false;    // something other than white space came
  bool is_page_ = false;  // no event stream but a JSON body or a page, collected for its error
  std::string page_;
};

}  // namespace orchestra::protocol
