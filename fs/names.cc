// SPDX-License-Identifier: Apache-2.0
#include "fs/names.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>

#include "snapshot/catalog_rows.h"
#include "snapshot/names.h"
#include "store/base/bytes.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::size_t kGeneratedDigits = 64;

}  // namespace

std::string generated_name() {
  std::random_device random;
  std::array<std::byte, kGeneratedDigits / 2> bytes{};
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return to_hex(bytes);
}

bool is_generated_name(const std::string& name) {
  return name.size() == kGeneratedDigits &&
         name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

SnapshotReference SnapshotReference::parse(const std::string& text) {
  const std::size_t at = text.find('@');
  if (at == std::string::npos) return {"", text};
  if (at == 0 || at + 1 == text.size() || text.find('@', at + 1) != std::string::npos)
    throw UserError(EINVAL, "'" + text + "' names no snapshot; write VOLUME@SNAPSHOT");
  return {text.substr(0, at), text.substr(at + 1)};
}

void check_snapshot(const std::string& name, const std::map<std::string, std::string>& labels) {
  validate_name(NameOf::kSnapshot, name);
  std::size_t bytes = 0;
  for (const auto& [key, value] : labels) bytes += key.size() + value.size() + 4;
  if (bytes > kMaxLabelBytes) {
    throw UserError(E2BIG, "The labels of snapshot " + name + " are too long. Use at most " +
                               std::to_string(kMaxLabelBytes) + " bytes");
  }
}

}  // namespace varve
