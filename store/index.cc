// SPDX-License-Identifier: Apache-2.0
#include "store/index.h"

#include <algorithm>
#include <cerrno>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {

namespace {
/// Objects that are published under one hold of the lock: lookups wait that long at most.
constexpr std::size_t kPublishStep = 1024;
constexpr std::size_t kPurgeStep = 1024;
constexpr std::size_t kIdleReaders = 4;
}  // namespace

/// Borrows a read-only connection from the pool.
class Index::ReaderLease {
 public:
  explicit ReaderLease(Index& index) : index_(index) {
    {
      const MutexLock lock(index_.readers_mutex_);
      if (!index_.readers_.empty()) {
        reader_ = std::move(index_.readers_.back());
        index_.readers_.pop_back();
      }
    }
    if (!reader_) reader_ = std::make_unique<IndexReader>(index_.disk_, index_.path_);
  }
  ~ReaderLease() {
    const MutexLock lock(index_.readers_mutex_);
    if (index_.readers_.size() < kIdleReaders) index_.readers_.push_back(std::move(reader_));
  }
  ReaderLease(const ReaderLease&) = delete;
  ReaderLease& operator=(const ReaderLease&) = delete;
  IndexReader& operator*() const { return *reader_; }

 private:
  Index& index_;
  std::unique_ptr<IndexReader> reader_;
};

// --- lookups ---

template <class Ask>
auto Index::ask_file(const Ask& ask) {
  try {
    ReaderLease reader(*this);
    return ask(*reader);
  } catch (const CorruptionError&) {
    mark_damaged();
    throw;
  }
}

std::optional<ObjectState> Index::find_in_file(const Digest& digest) {
  return ask_file([&](IndexReader& reader) { return reader.find(digest); });
}

std::optional<ObjectState> Index::find(const Digest& digest) {
  {
    const MutexLock lock(mutex_);
    if (const ObjectEntry* entry = table_.find(digest)) {
      return entry->erased ? std::nullopt : std::optional(entry->state);
    }
    if (bloom_ && !bloom_->may_contain(digest)) return std::nullopt;
  }
  // A frozen entry leaves the table after its row is in the file, so nothing is missed in between.
  return find_in_file(digest);
}

std::optional<Index::Held> Index::find_and_hold(const Digest& digest) {
  const auto held = [this](const ObjectState& state, const Digest& name) REQUIRES(mutex_) {
    return Held{state, state.lost() || damaged_.contains(name)};
  };
  {
    const MutexLock lock(mutex_);
    const ObjectEntry* entry = table_.find(digest);
    if (entry != nullptr && entry->erased) return std::nullopt;
    if (entry == nullptr && bloom_ && !bloom_->may_contain(digest)) return std::nullopt;
    // Held before the file is asked: a purge that comes in between leaves the object alone.
    ++holds_[digest];
    if (entry != nullptr) return held(entry->state, digest);
  }
  std::optional<ObjectState> state;
  try {
    state = find_in_file(digest);
  } catch (...) {
    release_hold(digest);
    throw;
  }
  if (!state) {
    release_hold(digest);
    return std::nullopt;
  }
  const MutexLock lock(mutex_);
  return held(*state, digest);
}

void Index::release_hold(const Digest& digest) {
  const MutexLock lock(mutex_);
  const auto found = holds_.find(digest);
  VARVE_CHECK(found != holds_.end());
  if (--found->second == 0) holds_.erase(found);
}

// --- commits ---

