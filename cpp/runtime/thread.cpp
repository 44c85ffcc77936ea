#include "runtime/thread.hpp"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace orchestra::runtime {
namespace {

// A thread inherits the mask of the one that starts it, so the starter blocks for the moment of the start.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int crash : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&blocked, crash);
    pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

std::thread start_thread(const std::string& name, std::function<void()> body) {
  const SignalsBlocked blocked;
  return std::thread([short_name = name.substr(0, 15), run = std::move(body)] {
#ifdef __linux__
    pthread_setname_np(pthread_self(), short_name.c_str());
#else
    pthread_setname_np(short_name.c_str());
#endif
    run();
  });
}

}  // namespace orchestra::runtime
