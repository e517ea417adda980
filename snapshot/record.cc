// SPDX-License-Identifier: Apache-2.0
#include "snapshot/record.h"

#include <limits>

#include "store/base/error.h"
#include "store/objects.h"

namespace varve {
namespace {

/// The first byte of every record. A decoder refuses any other.
constexpr std::uint8_t kFormat = 1;

constexpr std::uint8_t kBlobInline = 0;
constexpr std::uint8_t kBlobPtr = 1;
/// An overlay keeps values of this size inline (the kernel's XATTR_SIZE_MAX); a tree does not.
constexpr std::size_t kInlineLimitBytes = 64 * 1024;
constexpr std::size_t kNameLimitBytes = 255;

constexpr std::uint32_t kTypeMask = 0170000;
constexpr std::uint32_t kModeMask = 0177777;
constexpr std::uint32_t kKnownInodeFlags =
    InodeFlags::kHasXattr | InodeFlags::kHasAcl | InodeFlags::kHasCaps | InodeFlags::kLinkrefs;
constexpr std::uint8_t kRegionHasBase = 1;

bool is_file_type(std::uint32_t type) {
  switch (type) {
    case 0010000:  // FIFO
    case 0020000:  // character device
    case 0040000:  // directory
    case 0060000:  // block device
    case 0100000:  // regular file
    case 0120000:  // symbolic link
    case 0140000:  // socket
      return true;
    default:
      return false;
  }
}

ByteReader reader_of(ByteView bytes, const char* subject) {
  ByteReader in(bytes, subject);
  if (in.u8() != kFormat) in.fail("unknown record format");
  return in;
}

std::uint32_t varint32(ByteReader& in) {
  const std::uint64_t value = in.varint();
  if (value > std::numeric_limits<std::uint32_t>::max()) in.fail("number over 32 bits");
  return static_cast<std::uint32_t>(value);
}

Ino decode_ino(ByteReader& in) {
  const std::uint64_t value = in.varint();
  if (value == 0) in.fail("inode number 0");
  return Ino{value};
}

std::string decode_name(ByteReader& in) {
  const ByteView bytes = in.sized();
  const std::string_view name = as_text(bytes);
  if (name.empty() || name.size() > kNameLimitBytes) in.fail("name's length");
  if (name.find('\0') != std::string_view::npos) in.fail("name with a zero byte");
  return std::string(name);
}

void encode_time(ByteWriter& out, const Time& time) {
  out.i64(time.seconds);
  out.u32(time.nanoseconds);
}

Time decode_time(ByteReader& in) {
  Time time;
  time.seconds = in.i64();
  time.nanoseconds = in.u32();
  if (time.nanoseconds >= 1'000'000'000) in.fail("nanoseconds");
  return time;
}

void encode_blob(ByteWriter& out, const Blob& blob) {
  if (blob.is_inline()) {
    out.u8(kBlobInline);
    out.sized(ByteView(blob.bytes()));
  } else {
    out.u8(kBlobPtr);
    blob.ptr().encode(out);
  }
}

ByteView decode_inline(ByteReader& in) {
  const ByteView bytes = in.sized();
  if (bytes.size() > kInlineLimitBytes) in.fail("inline bytes over 64 KiB");
  return bytes;
}

Blob decode_blob(ByteReader& in) {
  switch (in.u8()) {
    case kBlobInline: {
      const ByteView bytes = decode_inline(in);
      return {Bytes(bytes.begin(), bytes.end())};
    }
    case kBlobPtr:
      return {Ptr::decode(in)};
    default:
      in.fail("unknown form of a value");
  }
}

/// The pointer of a blob, without copying inline bytes.
std::optional<Ptr> decode_blob_ptr(ByteReader& in) {
  switch (in.u8()) {
    case kBlobInline:
      decode_inline(in);
      return std::nullopt;
    case kBlobPtr:
      return Ptr::decode(in);
    default:
      in.fail("unknown form of a value");
  }
}

/// Everything of an inode before its content.
InodeRecord decode_inode_head(ByteReader& in) {
  InodeRecord out;
  out.mode = varint32(in);
  if (out.mode > kModeMask || !is_file_type(out.mode & kTypeMask)) in.fail("mode");
  out.uid = varint32(in);
  out.gid = varint32(in);
  out.nlink = varint32(in);
  out.size = in.varint();
  if (out.size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    in.fail("size");
  }
  out.allocated = in.varint();
  out.rdev = in.varint();
  out.atime = decode_time(in);
  out.mtime = decode_time(in);
  out.ctime = decode_time(in);
  out.btime = decode_time(in);
  out.flags = varint32(in);
  if ((out.flags & ~kKnownInodeFlags) != 0) in.fail("unknown inode flags");
  out.generation = varint32(in);
  out.parent = Ino{in.varint()};
  out.name_cookie = in.u64();
  return out;
}

}  // namespace

Bytes InodeRecord::encode() const {
  Bytes bytes;
  bytes.reserve(96 + (content.is_inline() ? content.size() : 48));
  ByteWriter out(bytes);
  out.u8(kFormat);
  out.varint(mode);
  out.varint(uid);
  out.varint(gid);
  out.varint(nlink);
  out.varint(size);
  out.varint(allocated);
  out.varint(rdev);
  encode_time(out, atime);
  encode_time(out, mtime);
  encode_time(out, ctime);
  encode_time(out, btime);
  out.varint(flags);
  out.varint(generation);
  out.varint(to_integer(parent));
  out.u64(name_cookie);
  encode_blob(out, content);
  return bytes;
}

InodeRecord InodeRecord::decode(ByteView bytes) {
  ByteReader in = reader_of(bytes, "inode record");
  InodeRecord out = decode_inode_head(in);
  out.content = decode_blob(in);
  // Readers copy `size` bytes of what is inline.
  if (out.content.is_inline() && out.content.size() != 0 && out.content.size() != out.size)
    in.fail("inline content of another size than the file's");
  in.expect_done();
  return out;
}

Bytes DirentRecord::encode() const {
  Bytes bytes;
  bytes.reserve(name.size() + 16);
  ByteWriter out(bytes);
  out.u8(kFormat);
  out.u8(static_cast<std::uint8_t>(type >> 12));
  out.varint(to_integer(ino));
  out.sized(name);
  return bytes;
}

DirentRecord DirentRecord::decode(ByteView bytes) {
  ByteReader in = reader_of(bytes, "directory entry");
  DirentRecord out;
  out.type = static_cast<std::uint32_t>(in.u8()) << 12;
  if (!is_file_type(out.type)) in.fail("file type");
  out.ino = decode_ino(in);
  out.name = decode_name(in);
  if (out.name == "." || out.name == ".." || out.name.find('/') != std::string::npos) {
    in.fail("name that no entry can have");
  }
  in.expect_done();
  return out;
}

Bytes XattrRecord::encode() const {
  Bytes bytes;
  ByteWriter out(bytes);
  out.u8(kFormat);
  out.sized(name);
  encode_blob(out, value);
  return bytes;
}

XattrRecord XattrRecord::decode(ByteView bytes) {
  ByteReader in = reader_of(bytes, "extended attribute");
  XattrRecord out;
  out.name = decode_name(in);
  out.value = decode_blob(in);
  in.expect_done();
  return out;
}

Bytes LinkrefRecord::encode() const {
  Bytes bytes;
  ByteWriter out(bytes);
  out.u8(kFormat);
  out.varint(to_integer(parent));
  out.u64(cookie);
  return bytes;
}

LinkrefRecord LinkrefRecord::decode(ByteView bytes) {
  ByteReader in = reader_of(bytes, "link reference");
  LinkrefRecord out;
  out.parent = decode_ino(in);
  out.cookie = in.u64();
  in.expect_done();
  return out;
}

Bytes RegionRecord::encode() const {
  Bytes bytes;
  ByteWriter out(bytes);
  out.u8(kFormat);
  out.u8(base ? kRegionHasBase : 0);
  out.u8(holes);
  std::uint8_t present = 0;
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if (blocks[i]) present = static_cast<std::uint8_t>(present | 1u << i);
  }
  out.u8(present);
  if (base) base->encode(out);
  for (const std::optional<Ptr>& block : blocks) {
    if (block) block->encode(out);
  }
  return bytes;
}

RegionRecord RegionRecord::decode(ByteView bytes) {
  ByteReader in = reader_of(bytes, "region record");
  RegionRecord out;
  const std::uint8_t flags = in.u8();
  if ((flags & ~kRegionHasBase) != 0) in.fail("unknown region flags");
  out.holes = in.u8();
  const std::uint8_t present = in.u8();
  if ((flags & kRegionHasBase) != 0) out.base = Ptr::decode(in);
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if ((present >> i & 1) == 0) continue;
    out.blocks[i] = Ptr::decode(in);
    if (out.blocks[i]->data_bytes > kBlockBytes) in.fail("block over 16 KiB");
  }
  in.expect_done();
  return out;
}

