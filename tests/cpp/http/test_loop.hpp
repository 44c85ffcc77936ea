// TestLoop: an event loop that a test runs until a condition holds. The condition may look at what other threads do.
#pragma once

#include <functional>

#include "runtime/event_loop.hpp"

namespace orchestra::http {

class TestLoop {
 public:
  runtime::EventLoop& loop() { return loop_; }

  // False when it does not hold within ten seconds.
  bool run_until(const std::function<bool()>& condition) {
    const runtime::TimePoint last = loop_.now() + std::chrono::seconds(10);
    bool holds = condition();
    runtime::Timer look(loop_, [&] {
      holds = condition();
      if (holds || loop_.now() > last) {
        loop_.stop();
      } else {
        look.set(loop_.now() + std::chrono::microseconds(500));
      }
    });
    if (holds) return true;
    look.set(loop_.now());
    loop_.run();
    return holds;
  }
  void run_for(runtime::Duration duration) {
    runtime::Timer over(loop_, [&] { loop_.stop(); });
    over.set(loop_.now() + duration);
    loop_.run();
  }

 private:
  runtime::EventLoop loop_;
};

}  // namespace orchestra::http
