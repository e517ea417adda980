// SPDX-License-Identifier: Apache-2.0
#include "snapshot/ptr.h"

#include <algorithm>
#include <limits>

#include "store/objects.h"

namespace varve {

void Ptr::encode(ByteWriter& out) const {
  out.raw(digest.bytes);
  out.varint(stored_bytes);
  out.varint(data_bytes);
  out.varint(birth);
  out.u8(0);
}

Ptr Ptr::decode(ByteReader& in) {
  Ptr ptr;
  const ByteView digest = in.raw(ptr.digest.bytes.size());
  std::copy(digest.begin(), digest.end(), ptr.digest.bytes.begin());
  const std::uint64_t stored = in.varint();
  const std::uint64_t data = in.varint();
  ptr.birth = in.varint();
  if (stored > std::numeric_limits<std::uint32_t>::max()) in.fail("pointer's stored size");
  if (data == 0 || data > kMaxObjectBytes) in.fail("pointer's size is not that of an object");
  if (in.u8() != 0) in.fail("unknown pointer flags");
  ptr.stored_bytes = static_cast<std::uint32_t>(stored);
  ptr.data_bytes = static_cast<std::uint32_t>(data);
  return ptr;
}

}  // namespace varve
