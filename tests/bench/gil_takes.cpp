// Counts how often each thread takes the GIL on behalf of a compiled module: its entries in the tables of the dynamic
// linker are turned to functions that count and then call the interpreter's. For tests/bench/memory_client.py, by
// ctypes.
//
// Loaded after the module. Takes inside the interpreter itself (Python's own threads) are not seen.

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

namespace {

std::atomic<std::uint64_t> takes_of_main{0};
std::atomic<std::uint64_t> takes_of_others{0};

void count() {
  auto& takes = getpid() == static_cast<pid_t>(syscall(SYS_gettid)) ? takes_of_main : takes_of_others;
  takes.fetch_add(1, std::memory_order_relaxed);
}

using Ensure = int (*)();
using Restore = void (*)(void*);
Ensure real_ensure = nullptr;
Restore real_restore = nullptr;
Restore real_acquire = nullptr;

int ensure() {
  count();
  return real_ensure();
}
void restore(void* state) {
  count();
  real_restore(state);
}
void acquire(void* state) {
  count();
  real_acquire(state);
}

// Turns one entry; the page may be read-only since the start.
template <typename Function>
bool turn(ElfW(Addr) address, Function replacement, Function real) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  auto* const start = reinterpret_cast<void*>(address & ~(page - 1));
  if (real == nullptr || mprotect(start, page, PROT_READ | PROT_WRITE) != 0) return false;
  *reinterpret_cast<Function*>(address) = replacement;
  return true;
}

struct Search {
  std::string_view module;
  int turned = 0;
};

int visit(dl_phdr_info* info, std::size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  if (std::string_view(info->dlpi_name).find(search.module) == std::string_view::npos) return 0;
  const char* strings = nullptr;
  const ElfW(Sym)* symbols = nullptr;
  std::array<std::pair<const ElfW(Rela)*, std::size_t>, 2> tables{};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry) {
      const auto pointer = entry->d_un.d_ptr;
      if (entry->d_tag == DT_STRTAB) strings = reinterpret_cast<const char*>(pointer);
      if (entry->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(pointer);
      if (entry->d_tag == DT_RELA) tables[0].first = reinterpret_cast<const ElfW(Rela)*>(pointer);
      if (entry->d_tag == DT_RELASZ) tables[0].second = entry->d_un.d_val / sizeof(ElfW(Rela));
      if (entry->d_tag == DT_JMPREL) tables[1].first = reinterpret_cast<const ElfW(Rela)*>(pointer);
      if (entry->d_tag == DT_PLTRELSZ) tables[1].second = entry->d_un.d_val / sizeof(ElfW(Rela));
    }
  }
  if (strings == nullptr || symbols == nullptr) return 0;
  for (const auto& [table, size] : tables) {
    for (std::size_t i = 0; i < size; ++i) {
      const std::string_view name = strings + symbols[ELF64_R_SYM(table[i].r_info)].st_name;
      const ElfW(Addr) slot = info->dlpi_addr + table[i].r_offset;
      const bool turned = (name == "PyGILState_Ensure" && turn(slot, &ensure, real_ensure)) ||
                          (name == "PyEval_RestoreThread" && turn(slot, &restore, real_restore)) ||
                          (name == "PyEval_AcquireThread" && turn(slot, &acquire, real_acquire));
      if (turned) ++search.turned;
    }
  }
  return 0;
}

}  // namespace

extern "C" {

// Begins to count for the module whose file name holds this text; the number of functions that are counted, 0: none.
__attribute__((visibility("default"))) int gil_takes_begin(const char* module) {
  real_ensure = reinterpret_cast<Ensure>(dlsym(RTLD_DEFAULT, "PyGILState_Ensure"));
  real_restore = reinterpret_cast<Restore>(dlsym(RTLD_DEFAULT, "PyEval_RestoreThread"));
  real_acquire = reinterpret_cast<Restore>(dlsym(RTLD_DEFAULT, "PyEval_AcquireThread"));
  Search search{module};
  dl_iterate_phdr(&visit, &search);
  return search.turned;
}

__attribute__((visibility("default"))) std::uint64_t gil_takes_of_main() { return takes_of_main.load(); }
__attribute__((visibility("default"))) std::uint64_t gil_takes_of_others() { return takes_of_others.load(); }
}
