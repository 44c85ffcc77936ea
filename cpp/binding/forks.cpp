#include "binding/forks.hpp"

#include <pthread.h>

namespace orchestra::binding {

namespace {

unsigned forks = 0;  // changed in a child alone, before anything else runs there

}  // namespace

unsigned fork_count() { return forks; }

void count_forks() {
  pthread_atfork(nullptr, nullptr, [] { ++forks; });
}

}  // namespace orchestra::binding
