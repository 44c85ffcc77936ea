// Task: a coroutine that runs by itself. It starts when it is called and frees itself when it ends; its frame comes
// from a free list of its thread. Wake is what it waits for. Both belong to the loop's thread.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <new>
#include <utility>

#include "runtime/loop.hpp"

namespace orchestra::runtime {

// Frames of up to kSize bytes are kept for reuse, at most kMost of them.
class FrameList {
 public:
  static void* take(std::size_t size) {
    if (size > kSize) return ::operator new(size);
    auto& list = mine();
    if (list.head_ == nullptr) return ::operator new(kSize);
    Frame* frame = list.head_;
    list.head_ = frame->next;
    --list.count_;
    return frame;
  }
  static void give(void* memory, std::size_t size) {
    auto& list = mine();
    if (size > kSize || list.count_ == kMost) return ::operator delete(memory);
    list.head_ = ::new (memory) Frame{list.head_};
    ++list.count_;
  }

 private:
  static constexpr std::size_t kSize = 1024;
  static constexpr std::size_t kMost = 4096;
  struct Frame {
    Frame* next;
  };
  static FrameList& mine() {
    thread_local FrameList list;
    return list;
  }
  FrameList() = default;
  ~FrameList() {
    while (head_ != nullptr) {
      Frame* next = head_->next;
      ::operator delete(head_);
      head_ = next;
    }
  }
  Frame* head_ = nullptr;
  std::size_t count_ = 0;
};

struct Task {
  struct promise_type {
    static void* operator new(std::size_t size) { return FrameList::take(size); }
    static void operator delete(void* memory, std::size_t size) { FrameList::give(memory, size); }
    Task get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

// An event that resets itself: co_await returns once notify() was called since the last return. One waiter. The waiter
// is resumed by the loop, never from inside notify().
class Wake final : private Work {
 public:
  explicit Wake(Loop& loop) : loop_(loop) {}

  void notify() {
    if (set_) return;
    set_ = true;
    if (waiter_) loop_.post(*this);
  }

  // A small awaiter, so that a compiler that copies awaiters (GCC 12 does) copies a reference.
  struct Awaiter {
    Wake& wake;
    [[nodiscard]] bool await_ready() const noexcept { return std::exchange(wake.set_, false); }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept { wake.waiter_ = waiter; }
    void await_resume() const noexcept {}
  };
  Awaiter operator co_await() noexcept { return {*this}; }

 private:
  void run() override {
    set_ = false;
    std::exchange(waiter_, nullptr).resume();
  }

  Loop& loop_;
  std::coroutine_handle<> waiter_;
  bool set_ = false;
};

}  // namespace orchestra::runtime
