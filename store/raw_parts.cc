// SPDX-License-Identifier: Apache-2.0
#include "store/raw_parts.h"

#include <algorithm>
#include <cstring>

#include "store/checksum.h"

namespace varve {

namespace {

/// What an entry takes besides its checksums.
constexpr std::size_t kEntryBytes = 224;

}  // namespace

void RawParts::note(const Digest& digest, const Location& location, ByteView content) {
  if (objects_.capacity_bytes() == 0) return;
  auto object = std::make_shared<Object>();
  object->location = location;
  object->bytes = static_cast<std::uint32_t>(content.size());
  object->checksums.reserve((content.size() + kPartBytes - 1) / kPartBytes);
  for (std::size_t at = 0; at < content.size(); at += kPartBytes) {
    const ByteView part = content.subspan(at, std::min(kPartBytes, content.size() - at));
    object->checksums.push_back(checksum_of(part));
  }
  const std::size_t weight = kEntryBytes + object->checksums.size() * sizeof(std::uint64_t);
  objects_.insert(digest, std::move(object), weight);
}

std::optional<std::size_t> RawParts::read(const SegmentSet& segments, const Digest& digest,
                                          std::uint32_t offset, std::span<std::byte> out) {
  const auto object = objects_.find(digest);
  if (!object) return std::nullopt;
  if (offset >= object->bytes) return 0;
  const std::size_t size = std::min<std::size_t>(out.size(), object->bytes - offset);
  const bool sound = read_parts(segments, *object, offset, out.first(size));
  if (sound) return size;
  objects_.erase(digest);
  return std::nullopt;
}

bool RawParts::read_parts(const SegmentSet& segments, const Object& object, std::uint64_t offset,
                          std::span<std::byte> out) {
  const std::uint64_t begin = offset / kPartBytes * kPartBytes;
  const std::uint64_t end = std::min<std::uint64_t>(
      object.bytes, (offset + out.size() + kPartBytes - 1) / kPartBytes * kPartBytes);
  const bool aligned = begin == offset && end == offset + out.size();
  thread_local Bytes buffer;
  if (!aligned && buffer.size() < end - begin) buffer.resize(end - begin);
  const std::span<std::byte> parts = aligned ? out : std::span(buffer).first(end - begin);
  if (segments.read_payload(object.location, begin, parts) != parts.size()) return false;
  if (!is_sound(object, begin / kPartBytes, parts)) return false;
  if (!aligned) std::memcpy(out.data(), parts.data() + (offset - begin), out.size());
  return true;
}

bool RawParts::is_sound(const Object& object, std::size_t first_part, ByteView parts) {
  for (std::size_t at = 0; at < parts.size(); at += kPartBytes) {
    const ByteView part = parts.subspan(at, std::min(kPartBytes, parts.size() - at));
    if (checksum_of(part) != object.checksums.at(first_part + at / kPartBytes)) return false;
  }
  return true;
}

}  // namespace varve
