// SPDX-License-Identifier: Apache-2.0
#include "store/base/bytes.h"

#include "store/base/error.h"

namespace varve {

std::uint64_t ByteReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t byte = u8();
    if (shift == 63 && byte > 1) fail("varint over 64 bits");
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail("varint over ten bytes");
}

ByteView ByteReader::sized() {
  const std::uint64_t size = varint();
  if (size > remaining()) fail("truncated");
  return take(static_cast<std::size_t>(size));
}

void ByteReader::expect_done() const {
  if (!done()) fail("trailing bytes");
}

void ByteReader::fail(const std::string& what) const {
  throw CorruptionError(std::string(subject_) + ": " + what + " at byte " +
                        std::to_string(offset_));
}

std::string to_hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    out.push_back(kDigits[static_cast<unsigned>(byte) >> 4]);
    out.push_back(kDigits[static_cast<unsigned>(byte) & 15]);
  }
  return out;
}

}  // namespace varve
