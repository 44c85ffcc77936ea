// Calls: the calls of one consumer (an event loop, a map, a stream), and how he hears of them. It belongs to Python:
// everything here happens with the GIL, so the engine's thread never waits for it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "binding/core.hpp"
#include "binding/forks.hpp"
#include "binding/handle.hpp"
#include "binding/queue.hpp"

namespace orchestra::binding {

class Calls {
 public:
  // `future_type` makes the futures of begin() and next(), for this event loop, which is not kept alive; None for a
  // consumer that waits in wait() or collect().
  Calls(pybind11::object future_type, const pybind11::object& loop);
  ~Calls();
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  // A descriptor that is readable when deliver() has something to do.
  int fileno() { return queue_->descriptor(); }
  // Sets the futures of what has come.
  void deliver();

  // Starts a call: the future of its reply.
  pybind11::object begin(Core& core, const pybind11::dict& call);
  // The same; None when another loop runs in this thread, or this process is the child of a fork.
  pybind11::object begin_here(Core& core, const pybind11::dict& call);
  // Cancels the call of this future, if it runs; nothing is set any more.
  void cancel(pybind11::handle future, std::string why);

  // Starts a call whose reply collect() will put at this index. Returns size().
  std::size_t add(Core& core, const pybind11::dict& call, std::size_t index);
  // The same for many at once: each item is the messages of a call with these options; the first has this index.
  // Returns how many were started: it stops before one that is a row with options of its own, or cannot be started.
  std::size_t add_all(Core& core, const pybind11::dict& options, const pybind11::list& items, std::size_t index);
  // Puts the replies that have come at their index of the list and returns these, without waiting when `wait` is false.
  // Nothing in it can be interrupted once a reply was taken.
  std::vector<std::size_t> collect(const pybind11::list& replies, bool wait);
  void cancel_all(const std::string& why);
  // Calls that nobody has been told the end of.
  [[nodiscard]] std::size_t size() const { return slots_.size() - free_slots_.size(); }

  // A stream that is ready to be started.
  std::shared_ptr<Handle> open(Core& core, const pybind11::dict& call);
  // The future that is set when the stream has something.
  pybind11::object next(const Handle& handle);
  void close(const Handle& handle) { free(handle.ticket()); }
  // Waits until one of the streams has something.
  void wait();

  int traverse(visitproc visit, void* argument) const;
  void clear();

 private:
  static constexpr std::size_t kNoIndex = SIZE_MAX;

  struct Slot {
    PyObject* future = nullptr;  // owned; nullptr: nobody waits
    std::shared_ptr<engine::Call> call;
    std::weak_ptr<engine::Engine> engine;
    std::size_t index = kNoIndex;
    std::uint32_t generation = 0;
    bool used = false;
  };

  void start(Core& core, std::string json, std::size_t index);
  std::uint64_t take_slot();
  Slot* find(std::uint64_t ticket);
  void free(std::uint64_t ticket);
  static void cancel(Slot& slot, const std::string& why);

  [[nodiscard]] pybind11::object create_future() const;

  pybind11::object future_type_;
  pybind11::object loop_;  // a weak reference
  const unsigned forks_ = fork_count();
  std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<Announcement> announced_;  // memory of deliver() and collect()
};

void bind_calls(pybind11::module_& module);

}  // namespace orchestra::binding
