// SPDX-License-Identifier: Apache-2.0
#include "fs/committer.h"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "store/base/about_to_wait.h"
#include "store/base/background.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// A small change dirties some records, or a small part of a block.
constexpr std::uint64_t kSmallestChangeBytes = 2048;
/// Failed rounds are tried again after this long when there is no interval.
constexpr std::uint32_t kRetryMs = 1000;

std::size_t frozen_count(Head& head) {
  const MutexLock lock(head.gate());
  return head.frozen().size();
}

/// The first operation of `head` that is not in the tree once `done` (or nothing) is, or whose
/// request may come again.
std::optional<Lsn> first_lsn_after(Head& head, const Overlay* done) {
  const MutexLock lock(head.gate());
  std::optional<Lsn> out = head.active().first_lsn;
  for (auto frozen = head.frozen().rbegin(); frozen != head.frozen().rend(); ++frozen) {
    if (frozen->overlay.get() != done) out = frozen->overlay->first_lsn;
  }
  const std::optional<Lsn> request = head.requests().oldest_lsn();
  if (request) out = std::min(out.value_or(*request), *request);
  return out;
}

std::optional<Ptr> root_of(Head& head) {
  const MutexLock lock(head.gate());
  return head.base()->tree.root();
}

/// The counters as the cut has them. Does not wait for a closed gate.
HeadInfoRecord info_at(Head& head, const Frozen& cut) {
  std::vector<std::shared_ptr<const Overlay>> overlays{cut.overlay};
  std::shared_ptr<const Base> base;
  {
    const MutexLock lock(head.gate());
    base = head.base();
    if (head.frozen().size() > 1) overlays.push_back(head.frozen().front().overlay);
  }
  for (const auto& overlay : overlays) {
    const Overlay::Value* value = overlay->find(kHeadInfoKey);
    if (value != nullptr && *value) return HeadInfoRecord::decode(**value);
  }
  const std::optional<Bytes> bytes = base->tree.find(kHeadInfoKey, Wait::kAllowed);
  return bytes ? HeadInfoRecord::decode(*bytes) : HeadInfoRecord{};
}

}  // namespace

Committer::Committer(Store& store, NodeCache& cache, Catalog& catalog, const Limits& limits)
    : store_(store), cache_(cache), catalog_(catalog), limits_(limits) {}

Committer::~Committer() { stop(); }

// ---- heads -------------------------------------------------------------------------------------

void Committer::add(const std::shared_ptr<Head>& head) {
  const MutexLock lock(mutex_);
  VARVE_CHECK(heads_.emplace(head->volume(), head).second);
}

void Committer::add(const std::shared_ptr<Head>& head, std::map<const Overlay*, SnapshotCut> cuts) {
  add(head);
  const MutexLock lock(mutex_);
  cuts_.merge(cuts);
}

std::shared_ptr<Head> Committer::find(VolumeId volume) const {
  const MutexLock lock(mutex_);
  const auto at = heads_.find(volume);
  return at == heads_.end() ? nullptr : at->second;
}

bool Committer::remove_if_clean(VolumeId volume) {
  const MutexLock lock(mutex_);
  const auto at = heads_.find(volume);
  VARVE_CHECK(at != heads_.end());
  if (at->second->first_uncommitted_lsn()) return false;
  heads_.erase(at);
  return true;
}

// ---- rounds ------------------------------------------------------------------------------------

bool Committer::round(std::optional<VolumeId> only) {
  const MutexLock lock(round_mutex_);
  const std::vector<Work> work = select(only);
  if (work.empty()) return false;
  try {
    run(work);
    succeeded(work);
  } catch (const CorruptionError&) {
    run_apart(work);
  } catch (const StoreError& error) {
    failed(error);
    throw;
  }
  return true;
}

/// One of them meets damage: the others go on without it.
void Committer::run_apart(const std::vector<Work>& work) {
  std::optional<CorruptionError> last;
  for (const Work& one : work) {
    try {
      run({one});
      succeeded({one});
    } catch (const CorruptionError& damage) {
      stuck(one.generation.volume, damage);
      last = damage;
    } catch (const StoreError& error) {
      failed(error);
      throw;
    }
  }
  if (last) throw CorruptionError(*last);
}

