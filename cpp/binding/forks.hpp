// How often this process is the child of a fork: what belongs to a parent's engine has no thread here.
#pragma once

namespace orchestra::binding {

unsigned fork_count();

// Once, when the module is loaded.
void count_forks();

}  // namespace orchestra::binding