std::uint64_t RegionRecord::allocated() const {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if ((holes >> i & 1) != 0) continue;
    if (blocks[i] || (base && base->data_bytes > i * kBlockBytes)) out += kBlockBytes;
  }
  return out;
}

Bytes HeadInfoRecord::encode() const {
  Bytes bytes;
  ByteWriter out(bytes);
  out.u8(kFormat);
  out.u64(next_ino);
  out.u64(inodes);
  out.u64(logical_bytes);
  out.u64(quota_bytes);
  out.u64(quota_inodes);
  return bytes;
}

HeadInfoRecord HeadInfoRecord::decode(ByteView bytes) {
  ByteReader in = reader_of(bytes, "head information");
  HeadInfoRecord out;
  out.next_ino = in.u64();
  if (out.next_ino <= to_integer(kRootIno)) in.fail("next inode number");
  out.inodes = in.u64();
  out.logical_bytes = in.u64();
  out.quota_bytes = in.u64();
  out.quota_inodes = in.u64();
  in.expect_done();
  return out;
}

bool may_hold_pointers(Kind kind) {
  return kind == Kind::kInode || kind == Kind::kXattr || kind == Kind::kRegion;
}

void visit_pointers(Kind kind, ByteView value, const std::function<void(const Ptr&)>& visit) {
  std::optional<Ptr> ptr;
  switch (kind) {
    case Kind::kHeadInfo:
    case Kind::kOrphan:
    case Kind::kDirent:
    case Kind::kLinkref:
      return;
    case Kind::kInode: {
      ByteReader in = reader_of(value, "inode record");
      decode_inode_head(in);
      ptr = decode_blob_ptr(in);
      in.expect_done();
      break;
    }
    case Kind::kXattr: {
      ByteReader in = reader_of(value, "extended attribute");
      in.sized();
      ptr = decode_blob_ptr(in);
      in.expect_done();
      break;
    }
    case Kind::kRegion: {
      const RegionRecord region = RegionRecord::decode(value);
      if (region.base) visit(*region.base);
      for (const std::optional<Ptr>& block : region.blocks) {
        if (block) visit(*block);
      }
      return;
    }
  }
  if (ptr) visit(*ptr);
}

}  // namespace varve