std::vector<Committer::Work> Committer::select(std::optional<VolumeId> only) {
  std::vector<Work> out;
  const MutexLock lock(mutex_);
  for (const auto& [volume, head] : heads_) {
    if (only && volume != *only) continue;
    if (frozen_count(*head) == 0) head->freeze(false, {});
    const MutexLock gate(head->gate());
    if (head->frozen().empty()) continue;
    const Frozen& oldest = head->frozen().front();
    Work work{head, {volume, head->base(), oldest.overlay, oldest.cut_lsn, std::nullopt}};
    const auto cut = cuts_.find(oldest.overlay.get());
    if (cut != cuts_.end()) work.generation.cut = cut->second;
    out.push_back(std::move(work));
  }
  return out;
}

void Committer::run(const std::vector<Work>& work) {
  const std::unique_ptr<Catalog::Change> change = catalog_.begin();
  for (const Work& one : work) {
    stage_generation(*change, catalog_, store_, cache_, one.generation, workers());
  }
  change->finish(replay_from(work));
  for (const Work& one : work) {
    const VolumeRow row = catalog_.volume(one.generation.volume).value();
    one.head->publish(pinned_base(store_, cache_, catalog_.node(row.head).root));
  }
}

/// Half of them, so that processors are left for those who ask, unless writers are about to wait.
std::size_t Committer::workers() const {
  const std::uint64_t much = (limits_.dirty_limit_bytes + limits_.dirty_stall_bytes) / 2;
  if (dirty_bytes_ >= much) return limits_.threads;
  return std::max<std::size_t>(1, limits_.threads / 2);
}

void Committer::succeeded(const std::vector<Work>& work) {
  pressed_ = false;
  measure();
  const MutexLock lock(mutex_);
  for (const Work& one : work) {
    cuts_.erase(one.generation.overlay.get());
    stuck_.erase(one.generation.volume);
  }
  any_stuck_ = !stuck_.empty();
  ++rounds_;
  failure_.reset();
  round_done_.notify_all();
}

void Committer::failed(const StoreError& error) {
  const MutexLock lock(mutex_);
  ++rounds_;
  if (!failure_ || failure_->code() != error.code()) {
    log_error("commit",
              std::string("nothing was committed; changes stay in the journal: ") + error.what());
  }
  failure_ = error;
  round_done_.notify_all();
}

void Committer::stuck(VolumeId volume, const CorruptionError& damage) {
  {
    const MutexLock lock(mutex_);
    const bool is_new = stuck_.insert_or_assign(volume, damage.what()).second;
    if (is_new) {
      log_error("commit", "volume " + std::to_string(static_cast<std::uint64_t>(volume)) +
                              " cannot be committed and takes no more changes; what it has "
                              "acknowledged stays in the journal: " +
                              damage.what());
    }
    any_stuck_ = true;
    ++rounds_;
    round_done_.notify_all();
  }
  measure();
}

void Committer::refuse_stuck(VolumeId volume) const {
  const MutexLock lock(mutex_);
  const auto found = stuck_.find(volume);
  if (found != stuck_.end())
    throw StoreError(EIO, "the volume is damaged and takes no changes: " + found->second);
}

void Committer::commit(std::optional<VolumeId> only) {
  const Lsn end = store_.journal().end();
  while (uncommitted_before(end, only) && round(only)) {
  }
}

bool Committer::uncommitted_before(Lsn lsn, std::optional<VolumeId> only) const {
  const MutexLock lock(mutex_);
  return std::any_of(heads_.begin(), heads_.end(), [&](const auto& entry) {
    if (only && entry.first != *only) return false;
    const std::optional<Lsn> first = entry.second->first_uncommitted_lsn();
    return first && *first < lsn;
  });
}

