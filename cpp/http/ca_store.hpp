// Where the certificates of the authorities (CAs) are that TLS trusts. Every Linux keeps them elsewhere, and the TLS
// library of a wheel knows only the place of the system that it was built on.
#pragma once

#include <string>
#include <vector>

namespace orchestra::http {

struct CaStore {
  std::string file;       // a file of certificates (PEM), or ""
  std::string directory;  // a folder with a file for each, named by its hash, or ""
  std::vector<std::string> looked_at;

  [[nodiscard]] bool is_found() const { return !file.empty() || !directory.empty(); }
  // "no CA certificates found; looked at: ..., ...", and what to do.
  [[nodiscard]] std::string not_found_message() const;
};

// The places of a system, in the order in which they are looked at.
struct CaPlaces {
  std::vector<std::string> files;
  std::vector<std::string> directories;

  static CaPlaces of_linux();
};

// ca_file, when given, decides alone. Else the first that is there of: SSL_CERT_FILE, CURL_CA_BUNDLE, SSL_CERT_DIR (of
// the environment), the system's places, fallback_file (such as that of certifi; "": none).
CaStore find_ca_store(const std::string& ca_file, const std::string& fallback_file = "",
                      const CaPlaces& places = CaPlaces::of_linux());

}  // namespace orchestra::http
