// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mountd/fuse_wire.h"
#include "store/base/mutex.h"

namespace varve {

/// The requests that are counted, by their names in the protocol.
enum class RequestType : std::uint8_t {
  kLookup,
  kForget,
  kGetattr,
  kSetattr,
  kReadlink,
  kMknod,
  kMkdir,
  kSymlink,
  kTmpfile,
  kLink,
  kUnlink,
  kRmdir,
  kRename,
  kOpen,
  kRead,
  kWrite,
  kFlush,
  kRelease,
  kFsync,
  kOpendir,
  kReaddir,
  kReaddirplus,
  kReleasedir,
  kFsyncdir,
  kStatfs,
  kSetxattr,
  kGetxattr,
  kListxattr,
  kRemovexattr,
  kAccess,
  kCreate,
  kIoctl,
  kFallocate,
  kLseek,
  kCopyFileRange,
};
inline constexpr std::size_t kRequestTypes =
    static_cast<std::size_t>(RequestType::kCopyFileRange) + 1;

/// Follows the requests of one connection: counts them by type, knows which WRITEs are being
/// answered, and which threads may hold a request that nobody has looked at yet. From the latter
/// two FuseMount::flush_kernel learns that every WRITE the kernel had sent was answered.
///
/// Safe to share between threads.
class FuseTraffic {
 public:
  FuseTraffic() = default;
  FuseTraffic(const FuseTraffic&) = delete;
  FuseTraffic& operator=(const FuseTraffic&) = delete;

  /// A WRITE that is being answered, until it is destroyed.
  class WriteTicket {
   public:
    WriteTicket() = default;
    WriteTicket(WriteTicket&& other) noexcept : traffic_(other.traffic_), turn_(other.turn_) {
      other.traffic_ = nullptr;
    }
    WriteTicket& operator=(WriteTicket&& other) noexcept;
    ~WriteTicket() { end(); }
    explicit operator bool() const { return traffic_ != nullptr; }
    void end() noexcept;

   private:
    friend class FuseTraffic;
    WriteTicket(FuseTraffic* traffic, unsigned turn) : traffic_(traffic), turn_(turn) {}
    FuseTraffic* traffic_ = nullptr;
    unsigned turn_ = 0;
  };

  void count(RequestType type) {
    requests_[static_cast<std::size_t>(type)].fetch_add(1, std::memory_order_relaxed);
  }
  void count_failure() { failures_.fetch_add(1, std::memory_order_relaxed); }
  std::map<std::string, std::uint64_t> requests() const;
  std::uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }

  WriteTicket begin_write(bool from_page_cache);
  /// Returns when every WRITE that had begun at the call has ended. One caller at a time.
  void drain_writes();
  /// WRITEs of dirty pages begun so far.
  std::uint64_t page_cache_writes() const { return page_cache_writes_.load(); }

  // Threads that read /dev/fuse.
  /// Around the read(2): the calling thread may get a request now / has registered what it got.
  /// A thread reads for one connection in its life.
  void before_read();
  /// Takes note of the request in `bytes`, which the calling thread will answer.
  void after_read(ByteView bytes, bool long_setxattr);
  /// The calling thread has answered it. Before it waits for anything else than a read.
  static void end_request();
  /// What after_read noted for the calling thread; nothing in other threads.
  static const WireRequest& wire_request();
  /// The ticket of the WRITE that the calling thread has read; begins one if it has read none.
  WriteTicket take_write_ticket(bool from_page_cache);

  /// Threads that were between before_read and after_read at one moment.
  class Readers;
  Readers readers() const;

 private:
  struct Reader {
    std::atomic<std::uint64_t> moves{0};  ///< odd while a read is under way
  };
  struct ThisThread;
  static ThisThread& this_thread();

  void end_write(unsigned turn) noexcept;

  std::array<std::atomic<std::uint64_t>, kRequestTypes> requests_{};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint64_t> page_cache_writes_{0};

  Mutex writes_mutex_;
  CondVar writes_ended_;
  unsigned turn_ GUARDED_BY(writes_mutex_) = 0;  ///< 0 or 1: where new WRITEs are counted
  std::array<std::uint64_t, 2> writes_ GUARDED_BY(writes_mutex_){};

  mutable Mutex readers_mutex_;
  std::vector<std::shared_ptr<Reader>> readers_ GUARDED_BY(readers_mutex_);
};

/// See FuseTraffic::readers.
class FuseTraffic::Readers {
 public:
  /// True once each of them has returned from that read: what it held then is registered.
  bool all_moved() const;

 private:
  friend class FuseTraffic;
  struct Seen {
    std::shared_ptr<Reader> reader;
    std::uint64_t moves;
  };
  std::vector<Seen> seen_;
};

}  // namespace varve
