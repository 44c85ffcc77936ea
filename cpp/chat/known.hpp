// Known: what is said of a capability. Unknown is not No.
#pragma once

#include <cstdint>

namespace orchestra::chat {

enum class Known : std::uint8_t { Unknown, Yes, No };

}  // namespace orchestra::chat
