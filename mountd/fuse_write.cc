// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_write.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "mountd/fuse_answer.h"

namespace varve::fuse {
namespace {

/// Writes that wait for a slow thread hold a copy of their data each.
constexpr std::size_t kMaxWaitingWrites = 64;

/// True if the writer lacks CAP_FSETID, so that setuid and setgid must go. Where the kernel's flag
/// is out of reach, everybody but root does.
template <class Info>
bool clears_setid(fuse_req_t request, const Info& info) {
  if (!over_uring(request) && FuseTraffic::wire_request().known)
    return FuseTraffic::wire_request().kills_setid;
  if constexpr (requires { info.kill_suidgid; }) return info.kill_suidgid != 0;
  return !info.writepage && fuse_req_ctx(request)->uid != 0;
}

/// A write may be held back while the store is behind. When half of the threads are in writes, the
/// next ones go elsewhere, with a copy of their data, so that threads are left for the rest.
bool should_hand_off(const FuseConnection& connection, const InlineCall& running, bool uring) {
  const unsigned limit = uring ? 1 : std::max(1u, connection.options.max_threads / 2);
  return running.others() >= limit && connection.slow.waiting() < kMaxWaitingWrites;
}

}  // namespace

void write(fuse_req_t request, fuse_ino_t ino, const char* data, std::size_t size, off_t offset,
           fuse_file_info* info) {
  FuseConnection& connection = begin(request, RequestType::kWrite);
  FuseTraffic::WriteTicket ticket = connection.traffic.take_write_ticket(info->writepage);
  const ByteView bytes = as_bytes({data, size});
  const bool clear_setid = clears_setid(request, *info);
  if (size >= kLongCopy) about_to_wait();
  const ServedRequest served = served_request(request);
  ToldAnswered afterwards(connection, served.id);
  const auto body = [request, served, ino, offset, clear_setid](ByteView view) {
    const Written reply{view.size()};
    return make_once(
        volume_of(request), served,
        [&] {
          volume_of(request).write(Ino{ino}, unsigned_offset(offset), view, clear_setid);
          return reply;
        },
        [&](const AppliedRequest&) { return reply; });
  };
  const InlineCall running(connection.inline_writes);
  if (!should_hand_off(connection, running, over_uring(request))) {
    answer(request, [&] { return body(bytes); });
    return;
  }
  struct Held {
    Bytes data;
    FuseTraffic::WriteTicket ticket;
    ToldAnswered afterwards;
  };
  auto held = std::make_shared<Held>(
      Held{Bytes(bytes.begin(), bytes.end()), std::move(ticket), std::move(afterwards)});
  answer_slowly(request, [held = std::move(held), body] { return body(held->data); });
}

}  // namespace varve::fuse
