// Certificates that a test makes for itself, so that nothing expires in the repository.
#pragma once

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <string>

namespace orchestra::http {

inline constexpr long kHour = 3600;

class Certificate {
 public:
  // For one name ("DNS:models.test", "IP:127.0.0.1") and a time from now in seconds; it signs itself unless an issuer
  // does.
  Certificate(const char* alternative_name, long valid_from, long valid_to, const Certificate* issuer = nullptr)
      : Certificate(std::string("test"), valid_from, valid_to, issuer) {
    add(NID_subject_alt_name, alternative_name, issuer);
  }

  // One that signs others.
  static Certificate authority(const std::string& name) {
    Certificate made(name, -kHour, kHour, nullptr);
    made.add(NID_basic_constraints, "critical,CA:TRUE", nullptr);
    return made;
  }

  [[nodiscard]] X509* certificate() const { return certificate_.get(); }
  [[nodiscard]] EVP_PKEY* key() const { return key_.get(); }

  [[nodiscard]] std::string write_to(const std::string& path) const {
    std::FILE* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, certificate_.get());
    std::fclose(file);
    return path;
  }

 private:
  Certificate(const std::string& name, long valid_from, long valid_to, const Certificate* issuer)
      : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), certificate_(X509_new(), X509_free) {
    X509* x = certificate_.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), valid_from);
    X509_gmtime_adj(X509_getm_notAfter(x), valid_to);
    X509_set_pubkey(x, key_.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer == nullptr ? x : issuer->certificate()));
  }
  // Adds an extension and signs.
  void add(int kind, const char* value, const Certificate* issuer) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    X509_add_ext(certificate_.get(), extension, -1);
    X509_EXTENSION_free(extension);
    X509_sign(certificate_.get(), (issuer == nullptr ? *this : *issuer).key(), EVP_sha256());
  }

  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
  std::unique_ptr<X509, void (*)(X509*)> certificate_;
};

}  // namespace orchestra::http
