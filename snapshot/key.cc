// SPDX-License-Identifier: Apache-2.0
#include "snapshot/key.h"

#include <string>

#include "store/base/error.h"
#include "store/checksum.h"

namespace varve {
namespace {

constexpr std::uint64_t kHashMask = (std::uint64_t{1} << 55) - 1;

void store_big_endian(std::uint64_t value, std::byte* out) {
  for (int i = 7; i >= 0; --i) {
    out[i] = static_cast<std::byte>(value & 0xff);
    value >>= 8;
  }
}

std::uint64_t load_big_endian(const std::byte* in) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<std::uint64_t>(in[i]);
  return value;
}

}  // namespace

std::array<std::byte, Key::kEncodedBytes> Key::encode() const {
  std::array<std::byte, kEncodedBytes> out;
  store_big_endian(to_integer(ino), out.data());
  out[8] = static_cast<std::byte>(kind);
  store_big_endian(sub, out.data() + 9);
  return out;
}

Key Key::decode(ByteView bytes) {
  if (bytes.size() != kEncodedBytes) {
    throw CorruptionError("key: " + std::to_string(bytes.size()) + " bytes instead of 17");
  }
  const auto kind = static_cast<std::uint8_t>(bytes[8]);
  if (kind > static_cast<std::uint8_t>(Kind::kLinkref)) {
    throw CorruptionError("key: unknown kind " + std::to_string(kind));
  }
  return {Ino{load_big_endian(bytes.data())}, static_cast<Kind>(kind),
          load_big_endian(bytes.data() + 9)};
}

std::uint64_t name_slot_base(std::string_view name) {
  const std::uint64_t hash = checksum_of(as_bytes(name)) & kHashMask;
  return (hash == 0 ? 1 : hash) << 8;
}

}  // namespace varve
