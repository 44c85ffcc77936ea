// Unlocked: a stretch of work without the GIL, counted.
//
// A thread that wants the GIL back while the interpreter is being taken down is ended inside the destructor that asks
// for it, which terminates the process. So those that are without it are counted and waited for at the end, and after
// stop_unlocking() only the main thread, which ends the interpreter itself, still gives the GIL up.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

namespace orchestra::binding {

// Made and destroyed with the GIL.
class Unlocked {
 public:
  Unlocked();
  ~Unlocked();
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  std::optional<pybind11::gil_scoped_release> release_;
};

// Signals of Python are handled in this thread only. Asked each time: a thread that forks is the main one of the child.
bool is_main_thread();

// From now on other threads keep the GIL: they must wait for nothing that may not come by itself. Wants the GIL.
void stop_unlocking();
// Ends such a thread silently, as Python does with daemon threads: raises SystemExit.
void leave_if_ending();
// Threads that are without the GIL now.
int unlocked_threads();
// In a forked child: the threads of the parent do not exist.
void forget_unlocked_threads();

}  // namespace orchestra::binding
