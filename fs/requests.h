// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "snapshot/key.h"
#include "store/base/mutex.h"
#include "store/journal.h"

namespace varve {

/// The kernel's number of a request, unique for the life of one mount's connection.
enum class RequestId : std::uint64_t {};
inline constexpr RequestId kNoRequest{0};

/// A request whose operation is in the journal.
struct AppliedRequest {
  RequestId id = kNoRequest;
  Lsn lsn = 0;  ///< of the operation's record
  Ino made{};   ///< the inode that got a name, or was made without one; kHeadIno: none
};

/// The requests of one head that must be applied exactly once although the kernel may send them
/// again: those applied and not answered yet, and after a takeover those that the earlier process
/// had applied. While one of them is here, the journal is kept from its record on, so that the next
/// process learns of it too, however often processes die.
///
/// Safe to share between threads; the mutex is a leaf.
class Requests {
 public:
  /// Under the gate, after the operation's record was appended.
  void applied(RequestId id, Lsn lsn);
  /// The kernel has the answer and will not ask again. Nothing for an id that was not applied.
  void answered(RequestId id);

  /// What the journal holds of an earlier process, in the order of the records.
  void resume(const std::vector<AppliedRequest>& earlier);
  /// The earlier process has applied it: the operation that counts, the first of that request.
  std::optional<AppliedRequest> earlier(RequestId id) const;
  /// Every request that was sent again has been answered.
  void end_resume();

  /// The first record that must stay in the journal; none if there is no such request.
  std::optional<Lsn> oldest_lsn() const;

 private:
  mutable Mutex mutex_;
  std::vector<std::pair<RequestId, Lsn>> unanswered_ GUARDED_BY(mutex_);  ///< few: one a thread
  std::unordered_map<std::uint64_t, AppliedRequest> earlier_ GUARDED_BY(mutex_);
  std::optional<Lsn> oldest_earlier_ GUARDED_BY(mutex_);
};

/// The calling thread serves request `id` until this is destroyed: the operations that it commits
/// are recorded with it. Scopes do not nest.
class RequestScope {
 public:
  explicit RequestScope(RequestId id);
  ~RequestScope();
  RequestScope(const RequestScope&) = delete;
  RequestScope& operator=(const RequestScope&) = delete;

  /// kNoRequest outside of every scope.
  static RequestId current();
};

}  // namespace varve
