// SPDX-License-Identifier: Apache-2.0
#include "store/commit_delta.h"

#include <algorithm>

#include "store/base/error.h"

namespace varve {

namespace {

constexpr std::uint8_t kDeltaVersion = 1;
constexpr std::uint8_t kPlaced = 1;
constexpr std::uint8_t kMirrored = 2;
constexpr std::uint8_t kHeals = 4;
constexpr std::uint8_t kMetadataKind = 8;
constexpr std::uint8_t kKnownFlags = kPlaced | kMirrored | kHeals | kMetadataKind;

/// The smallest encodings, which bound the counts that a decoder believes.
constexpr std::size_t kMinBirthBytes = 32 + 2;
constexpr std::size_t kMinReleaseBytes = 32 + 1;

void put_birth(ByteWriter& out, const CommitDelta::Birth& birth) {
  const Placement& placement = birth.placement;
  const bool placed = placement.primary.present();
  const bool mirrored = placement.mirror.present();
  const bool metadata = placement.kind == ObjectKind::kMetadata;
  out.raw(birth.digest.bytes);
  out.u8(static_cast<std::uint8_t>((placed ? kPlaced : 0) | (mirrored ? kMirrored : 0) |
                                   (birth.heals ? kHeals : 0) | (metadata ? kMetadataKind : 0)));
  out.varint(birth.births);
  if (!placed) return;
  out.varint(placement.primary.segment);
  out.varint(placement.primary.offset);
  out.varint(placement.stored_bytes);
  out.varint(placement.data_bytes);
  if (!mirrored) return;
  out.varint(placement.mirror.segment);
  out.varint(placement.mirror.offset);
}

Digest take_object_digest(ByteReader& in) {
  Digest digest;
  const ByteView bytes = in.raw(digest.bytes.size());
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

Location take_location(ByteReader& in) {
  Location location;
  location.segment = in.varint();
  location.offset = in.varint();
  if (!location.present()) in.fail("a record in segment 0");
  return location;
}

CommitDelta::Birth take_birth(ByteReader& in) {
  CommitDelta::Birth birth;
  birth.digest = take_object_digest(in);
  const std::uint8_t flags = in.u8();
  if ((flags & ~kKnownFlags) != 0) in.fail("unknown flags");
  birth.births = in.varint();
  birth.heals = (flags & kHeals) != 0;
  const bool placed = (flags & kPlaced) != 0;
  if (!placed && (flags & (kMirrored | kHeals)) != 0) in.fail("flags of a record without one");
  birth.placement.kind = (flags & kMetadataKind) != 0 ? ObjectKind::kMetadata : ObjectKind::kData;
  if (!placed) return birth;
  birth.placement.primary = take_location(in);
  const std::uint64_t stored_bytes = in.varint();
  const std::uint64_t data_bytes = in.varint();
  if (stored_bytes > 2 * kMaxObjectBytes || data_bytes == 0 || data_bytes > kMaxObjectBytes) {
    in.fail("impossible size");
  }
  birth.placement.stored_bytes = static_cast<std::uint32_t>(stored_bytes);
  birth.placement.data_bytes = static_cast<std::uint32_t>(data_bytes);
  if ((flags & kMirrored) != 0) birth.placement.mirror = take_location(in);
  return birth;
}

template <class Entry>
void expect_ascending(ByteReader& in, const std::vector<Entry>& entries) {
  const std::size_t count = entries.size();
  if (count >= 2 && !(entries[count - 2].digest < entries[count - 1].digest)) {
    in.fail("digests out of order");
  }
}

std::size_t take_count(ByteReader& in, std::size_t min_bytes) {
  const std::uint64_t count = in.varint();
  if (count > in.remaining() / min_bytes) in.fail("impossible count");
  return static_cast<std::size_t>(count);
}

}  // namespace

Bytes CommitDelta::encode() const {
  Bytes bytes;
  bytes.reserve(16 + births.size() * 64 + releases.size() * 34);
  ByteWriter out(bytes);
  out.u8(kDeltaVersion);
  out.u64(csn);
  out.varint(births.size());
  for (const Birth& birth : births) put_birth(out, birth);
  out.varint(releases.size());
  for (const Release& release : releases) {
    out.raw(release.digest.bytes);
    out.varint(release.count);
  }
  return bytes;
}

CommitDelta CommitDelta::decode(ByteView bytes) {
  ByteReader in(bytes, "commit delta");
  if (in.u8() != kDeltaVersion) in.fail("unknown version");
  CommitDelta delta;
  delta.csn = in.u64();
  const std::size_t births = take_count(in, kMinBirthBytes);
  delta.births.reserve(births);
  for (std::size_t i = 0; i < births; ++i) {
    delta.births.push_back(take_birth(in));
    expect_ascending(in, delta.births);
  }
  const std::size_t releases = take_count(in, kMinReleaseBytes);
  delta.releases.reserve(releases);
  for (std::size_t i = 0; i < releases; ++i) {
    Release release;
    release.digest = take_object_digest(in);
    release.count = in.varint();
    delta.releases.push_back(release);
    expect_ascending(in, delta.releases);
  }
  in.expect_done();
  return delta;
}

}  // namespace varve
