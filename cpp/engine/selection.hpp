// Selection: from the keywords of a call to the targets that will be asked, in order.
#pragma once

#include <memory>

#include "chat/request.hpp"
#include "chat/result.hpp"
#include "dispatch/call.hpp"
#include "engine/engine.hpp"

namespace orchestra::engine {

// Reads model, route, timeout, retry and drop_unsupported, and encodes the request for the first target. Fails with
// InvalidRequest (the message begins with the keyword's path), Config (no key) or Unsupported. Any thread.
Result<dispatch::CallSpec> select(const Settings& settings, std::shared_ptr<const chat::Request> request, bool stream);

}  // namespace orchestra::engine
