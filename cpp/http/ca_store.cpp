#include "http/ca_store.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace orchestra::http {

namespace {

bool is_file_with_content(const std::string& path) {
  std::error_code fault;
  return std::filesystem::is_regular_file(path, fault) && std::filesystem::file_size(path, fault) > 0 && !fault &&
         access(path.c_str(), R_OK) == 0;
}

// Names such as "5ed36f99.0", by which OpenSSL looks a certificate up.
bool is_hashed_name(const std::string& name) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return name.size() >= 10 && name[8] == '.' && std::all_of(name.begin(), name.begin() + 8, is_hex) &&
         std::all_of(name.begin() + 9, name.end(), is_digit);
}

bool is_directory_of_certificates(const std::string& path) {
  std::error_code fault;
  for (std::filesystem::directory_iterator entry(path, fault), end; !fault && entry != end; entry.increment(fault)) {
    if (is_hashed_name(entry->path().filename().string())) return true;
  }
  return false;
}

std::string of_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string CaStore::not_found_message() const {
  std::string message = "no CA certificates found; looked at: ";
  for (const std::string& place : looked_at) {
    if (&place != &looked_at.front()) message += ", ";
    message += place;
  }
  return message + " (install the package ca-certificates, or name a file with ca_file or SSL_CERT_FILE)";
}

CaPlaces CaPlaces::of_linux() {
  return {.files = {"/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Arch, Gentoo, Alpine
                    "/etc/pki/tls/certs/ca-bundle.crt",                   // Fedora, RHEL
                    "/etc/ssl/ca-bundle.pem",                             // openSUSE
                    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // RHEL 7 and later
                    "/etc/ssl/cert.pem"},                                 // Alpine, macOS
          .directories = {"/etc/ssl/certs", "/etc/pki/tls/certs"}};
}

CaStore find_ca_store(const std::string& ca_file, const std::string& fallback_file, const CaPlaces& places) {
  CaStore store;
  const auto look_at_file = [&store](const std::string& path, const std::string& shown) {
    if (path.empty() || store.is_found()) return;
    store.looked_at.push_back(shown);
    if (is_file_with_content(path)) store.file = path;
  };
  const auto look_at_directory = [&store](const std::string& path, const std::string& shown) {
    if (path.empty() || store.is_found()) return;
    store.looked_at.push_back(shown);
    if (is_directory_of_certificates(path)) store.directory = path;
  };
  if (!ca_file.empty()) {
    look_at_file(ca_file, ca_file);
    return store;
  }
  for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"}) {
    const std::string path = of_environment(name);
    look_at_file(path, std::string(name) + "=" + path);
  }
  // SSL_CERT_DIR may name several, as PATH does.
  const std::string directories = of_environment("SSL_CERT_DIR");
  for (std::size_t begin = 0; begin < directories.size();) {
    const std::size_t end = std::min(directories.find(':', begin), directories.size());
    const std::string path = directories.substr(begin, end - begin);
    look_at_directory(path, "SSL_CERT_DIR=" + path);
    begin = end + 1;
  }
  for (const std::string& path : places.files) look_at_file(path, path);
  for (const std::string& path : places.directories) look_at_directory(path, path);
  look_at_file(fallback_file, fallback_file);
  if (!store.is_found() && fallback_file.empty()) {
    store.looked_at.emplace_back("the Python package certifi, which is not installed");
  }
  return store;
}

}  // namespace orchestra::http
