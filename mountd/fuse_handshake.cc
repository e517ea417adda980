// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_handshake.h"

#include <linux/fuse.h>
#include <sys/uio.h>

#include <cstdlib>
#include <cstring>

namespace varve {
namespace {

/// The parts of fuse_init_in and fuse_init_out that decide how the two talk. The second word of
/// flags is newer than many headers.
struct InitRequest {
  fuse_in_header header;
  std::uint32_t major, minor, max_readahead, flags, flags2;
};
struct InitReply {
  fuse_out_header header;
  std::uint32_t major, minor, max_readahead, flags;
  std::uint16_t max_background, congestion_threshold;
  std::uint32_t max_write, time_gran;
  std::uint16_t max_pages, map_alignment;
  std::uint32_t flags2;
};

// Flags by which the kernel says what it can; it wants no answer to them.
constexpr std::uint32_t kNoOpenSupport = 1u << 17;
constexpr std::uint32_t kNoOpendirSupport = 1u << 24;
constexpr std::uint32_t kExtended = 1u << 30;
constexpr std::uint32_t kHasResend = 1u << (39 - 32);
constexpr std::uint32_t kHasExpireOnly = 1u << (35 - 32);
// A flag that the answer takes or leaves.
constexpr std::uint32_t kAllowIdmap = 1u << (40 - 32);

template <class T>
bool read_all(ByteView bytes, T& out) {
  if (bytes.size() < sizeof out) return false;
  std::memcpy(&out, bytes.data(), sizeof out);
  return true;
}

bool is_init(ByteView bytes) {
  fuse_in_header header{};
  return read_all(bytes, header) && header.opcode == FUSE_INIT;
}

Bytes gathered(const iovec* parts, int count) {
  Bytes out;
  for (int i = 0; i < count; ++i) {
    const auto* bytes = static_cast<const std::byte*>(parts[i].iov_base);
    out.insert(out.end(), bytes, bytes + parts[i].iov_len);
  }
  return out;
}

/// The reverse of gathered().
void scatter(ByteView bytes, const iovec* parts, int count) {
  for (int i = 0; i < count; ++i) {
    if (parts[i].iov_len != 0) std::memcpy(parts[i].iov_base, bytes.data(), parts[i].iov_len);
    bytes = bytes.subspan(parts[i].iov_len);
  }
}

/// VARVE_WITHOUT_RESEND stands for a kernel before 6.9, so that a test sees what happens there.
void hide_resend(Bytes& request) {
  InitRequest asked{};
  if (std::getenv("VARVE_WITHOUT_RESEND") == nullptr || !read_all(ByteView(request), asked)) return;
  asked.flags2 &= ~kHasResend;
  std::memcpy(request.data(), &asked, sizeof asked);
}

/// False if there is nothing to change: the kernel does not offer it, or INIT has failed.
bool add_idmap(ByteView request, Bytes& reply) {
  InitRequest asked{};
  InitReply said{};
  if (!read_all(request, asked) || !read_all(ByteView(reply), said)) return false;
  if ((asked.flags & kExtended) == 0 || (asked.flags2 & kAllowIdmap) == 0) return false;
  if (said.header.error != 0) return false;
  said.flags |= kExtended;  // the second word counts
  said.flags2 |= kAllowIdmap;
  std::memcpy(reply.data(), &said, sizeof said);
  return true;
}

}  // namespace

bool FuseAgreement::kernel_resends() const {
  InitRequest init{};
  return read_all(ByteView(request), init) && (init.flags & kExtended) != 0 &&
         (init.flags2 & kHasResend) != 0;
}

Bytes FuseAgreement::narrowed_request() const {
  InitRequest asked{};
  InitReply said{};
  Bytes out = request;
  if (!read_all(ByteView(request), asked) || !read_all(ByteView(reply), said)) return out;
  asked.flags &= said.flags | kNoOpenSupport | kNoOpendirSupport | kExtended;
  asked.flags2 &= said.flags2 | kHasResend | kHasExpireOnly;
  std::memcpy(out.data(), &asked, sizeof asked);
  return out;
}

bool FuseAgreement::is_same(ByteView other) const {
  InitReply mine{};
  InitReply theirs{};
  if (!read_all(ByteView(reply), mine) || !read_all(other, theirs)) return false;
  return mine.header.error == 0 && theirs.header.error == 0 && mine.major == theirs.major &&
         mine.minor == theirs.minor && mine.flags == theirs.flags && mine.flags2 == theirs.flags2 &&
         mine.max_write == theirs.max_write && mine.max_pages == theirs.max_pages &&
         mine.time_gran == theirs.time_gran;
}

void FuseHandshake::saw_request(ByteView request) {
  if (done_.load(std::memory_order_acquire) || !is_init(request)) return;
  const MutexLock lock(mutex_);
  agreement_.request.assign(request.begin(), request.end());
  hide_resend(agreement_.request);
}

bool FuseHandshake::saw_reply(const iovec* parts, int count) {
  if (done_.load(std::memory_order_acquire)) return false;
  const MutexLock lock(mutex_);
  if (agreement_.request.empty()) return false;
  agreement_.reply = gathered(parts, count);
  if (allows_idmap_ && add_idmap(ByteView(agreement_.request), agreement_.reply))
    scatter(ByteView(agreement_.reply), parts, count);
  const bool replayed = replaying_;
  replaying_ = false;
  done_.store(true, std::memory_order_release);
  return replayed;
}

void FuseHandshake::allow_idmapped_mounts() {
  const MutexLock lock(mutex_);
  allows_idmap_ = true;
}

void FuseHandshake::begin_replay() {
  const MutexLock lock(mutex_);
  replaying_ = true;
}

void FuseHandshake::keep(const FuseAgreement& agreement) {
  const MutexLock lock(mutex_);
  agreement_ = agreement;
}

FuseAgreement FuseHandshake::agreement() const {
  const MutexLock lock(mutex_);
  return agreement_;
}

}  // namespace varve