Index::Bases Index::load(const std::vector<Digest>& digests) {
  Bases bases;
  bases.reserve(digests.size());
  std::vector<Digest> cold;
  for (std::size_t begin = 0; begin < digests.size(); begin += kPublishStep) {
    const std::size_t end = std::min(begin + kPublishStep, digests.size());
    const MutexLock lock(mutex_);
    for (std::size_t i = begin; i < end; ++i) {
      const Digest& digest = digests[i];
      if (const ObjectEntry* entry = table_.find(digest)) {
        Base base{std::nullopt, table_.row_may_exist(digest), damaged_.contains(digest)};
        if (!entry->erased) base.state = entry->state;
        bases.emplace(digest, base);
      } else if (!bloom_ || bloom_->may_contain(digest)) {
        cold.push_back(digest);
      }
    }
  }
  // Rows change only when a frozen part is written, and what is in one was found above.
  const std::vector<std::optional<ObjectState>> states =
      ask_file([&](IndexReader& reader) { return reader.find_all(cold); });
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i < cold.size(); ++i) {
    bases.emplace(cold[i], Base{states[i], states[i].has_value(), damaged_.contains(cold[i])});
  }
  return bases;
}

Index::Step Index::step_for(const Digest& digest, const Base& base, const CommitDelta::Birth* birth,
                            const CommitDelta::Release* release, Csn csn) const {
  Step step{digest, base, base.state.value_or(ObjectState()), false};
  ObjectState& after = step.after;
  if (birth != nullptr) {
    const bool placed = birth->placement.primary.present();
    if (!base.state && !placed) {
      throw CorruptionError("commit " + std::to_string(csn) + ": object " + digest.hex() +
                            " is not in the index");
    }
    // Two batches may have written the same content: the place that is known already stays.
    if (placed && (!base.state || base.state->lost() || base.damaged || birth->heals)) {
      step.heals = base.state.has_value();
      after.placement = birth->placement;
    }
    after.refs += birth->births;
    after.dead_csn = 0;
  }
  const std::uint64_t released = release != nullptr ? release->count : 0;
  if (released > after.refs || (!base.state && birth == nullptr)) {
    throw CorruptionError("commit " + std::to_string(csn) + ": object " + digest.hex() + " has " +
                          std::to_string(after.refs) + " references, " + std::to_string(released) +
                          " are released");
  }
  after.refs -= released;
  if (after.refs == 0 && (released > 0 || after.dead_csn == 0)) after.dead_csn = csn;
  return step;
}

std::vector<Index::Step> Index::plan(const CommitDelta& delta) {
  std::vector<Digest> digests;
  digests.reserve(delta.births.size() + delta.releases.size());
  for (const auto& birth : delta.births) digests.push_back(birth.digest);
  for (const auto& release : delta.releases) digests.push_back(release.digest);
  std::sort(digests.begin(), digests.end());
  digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
  const Bases bases = load(digests);

  std::vector<Step> steps;
  steps.reserve(digests.size());
  auto birth = delta.births.begin();
  auto release = delta.releases.begin();
  for (const Digest& digest : digests) {
    const auto base = bases.find(digest);
    const bool born = birth != delta.births.end() && birth->digest == digest;
    const bool dies = release != delta.releases.end() && release->digest == digest;
    steps.push_back(step_for(digest, base == bases.end() ? Base() : base->second,
                             born ? &*birth : nullptr, dies ? &*release : nullptr, delta.csn));
    if (born) ++birth;
    if (dies) ++release;
  }
  return steps;
}

void Index::validate(const CommitDelta& delta) {
  const MutexLock lock(change_mutex_);
  prepared_.reset();
  prepared_ = Prepared{delta.csn, epoch_, plan(delta)};
}

void Index::apply(const CommitDelta& delta) {
  wait_for_room();
  const MutexLock lock(change_mutex_);
  {
    const MutexLock state_lock(mutex_);
    if (delta.csn <= applied_csn_) return;
    if (delta.csn != applied_csn_ + 1) {
      throw CorruptionError("index: commit " + std::to_string(applied_csn_ + 1) +
                            " is missing before " + std::to_string(delta.csn));
    }
  }
  std::vector<Step> steps;
  if (prepared_ && prepared_->csn == delta.csn && prepared_->epoch == epoch_) {
    steps = std::move(prepared_->steps);
  } else {
    steps = plan(delta);
  }
  prepared_.reset();
  publish(steps);
  const MutexLock state_lock(mutex_);
  applied_csn_ = delta.csn;
  if (work_wanted()) work_.notify_one();
}

