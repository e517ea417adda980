// SPDX-License-Identifier: Apache-2.0
#include "fs/scrubber.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// Contents that one repairing commit holds in memory.
constexpr std::size_t kRepairObjects = 64;
/// Commits after which damage in the journal must be behind its begin.
constexpr int kJournalRounds = 4;

bool in_order_of_place(const LiveObject& a, const LiveObject& b) {
  return a.placement.primary < b.placement.primary;
}

bool is_of_journal(const FileFinding& finding) {
  return finding.part == FileFinding::Part::kJournal;
}

}  // namespace

Scrubber::Scrubber(Store& store, Committer& committer, std::function<std::int64_t()> now_ns,
                   std::size_t batch_objects)
    : store_(store),
      committer_(committer),
      now_ns_(std::move(now_ns)),
      batch_objects_(batch_objects) {
  const std::string note = store_.note();
  if (note.empty()) return;
  const MutexLock lock(mutex_);
  if (const std::optional<ScrubState> saved = ScrubState::decode(note)) {
    state_ = *saved;
    ever_run_ = true;
  }
}

Scrubber::~Scrubber() { stop(); }

// ---- control -----------------------------------------------------------------------------------

void Scrubber::start(std::uint64_t rate_bytes) {
  const MutexLock control(control_mutex_);
  {
    const MutexLock lock(mutex_);
    rate_bytes_ = rate_bytes;
    wake_.notify_all();
    if (running_) return;
  }
  if (thread_.joinable()) thread_.join();  // of a pass that has ended
  {
    const MutexLock lock(mutex_);
    running_ = true;
    stopping_ = false;
    failure_.clear();
  }
  thread_ = std::thread([this] { run(); });
}

