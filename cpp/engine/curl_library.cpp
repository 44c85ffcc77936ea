#include "engine/curl_library.hpp"

#include <dlfcn.h>

#include "http/curl_plugin.hpp"

namespace orchestra::engine {

using runtime::End;
using runtime::EndKind;
using runtime::ExchangeId;

namespace {

struct Plugin {
  http::MakeCurlExchange* make = nullptr;
  http::CurlVersion* version = nullptr;
  std::string fault;
};

// Beside the file that this code is in.
std::string plugin_path() {
  Dl_info here{};
  if (dladdr(reinterpret_cast<void*>(&plugin_path), &here) == 0 || here.dli_fname == nullptr) return http::kCurlPlugin;
  const std::string_view file = here.dli_fname;
  return std::string(file.substr(0, file.rfind('/') + 1)) + http::kCurlPlugin;
}

Plugin load_plugin() {
  Plugin plugin;
  const std::string path = plugin_path();
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    plugin.fault = "libcurl cannot be loaded: " + std::string(why != nullptr ? why : path);
    return plugin;
  }
  plugin.make = reinterpret_cast<http::MakeCurlExchange*>(dlsym(library, http::kMakeCurlExchange));
  plugin.version = reinterpret_cast<http::CurlVersion*>(dlsym(library, http::kCurlVersion));
  auto* const layout = reinterpret_cast<http::SharedLayout*>(dlsym(library, http::kSharedLayoutOf));
  if (plugin.make == nullptr || plugin.version == nullptr || layout == nullptr || layout() != http::kSharedLayout) {
    plugin.fault = path + " belongs to another build of orchestra: install the package again";
  }
  return plugin;
}

// Never unloaded: its code may run until the process ends.
const Plugin& the_plugin() {
  static const Plugin plugin = load_plugin();
  return plugin;
}

}  // namespace

CurlLibrary::CurlLibrary(runtime::EventLoop& loop, http::HeadLimits limits)
    : loop_(loop), limits_(limits), refused_timer_(loop, [this] { end_refused(); }) {}

void CurlLibrary::load() {
  const Plugin& plugin = the_plugin();
  fault_ = plugin.fault;
  if (fault_.empty()) exchange_.reset(plugin.make(loop_, limits_));
}

ExchangeId CurlLibrary::start(runtime::ExchangeRequest request, runtime::ExchangeSink& sink) {
  if (!exchange_ && fault_.empty()) load();
  if (exchange_) return exchange_->start(std::move(request), sink);
  refused_.emplace_back(++last_refused_, &sink);
  refused_timer_.set(loop_.now());
  return last_refused_;
}

void CurlLibrary::end_refused() {
  while (!refused_.empty()) {
    runtime::ExchangeSink* sink = refused_.back().second;
    refused_.pop_back();
    sink->on_end(End{EndKind::NotConnected, fault_});
  }
}

void CurlLibrary::pause(ExchangeId id) {
  if (exchange_) exchange_->pause(id);
}

void CurlLibrary::resume(ExchangeId id) {
  if (exchange_) exchange_->resume(id);
}

void CurlLibrary::cancel(ExchangeId id) {
  if (exchange_) return exchange_->cancel(id);
  std::erase_if(refused_, [id](const auto& entry) { return entry.first == id; });
}

std::string curl_version_text() {
  const Plugin& plugin = the_plugin();
  return plugin.fault.empty() ? plugin.version() : plugin.fault;
}

}  // namespace orchestra::engine