void Index::publish(const std::vector<Step>& steps) {
  ++epoch_;
  for (std::size_t begin = 0; begin < steps.size(); begin += kPublishStep) {
    const std::size_t end = std::min(begin + kPublishStep, steps.size());
    const MutexLock lock(mutex_);
    for (std::size_t i = begin; i < end; ++i) {
      const Step& step = steps[i];
      publish_one(step.digest, step.base, step.after);
      if (step.heals && damaged_.erase(step.digest) != 0) {
        table_.active().damaged.erase(step.digest);
        table_.active().healed.insert(step.digest);
      }
    }
  }
}

void Index::publish_one(const Digest& digest, const Base& base,
                        const std::optional<ObjectState>& after) {
  table_.publish(digest, base.state, after, base.row_exists);
  totals_.account(base.state, after);
  if (base.state) return;
  if (bloom_) bloom_->insert(digest);
  if (next_bloom_) next_bloom_->insert(digest);
}

void Index::wait_for_room() {
  const MutexLock lock(mutex_);
  for (;;) {
    if (poisoned_) std::rethrow_exception(failure_);
    const std::size_t waiting = table_.active().objects.size();
    if (waiting < limits_.backlog_objects) return;
    // A full disk must not stop the deletes that would free it; memory sets the end.
    if (failure_ && waiting < 4 * limits_.backlog_objects) return;
    if (failure_) std::rethrow_exception(failure_);
    work_.notify_one();
    done_.wait(mutex_);
  }
}

Csn Index::applied_csn() const {
  const MutexLock lock(mutex_);
  return applied_csn_;
}

Csn Index::checkpointed_csn() const {
  const MutexLock lock(mutex_);
  return checkpointed_csn_;
}

// --- damage ---

void Index::note_damaged(const Digest& digest) {
  const MutexLock lock(mutex_);
  if (!damaged_.insert(digest).second) return;
  table_.active().healed.erase(digest);
  table_.active().damaged.insert(digest);
}

void Index::note_wrong(const std::string& why) {
  log_error("index", why);
  mark_damaged();
}