void Scrubber::stop() {
  const MutexLock control(control_mutex_);
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

ScrubProgress Scrubber::progress() const {
  const MutexLock lock(mutex_);
  return {state_, ever_run_, running_, rate_bytes_, findings_, failure_};
}

void Scrubber::run() {
  ::pthread_setname_np(::pthread_self(), "varve-scrub");
  std::string failure;
  try {
    while (!stop_wanted() && step()) {
    }
  } catch (const Error& error) {
    failure = error.what();
    log_error("scrub", "the pass is interrupted: " + failure);
  }
  const MutexLock lock(mutex_);
  if (!failure.empty()) failure_ = failure;
  running_ = false;
}

bool Scrubber::stop_wanted() const {
  const MutexLock lock(mutex_);
  return stopping_;
}

void Scrubber::save() {
  std::string note;
  {
    const MutexLock lock(mutex_);
    note = state_.encode();
  }
  store_.set_note(note);
}

/// Waits until `bytes` may have been read at the rate, or for stop().
void Scrubber::pace(std::uint64_t bytes) {
  const auto begin = std::chrono::steady_clock::now();
  const MutexLock lock(mutex_);
  while (!stopping_ && rate_bytes_ != 0) {
    const std::chrono::duration<double> wanted(static_cast<double>(bytes) /
                                               static_cast<double>(rate_bytes_));
    const auto left = wanted - (std::chrono::steady_clock::now() - begin);
    if (left.count() <= 0) return;
    wake_.wait_for(mutex_, std::chrono::duration_cast<std::chrono::microseconds>(left));
  }
}

// ---- the pass ----------------------------------------------------------------------------------

bool Scrubber::step() {
  const MutexLock pass(pass_mutex_);
  bool begins = false;
  {
    const MutexLock lock(mutex_);
    begins = !ever_run_ || state_.finished;
  }
  if (begins) begin_pass();
  try {
    if (check_batch()) return true;
    if (!stop_wanted()) finish_pass();
  } catch (const CorruptionError& error) {
    // Damage that is not an object's is the index's: without it no object can be found.
    interrupt_pass(error.what());
  }
  return false;
}

/// The index is made anew at the next start, and the pass goes on then where it was.
void Scrubber::interrupt_pass(const std::string& what) {
  log_error("scrub", "the pass is interrupted: " + what);
  const MutexLock lock(mutex_);
  failure_ = what;
  findings_.push_back({FileFinding::Part::kIndex, what, false});
}

void Scrubber::begin_pass() {
  {
    const MutexLock lock(mutex_);
    state_ = ScrubState();
    state_.started_ns = now_ns_();
    ever_run_ = true;
    findings_.clear();
  }
  save();
}

/// False at the end of the objects, or when the pass is to stop.
bool Scrubber::check_batch() {
  std::optional<Digest> cursor;
  {
    const MutexLock lock(mutex_);
    cursor = state_.cursor;
  }
  std::vector<LiveObject> objects = store_.check().live_after(cursor, batch_objects_);
  if (objects.empty()) return false;
  const Digest last = objects.back().digest;
  std::sort(objects.begin(), objects.end(), in_order_of_place);
  std::vector<Digest> damaged;
  std::uint64_t bytes = 0;
  for (const LiveObject& object : objects) {
    const ObjectHealth health = store_.check().check(object.digest);
    if (health == ObjectHealth::kWeak || health == ObjectHealth::kBad) {
      damaged.push_back(object.digest);
    }
    bytes += object.stored_bytes();
    pace(object.stored_bytes());
    if (stop_wanted()) return false;
  }
  const std::uint64_t repaired = repair(damaged);
  {
    const MutexLock lock(mutex_);
    state_.cursor = last;
    state_.objects += objects.size();
    state_.bytes += bytes;
    state_.repaired += repaired;
  }
  save();
  return true;
}

/// What the journal holds is in overlays too: commits put damage in it behind its begin.
void Scrubber::check_files() {
  std::vector<FileFinding> findings = store_.check_files();
  const bool journal = std::any_of(findings.begin(), findings.end(), is_of_journal);
  for (int round = 0; journal && round < kJournalRounds; ++round) {
    committer_.commit();
    committer_.change([](Catalog::Change&) {});
    store_.trim();
    const std::vector<FileFinding> again = store_.check_files();
    if (std::any_of(again.begin(), again.end(), is_of_journal)) continue;
    for (FileFinding& finding : findings) finding.mended |= is_of_journal(finding);
    break;
  }
  const MutexLock lock(mutex_);
  findings_ = std::move(findings);
}

void Scrubber::finish_pass() {
  check_files();
  const std::uint64_t late = repair(store_.check().damaged());
  std::uint64_t bad = 0;
  for (const Digest& digest : store_.check().damaged()) {
    const ObjectHealth health = store_.check().check(digest);
    if (health == ObjectHealth::kWeak || health == ObjectHealth::kBad) ++bad;
  }
  {
    const MutexLock lock(mutex_);
    state_.repaired += late;
    for (const FileFinding& finding : findings_) ++(finding.mended ? state_.mended : bad);
    state_.unrepaired = bad;
    state_.finished = true;
    state_.finished_ns = now_ns_();
    state_.cursor.reset();
  }
  save();
  if (bad == 0) {
    log_info("scrub", "every object is sound");
  } else {
    log_error("scrub", std::to_string(bad) +
                           " objects or files are damaged and could not be repaired; 'varve scrub "
                           "--status' names the files");
  }
}

// ---- repair ------------------------------------------------------------------------------------

std::uint64_t Scrubber::repair(const std::vector<Digest>& digests) {
  std::uint64_t repaired = 0;
  for (std::size_t begin = 0; begin < digests.size(); begin += kRepairObjects) {
    std::vector<Digest> wanted;
    for (std::size_t i = begin; i < std::min(begin + kRepairObjects, digests.size()); ++i) {
      if (store_.check().live(digests[i])) wanted.push_back(digests[i]);
    }
    const std::vector<RescuedObject> found = store_.check().rescue(wanted);
    if (found.empty()) continue;
    committer_.change([&](Catalog::Change& change) {
      for (const RescuedObject& object : found) {
        // A damaged object is never deduplicated onto: this writes it anew.
        change.batch().put(object.content, object.kind);
        change.batch().release(object.digest);
      }
    });
    for (const RescuedObject& object : found) {
      if (store_.check().check(object.digest) == ObjectHealth::kSound) ++repaired;
    }
  }
  return repaired;
}

bool Scrubber::repair_known() {
  std::vector<Digest> fresh;
  {
    const MutexLock lock(tried_mutex_);
    for (const Digest& digest : store_.check().damaged()) {
      if (tried_.insert(digest).second) fresh.push_back(digest);
    }
  }
  if (fresh.empty()) return false;
  const std::uint64_t repaired = repair(fresh);
  log_warn("scrub", std::to_string(fresh.size()) + " objects were found damaged in use, " +
                        std::to_string(repaired) + " of them are repaired");
  return repaired > 0;
}

}  // namespace varve
