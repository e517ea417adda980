// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_traffic.h"

#include <algorithm>

namespace varve {
namespace {

constexpr std::array<const char*, kRequestTypes> kNames = {
    "lookup",      "forget",     "getattr",  "setattr", "readlink",  "mknod",    "mkdir",
    "symlink",     "tmpfile",    "link",     "unlink",  "rmdir",     "rename",   "open",
    "read",        "write",      "flush",    "release", "fsync",     "opendir",  "readdir",
    "readdirplus", "releasedir", "fsyncdir", "statfs",  "setxattr",  "getxattr", "listxattr",
    "removexattr", "access",     "create",   "ioctl",   "fallocate", "lseek",    "copy_file_range",
};

}  // namespace

/// What the calling thread has read last. Its reader counts as moved when the thread ends.
struct FuseTraffic::ThisThread {
  ~ThisThread() {
    if (reader != nullptr && reader->moves.load() % 2 == 1) reader->moves.fetch_add(1);
  }
  std::shared_ptr<Reader> reader;
  WireRequest request;
  WriteTicket ticket;
};

FuseTraffic::ThisThread& FuseTraffic::this_thread() {
  thread_local ThisThread state;
  return state;
}

FuseTraffic::WriteTicket& FuseTraffic::WriteTicket::operator=(WriteTicket&& other) noexcept {
  if (this != &other) {
    end();
    traffic_ = other.traffic_;
    turn_ = other.turn_;
    other.traffic_ = nullptr;
  }
  return *this;
}

void FuseTraffic::WriteTicket::end() noexcept {
  if (traffic_ != nullptr) traffic_->end_write(turn_);
  traffic_ = nullptr;
}

std::map<std::string, std::uint64_t> FuseTraffic::requests() const {
  std::map<std::string, std::uint64_t> out;
  for (std::size_t i = 0; i < kRequestTypes; ++i) {
    const std::uint64_t count = requests_[i].load(std::memory_order_relaxed);
    if (count != 0) out[kNames[i]] = count;
  }
  return out;
}

FuseTraffic::WriteTicket FuseTraffic::begin_write(bool from_page_cache) {
  if (from_page_cache) page_cache_writes_.fetch_add(1);
  MutexLock lock(writes_mutex_);
  ++writes_[turn_];
  return WriteTicket(this, turn_);
}

void FuseTraffic::end_write(unsigned turn) noexcept {
  MutexLock lock(writes_mutex_);
  if (--writes_[turn] == 0) writes_ended_.notify_all();
}

void FuseTraffic::drain_writes() {
  MutexLock lock(writes_mutex_);
  const unsigned turn = turn_;
  turn_ = 1 - turn_;  // empty: the drain before this one waited for it
  while (writes_[turn] != 0) writes_ended_.wait(writes_mutex_);
}

void FuseTraffic::before_read() {
  ThisThread& state = this_thread();
  if (state.reader == nullptr) {
    state.reader = std::make_shared<Reader>();
    MutexLock lock(readers_mutex_);
    std::erase_if(readers_, [](const auto& reader) { return reader.use_count() == 1; });
    readers_.push_back(state.reader);
  }
  end_request();
  state.reader->moves.fetch_add(1);
}

void FuseTraffic::after_read(ByteView bytes, bool long_setxattr) {
  ThisThread& state = this_thread();
  state.request = parse_wire(bytes, long_setxattr);
  if (state.request.is_write) state.ticket = begin_write(state.request.from_page_cache);
  state.reader->moves.fetch_add(1);
}

void FuseTraffic::end_request() {
  ThisThread& state = this_thread();
  state.ticket.end();  // nobody took it: libfuse itself answered that request
  state.request = {};
}

const WireRequest& FuseTraffic::wire_request() { return this_thread().request; }

FuseTraffic::WriteTicket FuseTraffic::take_write_ticket(bool from_page_cache) {
  ThisThread& state = this_thread();
  return state.ticket ? std::move(state.ticket) : begin_write(from_page_cache);
}

FuseTraffic::Readers FuseTraffic::readers() const {
  Readers out;
  MutexLock lock(readers_mutex_);
  for (const std::shared_ptr<Reader>& reader : readers_) {
    const std::uint64_t moves = reader->moves.load();
    if (moves % 2 == 1) out.seen_.push_back({reader, moves});
  }
  return out;
}

bool FuseTraffic::Readers::all_moved() const {
  return std::all_of(seen_.begin(), seen_.end(),
                     [](const Seen& seen) { return seen.reader->moves.load() != seen.moves; });
}

}  // namespace varve
