#include "binding/unlocked.hpp"

#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#else
#include <pthread.h>
#endif

#include <atomic>

namespace orchestra::binding {
namespace {

std::atomic<bool> stopped{false};
std::atomic<int> count{0};

bool keeps_lock() { return stopped && !is_main_thread(); }

}  // namespace

Unlocked::Unlocked() {
  if (keeps_lock()) return;
  ++count;
  release_.emplace();
}

Unlocked::~Unlocked() {
  if (!release_) return;
  release_.reset();
  --count;
}

bool is_main_thread() {
#ifdef __linux__
  return ::syscall(SYS_gettid) == ::getpid();
#else
  return pthread_main_np() != 0;
#endif
}

void stop_unlocking() { stopped = true; }
void leave_if_ending() {
  if (!keeps_lock()) return;
  PyErr_SetNone(PyExc_SystemExit);
  throw pybind11::error_already_set();
}
int unlocked_threads() { return count; }
void forget_unlocked_threads() { count = 0; }

}  // namespace orchestra::binding