void Committer::change(const std::function<void(Catalog::Change&)>& edit) {
  const MutexLock lock(round_mutex_);
  const std::unique_ptr<Catalog::Change> change = catalog_.begin();
  edit(*change);
  change->finish(replay_from({}));
}

/// No commit runs meanwhile, so the newest state of a volume is alive as the pin begins. A rollback
/// may have left a head with an older one for a moment.
void Committer::renew_pins() {
  const MutexLock round(round_mutex_);
  std::vector<std::shared_ptr<Head>> heads;
  {
    const MutexLock lock(mutex_);
    for (const auto& [volume, head] : heads_) heads.push_back(head);
  }
  for (const std::shared_ptr<Head>& head : heads) {
    const std::optional<VolumeRow> row = catalog_.volume(head->volume());
    if (row && catalog_.node(row->head).root == root_of(*head)) head->renew(store_.pin());
  }
}

bool Committer::delete_step(std::size_t max_releases) {
  const MutexLock lock(round_mutex_);
  return catalog_.delete_step(max_releases, replay_from({}));
}

/// Where replay must begin if the process died just after the commit of `done`. Never goes back,
/// because all commits hold round_mutex_.
Lsn Committer::replay_from(const std::vector<Work>& done) const {
  // Before the heads are looked at: an operation that comes to one later lies behind it.
  Lsn out = store_.journal().end();
  const MutexLock lock(mutex_);
  for (const auto& entry : heads_) {
    const std::shared_ptr<Head>& head = entry.second;
    const auto work =
        std::find_if(done.begin(), done.end(), [&](const Work& one) { return one.head == head; });
    const Overlay* overlay = work == done.end() ? nullptr : work->generation.overlay.get();
    if (const auto first = first_lsn_after(*head, overlay)) out = std::min(out, *first);
  }
  return out;
}

// ---- snapshots ---------------------------------------------------------------------------------

std::optional<SnapshotRow> Committer::snapshot(const SnapshotCut& cut) {
  const Bytes payload = cut.encode();
  std::shared_ptr<Head> head;
  std::optional<Frozen> frozen;
  for (;;) {
    {
      const MutexLock lock(mutex_);
      const auto at = heads_.find(cut.volume);
      if (at == heads_.end()) return std::nullopt;
      head = at->second;
      check_name(cut);
      if (frozen_count(*head) < Head::kMaxFrozen) {
        frozen = head->freeze(
            true, [&] { store_.journal().append(JournalType::kSnapshot, {ByteView(payload)}); });
        cuts_.emplace(frozen->overlay.get(), cut);
        break;
      }
    }
    round(cut.volume);
  }
  store_.journal().flush();
  request();

  SnapshotRow row;
  row.volume = cut.volume;
  row.name = cut.name;
  row.created_ns = cut.created_ns;
  row.labels = cut.labels;
  const HeadInfoRecord info = info_at(*head, *frozen);
  row.logical_bytes = info.logical_bytes;
  row.quota_bytes = info.quota_bytes;
  return row;
}

void Committer::check_name(const SnapshotCut& cut) const {
  const bool pending = std::any_of(cuts_.begin(), cuts_.end(), [&](const auto& entry) {
    return entry.second.volume == cut.volume && entry.second.name == cut.name;
  });
  if (pending || catalog_.snapshot(cut.volume, cut.name)) {
    throw UserError(EEXIST, "A snapshot named " + cut.name +
                                " already exists. Choose a different snapshot name");
  }
}

void Committer::commit_cuts(std::optional<VolumeId> only) {
  const auto is_wanted = [&](const auto& entry) { return !only || entry.second.volume == *only; };
  const auto pending = [&] {
    const MutexLock lock(mutex_);
    return std::any_of(cuts_.begin(), cuts_.end(), is_wanted);
  };
  while (pending() && round(only)) {
  }
}

std::vector<SnapshotCut> Committer::pending_cuts(VolumeId volume) const {
  std::vector<SnapshotCut> out;
  const MutexLock lock(mutex_);
  for (const auto& [overlay, cut] : cuts_) {
    if (cut.volume == volume) out.push_back(cut);
  }
  return out;
}

