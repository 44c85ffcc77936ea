#include "chat/error.hpp"

namespace orchestra::chat {

std::string_view error_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Config: return "ConfigError";
    case ErrorKind::InvalidRequest: return "InvalidRequest";
    case ErrorKind::ContextTooLong: return "ContextTooLong";
    case ErrorKind::Unsupported: return "Unsupported";
    case ErrorKind::NoEligibleModel: return "NoEligibleModel";
    case ErrorKind::BudgetExceeded: return "BudgetExceeded";
    case ErrorKind::Authentication: return "AuthenticationError";
    case ErrorKind::PermissionDenied: return "PermissionDenied";
    case ErrorKind::NotFound: return "NotFound";
    case ErrorKind::RateLimited: return "RateLimited";
    case ErrorKind::Overloaded: return "Overloaded";
    case ErrorKind::ContentFiltered: return "ContentFiltered";
    case ErrorKind::Server: return "ServerError";
    case ErrorKind::Protocol: return "ProtocolError";
    case ErrorKind::Connect: return "ConnectError";
    case ErrorKind::Tls: return "TlsError";
    case ErrorKind::DeadlineExceeded: return "DeadlineExceeded";
    case ErrorKind::Interrupted: return "Interrupted";
    case ErrorKind::Cancelled: return "Cancelled";
  }
  return "OrchestraError";
}

}  // namespace orchestra::chat
