// SPDX-License-Identifier: Apache-2.0
#include "store/digest.h"

#include <openssl/evp.h>

#include <cerrno>
#include <memory>

#include "store/base/error.h"

namespace varve {

namespace {

/// One EVP context with SHA-256 fetched once: a fetch per object would cost more than the hash of a
/// small one.
class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
      throw StoreError(ENOMEM, "SHA-256: no EVP context");
    }
  }

  Digest run(ByteView content) {
    Digest digest;
    unsigned int size = 0;
    const bool done =
        EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1 &&
        EVP_DigestUpdate(context_.get(), content.data(), content.size()) == 1 &&
        EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.bytes.data()),
                           &size) == 1;
    if (!done || size != digest.bytes.size()) throw StoreError(EIO, "SHA-256: EVP failed");
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

Digest digest_of(ByteView content) {
  thread_local Hasher hasher;
  return hasher.run(content);
}

}  // namespace varve
