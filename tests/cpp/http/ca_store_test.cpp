#include "http/ca_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

namespace orchestra::http {
namespace {

using testing::ElementsAre;

class CaStoreTest : public testing::Test {
 protected:
  CaStoreTest() {
    std::filesystem::create_directories(folder_);
    for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"}) {
      const char* value = std::getenv(name);
      before_[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
      unsetenv(name);
    }
  }
  ~CaStoreTest() override {
    for (const auto& [name, value] : before_) {
      if (value) setenv(name.c_str(), value->c_str(), 1);
      if (!value) unsetenv(name.c_str());
    }
    std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, const std::string& text = "certificates") {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
    return path(name);
  }

  const CaPlaces kNone{};

 private:
  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("orchestra_ca_" + std::to_string(getpid()));
  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(CaStoreTest, a_given_file_decides_alone) {
  const std::string given = write("given.pem");
  const std::string other = write("other.pem");
  setenv("SSL_CERT_FILE", other.c_str(), 1);
  EXPECT_EQ(find_ca_store(given, other, {.files = {other}}).file, given);
  const CaStore missing = find_ca_store(path("missing.pem"), other, {.files = {other}});
  EXPECT_FALSE(missing.is_found());
  EXPECT_THAT(missing.looked_at, ElementsAre(path("missing.pem")));
}

TEST_F(CaStoreTest, the_environment_comes_before_the_system_and_the_fallback_last) {
  const std::string first = write("first.pem");
  const std::string second = write("second.pem");
  const std::string system = write("system.pem");
  const std::string fallback = write("fallback.pem");
  write("hashed/5ed36f99.0");
  EXPECT_EQ(find_ca_store("", fallback, kNone).file, fallback);
  EXPECT_EQ(find_ca_store("", fallback, {.directories = {path("hashed")}}).directory, path("hashed"));
  EXPECT_EQ(find_ca_store("", fallback, {.files = {path("missing"), system}, .directories = {path("hashed")}}).file,
            system);
  setenv("SSL_CERT_DIR", (path("missing") + ":" + path("hashed")).c_str(), 1);
  EXPECT_EQ(find_ca_store("", fallback, {.files = {system}}).directory, path("hashed"));
  setenv("CURL_CA_BUNDLE", second.c_str(), 1);
  EXPECT_EQ(find_ca_store("", fallback, {.files = {system}}).file, second);
  setenv("SSL_CERT_FILE", first.c_str(), 1);
  EXPECT_EQ(find_ca_store("", fallback, {.files = {system}}).file, first);
}

TEST_F(CaStoreTest, passes_over_what_holds_nothing) {
  write("empty.pem", "");
  write("names/readme.txt");
  write("names/5ed36f99.x");
  setenv("SSL_CERT_FILE", path("empty.pem").c_str(), 1);
  setenv("SSL_CERT_DIR", path("names").c_str(), 1);
  const CaStore store = find_ca_store("", path("none.pem"), {.files = {path("names")}});
  EXPECT_FALSE(store.is_found());
  EXPECT_THAT(store.looked_at, ElementsAre("SSL_CERT_FILE=" + path("empty.pem"), "SSL_CERT_DIR=" + path("names"),
                                           path("names"), path("none.pem")));
}

TEST_F(CaStoreTest, says_where_it_looked) {
  EXPECT_EQ(find_ca_store("", "", {.files = {"/a.pem"}, .directories = {"/b"}}).not_found_message(),
            "no CA certificates found; looked at: /a.pem, /b, the Python package certifi, which is not installed "
            "(install the package ca-certificates, or name a file with "
            "ca_file or SSL_CERT_FILE)");
}

}  // namespace
}  // namespace orchestra::http
