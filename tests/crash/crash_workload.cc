// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/crash_workload.h"

#include <gtest/gtest.h>

#include <utility>

#include "store/base/error.h"

namespace varve::test {

namespace {

VolumeWorkload::Options workload_options(std::uint64_t seed) {
  VolumeWorkload::Options out;
  out.whole_copies = true;  // a longer copy_file_range is several operations
  out.seed = seed;
  out.names = 8;
  out.inodes_wanted = 24;
  out.largest_write = 1200;
  out.file_bytes = 1 << 17;
  return out;
}

}  // namespace

RepositoryOptions crash_options() {
  RepositoryOptions options;
  options.background = false;
  options.commit_interval_ms = 0;
  options.store.segment_bytes = 96 * 1024;
  options.store.journal_file_bytes = 256 * 1024;
  options.store.journal_files_max = 3;
  options.store.object_cache_bytes = 1 << 20;
  options.store.reserve_bytes = 1 << 20;
  options.store.worker_threads = 1;
  options.node_cache_bytes = 1 << 20;
  options.clock = [] { return Time{1'800'000'000, 0}; };
  return options;
}

CrashWorkload::CrashWorkload(std::uint64_t seed)
    : random_(seed), workload_(workload_options(seed)) {
  const auto nothing = std::make_shared<const std::string>();
  history_.push_back({{"no store", nothing}});
}

CrashWorkload::~CrashWorkload() {
  for (auto& [name, pair] : volumes_) pair->volume.reset();
}

CrashRecord CrashWorkload::run(int commands) {
  media_->set_phase("create");
  issue(1);
  push_state();
  SimulatedDisk first(media_);
  Store::create(first, kStorePath, crash_options().store);
  acknowledge(Durable::kYes);
  open();
  add_volume();
  for (int i = 0; i < commands && !testing::Test::HasFailure(); ++i) command();
  detach_all();
  if (random(2) == 0) repository_->close();
  repository_.reset();
  return {media_->start(), media_->take_trace(), std::move(history_)};
}

// ---- history -----------------------------------------------------------------------------------

void CrashWorkload::issue(std::size_t states) {
  promise_.issued += states;
  media_->promise(promise_);
}

void CrashWorkload::acknowledge(Durable durable) {
  promise_.acknowledged = promise_.issued;
  if (durable == Durable::kYes) promise_.durable = promise_.issued;
  EXPECT_EQ(history_.size(), promise_.issued + 1);
  media_->promise(promise_);
}

void CrashWorkload::all_durable() {
  promise_.durable = promise_.acknowledged;
  media_->promise(promise_);
}

void CrashWorkload::note(const std::string& key, Volume& reference) {
  std::string text = text_of(reference);
  std::shared_ptr<const std::string>& known = present_[key];
  if (!known || *known != text) known = std::make_shared<const std::string>(std::move(text));
}

// ---- lives -------------------------------------------------------------------------------------

void CrashWorkload::open() {
  disk_ = std::make_unique<SimulatedDisk>(media_);
  RepositoryOptions options = crash_options();
  options.clock = workload_.clock();
  media_->set_phase("open");
  repository_ = Repository::open(*disk_, kStorePath, false, options);
  media_->set_phase("run");
}

/// By a close or by a kill; then the next begins.
void CrashWorkload::end_life() {
  if (random(2) == 0) {
    detach_all();
    media_->set_phase("close");
    repository_->close();
    repository_.reset();
  } else {
    media_ = media_->survive();
    detach_all();  // nobody sees what that writes
    repository_.reset();
  }
  open();
}

void CrashWorkload::detach(Pair& pair) {
  if (!pair.volume) return;
  pair.volume.reset();
  pair.reference.drop_lookups();
}

void CrashWorkload::detach_all() {
  for (auto& [name, pair] : volumes_) detach(*pair);
}

void CrashWorkload::settle() {
  for (int i = 0; i < 1000 && repository_->step(); ++i) {
  }
}

// ---- commands ----------------------------------------------------------------------------------

CrashWorkload::Volumes::value_type& CrashWorkload::any_volume() {
  auto at = volumes_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random(volumes_.size())));
  return *at;
}

Volume& CrashWorkload::volume(Volumes::value_type& named) {
  Pair& pair = *named.second;
  if (!pair.volume) {
    pair.volume = repository_->attach(named.first);
    settle();  // files that were unlinked in use at a cut or a kill are gone
  }
  return *pair.volume;
}

void CrashWorkload::command() {
  switch (random(20)) {
    case 0:
      repository_->commit();
      return all_durable();
    case 1:
    case 2:
      repository_->step();
      return;
    case 3:
    case 4:
      return take_snapshot();
    case 5:
      return volumes_.size() < 3 ? make_clone() : work();
    case 6:
      return roll_back();
    case 7:
      return remove_snapshot();
    case 8:
      return remove_volume();
    case 9:
      return detach(*any_volume().second);
    case 10:
      return random(2) == 0 ? end_life() : settle();
    case 11:
    case 12:
      return fsync();
    case 13:
      repository_->sync();
      return all_durable();
    default:
      return work();
  }
}

void CrashWorkload::work() {
  Volumes::value_type& named = any_volume();
  Volume& used = volume(named);
  for (std::uint64_t i = random(12); i > 0; --i) {
    issue(1);
    ASSERT_TRUE(workload_.step(used, named.second->reference));
    note("volume " + named.first, named.second->reference);
    push_state();
    acknowledge(Durable::kNo);
  }
}

void CrashWorkload::fsync() {
  Volumes::value_type& named = any_volume();
  volume(named).fsync(kRootIno);
  all_durable();
}

void CrashWorkload::add_volume() {
  Repository::CreateVolume request;
  request.name = next_name("v");
  issue(1);
  auto pair = std::make_unique<Pair>(MemoryVolume(workload_.clock()));
  repository_->create_volume(request);
  note("volume " + request.name, pair->reference);
  volumes_.emplace(request.name, std::move(pair));
  push_state();
  acknowledge(Durable::kYes);
}

void CrashWorkload::take_snapshot() {
  const Volumes::value_type& named = any_volume();
  const std::string name = next_name("s");
  const std::string reference = named.first + "@" + name;
  issue(1);
  repository_->create_snapshot(named.first, name, {});
  MemoryVolume state = named.second->reference;
  state.drop_lookups();
  note("snapshot " + reference, state);
  snapshots_.emplace(reference, std::move(state));
  push_state();
  acknowledge(Durable::kYes);
}

void CrashWorkload::make_clone() {
  if (snapshots_.empty()) return;
  auto source = snapshots_.begin();
  std::advance(source, static_cast<std::ptrdiff_t>(random(snapshots_.size())));
  Repository::CreateVolume request;
  request.name = next_name("v");
  issue(1);
  repository_->clone_volume(request, source->first);
  auto pair = std::make_unique<Pair>(source->second);
  note("volume " + request.name, pair->reference);
  volumes_.emplace(request.name, std::move(pair));
  push_state();
  acknowledge(Durable::kYes);
}

void CrashWorkload::roll_back() {
  if (snapshots_.empty()) return;
  auto target = snapshots_.begin();
  std::advance(target, static_cast<std::ptrdiff_t>(random(snapshots_.size())));
  const std::string name = target->first.substr(0, target->first.find('@'));
  Pair& pair = *volumes_.at(name);
  detach(pair);
  issue(2);  // the present state is kept, then the volume goes back
  const SnapshotRow before = repository_->rollback(name, target->first, {});
  const std::string kept = name + "@" + before.name;
  snapshots_.emplace(kept, pair.reference);
  note("snapshot " + kept, pair.reference);
  push_state();
  const std::uint64_t next_ino = pair.reference.next_ino();
  pair.reference = target->second;
  while (pair.reference.next_ino() < next_ino) {  // numbers are never used twice
    const Ino ino = pair.reference.make_temporary(kRootIno, 0600, {}).ino;
    pair.reference.forget(ino, 1);
  }
  note("volume " + name, pair.reference);
  push_state();
  acknowledge(Durable::kYes);
}

void CrashWorkload::remove_snapshot() {
  if (snapshots_.size() < 3) return;
  auto at = snapshots_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random(snapshots_.size())));
  issue(1);
  repository_->remove_snapshot(at->first);
  present_.erase("snapshot " + at->first);
  snapshots_.erase(at);
  push_state();
  acknowledge(Durable::kYes);
}

/// With its snapshots; to the trash, and back or away for good.
void CrashWorkload::remove_volume() {
  if (volumes_.size() < 2) return;
  const std::string name = any_volume().first;
  detach(*volumes_.at(name));
  const auto first = snapshots_.lower_bound(name + "@");
  const auto last = snapshots_.lower_bound(name + "A");
  for (auto at = first; at != last; at = snapshots_.erase(at)) {
    issue(1);
    repository_->remove_snapshot(at->first);
    present_.erase("snapshot " + at->first);
    push_state();
    acknowledge(Durable::kYes);
  }
  issue(1);
  repository_->remove_volume(name);
  const auto text = present_.extract("volume " + name).mapped();
  present_["trash " + name] = std::make_shared<const std::string>();
  push_state();
  acknowledge(Durable::kYes);
  issue(1);
  present_.erase("trash " + name);
  if (random(2) == 0) {
    repository_->restore_volume(name);
    present_["volume " + name] = text;
  } else {
    repository_->purge_trash(INT64_MAX);
    volumes_.erase(name);
  }
  push_state();
  acknowledge(Durable::kYes);
}

}  // namespace varve::test
