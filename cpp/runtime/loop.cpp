#include "runtime/loop.hpp"

namespace orchestra::runtime {

void Timer::set(TimePoint due) {
  cancel();
  if (due == kNever) return;
  due_ = due;
  loop_.insert(*this);
}

void Timer::cancel() {
  if (place_ != kNotSet) loop_.remove(*this);
  due_ = kNever;
}

bool Loop::before(const Timer& a, const Timer& b) {
  return a.due_ != b.due_ ? a.due_ < b.due_ : a.sequence_ < b.sequence_;
}

void Loop::insert(Timer& timer) {
  timer.sequence_ = ++next_sequence_;
  timer.place_ = heap_.size();
  heap_.push_back(&timer);
  sift_up(timer.place_);
}

void Loop::remove(Timer& timer) {
  const std::size_t place = timer.place_;
  Timer* last = heap_.back();
  heap_.pop_back();
  timer.place_ = Timer::kNotSet;
  if (last == &timer) return;
  heap_[place] = last;
  last->place_ = place;
  sift_up(place);
  sift_down(last->place_);
}

void Loop::sift_up(std::size_t place) {
  Timer* timer = heap_[place];
  while (place > 0) {
    const std::size_t parent = (place - 1) / 2;
    if (!before(*timer, *heap_[parent])) break;
    heap_[place] = heap_[parent];
    heap_[place]->place_ = place;
    place = parent;
  }
  heap_[place] = timer;
  timer->place_ = place;
}

void Loop::sift_down(std::size_t place) {
  Timer* timer = heap_[place];
  while (true) {
    std::size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *timer)) break;
    heap_[place] = heap_[child];
    heap_[place]->place_ = place;
    place = child;
  }
  heap_[place] = timer;
  timer->place_ = place;
}

void Loop::fire(Timer& timer) {
  timer.cancel();
  // A copy, because the callback may destroy its timer and with it the function that is running.
  const std::function<void()> callback = timer.callback_;
  callback();
}

bool Loop::fire_one(TimePoint now) {
  if (next_due() > now || heap_.empty()) return false;
  fire(*heap_.front());
  return true;
}

void Loop::collect_due(TimePoint now, std::vector<Timer*>& due) const {
  // Below a timer that is not due none is, so only due ones and their children are looked at.
  const std::size_t first = due.size();
  if (heap_.empty() || heap_.front()->due_ > now) return;
  due.push_back(heap_.front());
  for (std::size_t next = first; next < due.size(); ++next) {
    const std::size_t child = 2 * due[next]->place_ + 1;
    for (std::size_t place = child; place < child + 2 && place < heap_.size(); ++place) {
      if (heap_[place]->due_ <= now) due.push_back(heap_[place]);
    }
  }
}

void Loop::run_turn_hooks() {
  // By index: a hook may add another.
  for (std::size_t i = 0; i < turn_hooks_.size(); ++i) turn_hooks_[i]();
}

}  // namespace orchestra::runtime
