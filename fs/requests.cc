// SPDX-License-Identifier: Apache-2.0
#include "fs/requests.h"

#include <algorithm>

namespace varve {
namespace {

thread_local RequestId current_request = kNoRequest;

}  // namespace

void Requests::applied(RequestId id, Lsn lsn) {
  if (id == kNoRequest) return;
  const MutexLock lock(mutex_);
  unanswered_.emplace_back(id, lsn);
}

void Requests::answered(RequestId id) {
  if (id == kNoRequest) return;
  const MutexLock lock(mutex_);
  std::erase_if(unanswered_, [&](const auto& request) { return request.first == id; });
}

void Requests::resume(const std::vector<AppliedRequest>& earlier) {
  const MutexLock lock(mutex_);
  for (const AppliedRequest& request : earlier) {
    earlier_.try_emplace(static_cast<std::uint64_t>(request.id), request);
    oldest_earlier_ = std::min(oldest_earlier_.value_or(request.lsn), request.lsn);
  }
}

std::optional<AppliedRequest> Requests::earlier(RequestId id) const {
  const MutexLock lock(mutex_);
  const auto found = earlier_.find(static_cast<std::uint64_t>(id));
  if (found == earlier_.end()) return std::nullopt;
  return found->second;
}

void Requests::end_resume() {
  const MutexLock lock(mutex_);
  earlier_ = {};
  oldest_earlier_.reset();
}

std::optional<Lsn> Requests::oldest_lsn() const {
  const MutexLock lock(mutex_);
  std::optional<Lsn> out = oldest_earlier_;
  for (const auto& [id, lsn] : unanswered_) out = std::min(out.value_or(lsn), lsn);
  return out;
}

RequestScope::RequestScope(RequestId id) { current_request = id; }

RequestScope::~RequestScope() { current_request = kNoRequest; }

RequestId RequestScope::current() { return current_request; }

}  // namespace varve