std::vector<Digest> Index::damaged() const {
  std::vector<Digest> out;
  {
    const MutexLock lock(mutex_);
    out.assign(damaged_.begin(), damaged_.end());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// --- checking ---

std::vector<LiveObject> Index::live_after(const std::optional<Digest>& after, std::size_t limit) {
  flush();
  return ask_file([&](IndexReader& reader) { return reader.live(after, limit); });
}

std::vector<LiveObject> Index::all_after(const std::optional<Digest>& after, std::size_t limit) {
  flush();
  return ask_file([&](IndexReader& reader) { return reader.all(after, limit); });
}

std::vector<std::string> Index::check_file() {
  flush();
  std::vector<std::string> problems;
  try {
    problems = ask_file([](IndexReader& reader) { return reader.integrity(); });
  } catch (const CorruptionError& error) {
    return {error.what()};
  }
  if (!problems.empty()) mark_damaged();
  return problems;
}

// --- segments ---

void Index::note_sealed(SegmentId id, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  table_.active().sealed_segments[id] = bytes;
}

void Index::note_last_segment(SegmentId id) {
  const MutexLock lock(mutex_);
  table_.active().last_segment = std::max(table_.active().last_segment, id);
}

void Index::forget_segment(SegmentId id) {
  const MutexLock lock(mutex_);
  table_.active().sealed_segments.erase(id);
  table_.active().forgotten_segments.insert(id);
}

std::map<SegmentId, std::uint64_t> Index::live_bytes() const {
  const MutexLock lock(mutex_);
  std::map<SegmentId, std::uint64_t> out;
  for (const auto& [id, bytes] : totals_.segment_live_bytes) {
    if (bytes > 0) out.emplace(id, static_cast<std::uint64_t>(bytes));
  }
  return out;
}

// --- reclaim ---

std::uint64_t Index::purge(Csn horizon, std::uint64_t limit) {
  std::uint64_t purged = 0;
  std::optional<IndexReader::DeadObject> last;
  for (;;) {
    const MutexLock lock(change_mutex_);
    std::shared_ptr<const IndexChange> frozen;
    {
      const MutexLock state_lock(mutex_);
      frozen = table_.frozen();
    }
    const std::vector<IndexReader::DeadObject> dead = ask_file([&](IndexReader& reader) {
      return reader.dead(horizon, last, std::min<std::uint64_t>(kPurgeStep, limit - purged));
    });
    if (dead.empty()) return purged;
    last = dead.back();
    ++epoch_;
    const MutexLock state_lock(mutex_);
    for (const IndexReader::DeadObject& object : dead) {
      // What changed since its row was read waits for the next time; also what was frozen before
      // and is in the file by now.
      if (table_.find(object.digest) != nullptr || holds_.contains(object.digest)) continue;
      if (frozen && frozen->objects.contains(object.digest)) continue;
      publish_one(object.digest, Base{object.state, true, false}, std::nullopt);
      if (damaged_.erase(object.digest) != 0) table_.active().healed.insert(object.digest);
      ++purged;
    }
    if (purged >= limit) return purged;
  }
}

void Index::relocate(const std::vector<Move>& moves) {
  std::vector<Digest> digests;
  digests.reserve(moves.size());
  for (const Move& move : moves) digests.push_back(move.digest);
  const MutexLock lock(change_mutex_);
  Bases bases = load(digests);
  ++epoch_;
  const MutexLock state_lock(mutex_);
  for (const Move& move : moves) {
    auto base = bases.find(move.digest);
    if (base == bases.end() || !base->second.state) continue;
    ObjectState after = *base->second.state;
    if (after.placement.primary == move.from) {
      after.placement.primary = move.to;
    } else if (after.placement.mirror == move.from) {
      after.placement.mirror = move.to;
    } else {
      continue;
    }
    publish_one(move.digest, base->second, after);
    base->second.state = after;
  }
}

// --- recount ---

bool Index::needs_references() const {
  const MutexLock lock(mutex_);
  return needs_references_;
}

void Index::begin_references() {
  flush();
  run_on_writer([](IndexDatabase& database) { database.begin_references(); });
  const MutexLock lock(mutex_);
  needs_references_ = true;
}

void Index::add_references(const std::vector<std::pair<Digest, std::uint64_t>>& births) {
  {
    const MutexLock lock(mutex_);
    for (const auto& [digest, count] : births) {
      if (bloom_) bloom_->insert(digest);
      if (next_bloom_) next_bloom_->insert(digest);
    }
  }
  std::uint64_t lost = 0;
  run_on_writer([&](IndexDatabase& database) { lost = database.add_references(births); });
  if (lost != 0) {
    log_error("index", std::to_string(lost) + " referenced objects are in no segment");
  }
}

void Index::finish_references(Csn csn) {
  IndexDatabase::Summary summary;
  run_on_writer([&](IndexDatabase& database) {
    database.finish_references(csn);
    summary = database.summary();
  });
  const MutexLock lock(mutex_);
  take_totals(summary);
  applied_csn_ = csn;
  checkpointed_csn_ = csn;
  needs_references_ = false;
}

void Index::visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit) {
  flush();
  ask_file([&](IndexReader& reader) { reader.visit_references(visit); });
}

Index::Figures Index::figures() const {
  const MutexLock lock(mutex_);
  Figures out;
  out.objects = static_cast<std::uint64_t>(std::max<std::int64_t>(0, totals_.objects));
  out.referenced_bytes =
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, totals_.referenced_bytes));
  out.backlog_objects = table_.active().objects.size();
  out.damaged_objects = damaged_.size();
  return out;
}

}  // namespace varve