// ---- admission ---------------------------------------------------------------------------------

void Committer::admit(VolumeId volume, std::uint64_t bytes) {
  if (any_stuck_) refuse_stuck(volume);
  if (!has_thread_ && pressed_) commit();
  if (bytes > 0) {
    dirty_bytes_ += std::max(bytes, kSmallestChangeBytes);
    if (dirty_bytes_ >= limits_.dirty_limit_bytes) hold_back();
  }
  try {
    store_.admit(bytes);
  } catch (const StoreError& error) {
    if (error.code() != ENOSPC) throw;
    if (bytes == 0) return;  // the journal has room, and what frees space must go on
    // What is admitted and not committed may take less room than it has bytes.
    about_to_wait();
    commit();
    store_.admit(bytes);
  }
}

/// Asks for a commit above the limit, waits above the stall mark.
void Committer::hold_back() {
  std::uint64_t dirty = measure();
  if (dirty < limits_.dirty_limit_bytes) return;
  if (!has_thread_) {
    commit();
    return;
  }
  request();
  while (dirty >= limits_.dirty_stall_bytes && has_thread_) {
    wait_for_round();
    dirty = measure();
  }
}

std::uint64_t Committer::dirty_bytes() const {
  std::uint64_t total = 0;
  const MutexLock lock(mutex_);
  for (const auto& [volume, head] : heads_)
    if (!stuck_.contains(volume)) total += head->dirty_bytes();
  return total;
}

std::uint64_t Committer::measure() {
  const std::uint64_t total = dirty_bytes();
  dirty_bytes_ = total;
  return total;
}

/// Throws what the round threw.
void Committer::wait_for_round() {
  const MutexLock lock(mutex_);
  const std::uint64_t seen = rounds_;
  request();
  while (rounds_ == seen && has_thread_) round_done_.wait(mutex_);
  if (failure_) throw StoreError(*failure_);
}

void Committer::pressed() {
  pressed_ = true;
  request();
}

// ---- background --------------------------------------------------------------------------------

void Committer::start() {
  VARVE_CHECK(!thread_.joinable());
  has_thread_ = true;
  thread_ = std::thread([this] { background(); });
}

void Committer::stop() {
  if (!thread_.joinable()) return;
  {
    const MutexLock lock(wake_mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
  const MutexLock lock(mutex_);
  has_thread_ = false;
  round_done_.notify_all();
}

void Committer::request() {
  const MutexLock lock(wake_mutex_);
  wanted_ = true;
  wake_.notify_all();
}

void Committer::background() {
  ::pthread_setname_np(::pthread_self(), "varve-commit");
  work_in_background();  // its workers inherit it
  const std::uint32_t wait_ms = limits_.interval_ms;
  bool retry = false;
  for (;;) {
    {
      const MutexLock lock(wake_mutex_);
      const auto timeout = std::chrono::milliseconds(wait_ms > 0 ? wait_ms : kRetryMs);
      while (!wanted_ && !stopping_) {
        if (wait_ms == 0 && !retry) {
          wake_.wait(wake_mutex_);
        } else if (!wake_.wait_for(wake_mutex_, timeout)) {
          break;
        }
      }
      if (stopping_) return;
      wanted_ = false;
    }
    retry = !background_round();
  }
}

/// False if it failed and should be tried again.
bool Committer::background_round() {
  if (store_.figures().read_only) {
    const MutexLock lock(mutex_);
    ++rounds_;
    if (!failure_) {
      log_error("commit", "a sync failed: the store takes no changes until it is opened again");
      failure_.emplace(EIO, "the store takes no changes after a failed sync");
    }
    round_done_.notify_all();
    return true;
  }
  try {
    if (!round()) {
      // Somebody else has committed what a writer waits for.
      const MutexLock lock(mutex_);
      ++rounds_;
      failure_.reset();
      round_done_.notify_all();
    }
    return true;
  } catch (const Error&) {
    return false;  // logged and kept in failure_
  }
}

}  // namespace varve
