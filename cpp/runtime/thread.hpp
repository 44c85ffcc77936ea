// Starts a thread of the engine: named, and deaf to signals, so that Ctrl-C and the handlers of the program that embeds
// us always run on the program's own threads. The signals of a crash stay open: a fault must be reported where it is.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace orchestra::runtime {

// The thread on which exchanges, timers and dispatch live.
inline constexpr const char* kIoThreadName = "orchestra-io";

// Signals are blocked from the thread's first instruction on. The name is cut to 15 bytes.
[[nodiscard]] std::thread start_thread(const std::string& name, std::function<void()> body);

}  // namespace orchestra::runtime
