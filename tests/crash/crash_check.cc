// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/crash_check.h"

#include <sys/stat.h>

#include <random>
#include <utility>

#include "fs/attached_volume.h"
#include "store/base/error.h"
#include "store/local_objects.h"
#include "tests/support/volume_check.h"

namespace varve::test {

namespace {

/// Positions in the history that an image may show.
struct Range {
  std::size_t first = 0;
  std::size_t last = 0;
};

Range range_of(const Promise& promise, const Loss& loss) {
  const bool killed = loss.mode == Loss::Mode::kNothing;
  return {killed ? promise.acknowledged : promise.durable, promise.issued};
}

std::string state_breach(const RepositoryState& state, const Range& range,
                         const std::vector<RepositoryState>& history) {
  for (std::size_t at = range.last + 1; at > range.first; --at) {
    if (equal(state, history[at - 1])) return {};
  }
  for (std::size_t at = range.first; at > 0; --at) {
    if (!equal(state, history[at - 1])) continue;
    return "the state is that after operation " + std::to_string(at - 1) + ", and " +
           std::to_string(range.first) + " were promised";
  }
  return "the state is none of those after operations " + std::to_string(range.first) + " to " +
         std::to_string(range.last) +
         "; against the first: " + difference(state, history[range.first]) +
         "; against the last: " + difference(state, history[range.last]);
}

std::vector<std::pair<Key, Bytes>> records_of(Volume& volume) {
  Head& head = dynamic_cast<AttachedVolume&>(volume).head();
  std::vector<std::pair<Key, Bytes>> out;
  head.run([&] {
    head.gate().assert_held();
    out.clear();
    head.scan({}, {Ino{UINT64_MAX}, Kind::kLinkref, UINT64_MAX}, [&](const Key& key, ByteView v) {
      out.emplace_back(key, Bytes(v.begin(), v.end()));
      return true;
    });
  });
  return out;
}

std::string record_breach(Repository& repository) {
  for (const VolumeInfo& info : repository.volumes()) {
    const std::vector<std::string> problems =
        problems_of(records_of(*repository.attach(info.row.name)));
    if (!problems.empty()) return "volume " + info.row.name + ": " + problems.front();
  }
  return {};
}

std::string object_breach(Repository& repository) {
  std::map<Digest, std::uint64_t> held;
  std::map<Digest, std::uint64_t> counted;
  repository.store().visit_references(
      [&](const Digest& digest, std::uint64_t count) { held[digest] = count; });
  repository.catalog().count_births([&](const Digest& digest) { ++counted[digest]; });
  if (held != counted) {
    std::map<Digest, std::uint64_t> all = held;
    all.insert(counted.begin(), counted.end());
    std::string what = "references of " + std::to_string(held.size()) +
                       " objects differ from a recount of " + std::to_string(counted.size()) + ":";
    for (const auto& [digest, ignored] : all) {
      const std::uint64_t is = held.contains(digest) ? held.at(digest) : 0;
      const std::uint64_t should = counted.contains(digest) ? counted.at(digest) : 0;
      if (is != should)
        what += " " + digest.hex().substr(0, 16) + " " + std::to_string(is) + " instead of " +
                std::to_string(should);
    }
    return what;
  }
  auto& objects = dynamic_cast<LocalObjects&>(repository.store().objects());
  for (const auto& [digest, count] : held) {
    if (!objects.verify(digest)) return "live object " + digest.hex() + " does not verify";
  }
  return {};
}

std::string file_breach(SimulatedDisk& disk, const CheckOptions& options) {
  if (!options.may_rebuild_index && disk.media().has_made("index.db.rebuild")) {
    return "the index had to be rebuilt";
  }
  for (const char* directory : {"", "/segments", "/journal"}) {
    for (const std::string& name : disk.list(kStorePath + directory)) {
      const bool allowed = options.may_rebuild_index && name.starts_with("index.db");
      if (name.find(".damage") != std::string::npos && !allowed) {
        return name + " was set aside as damaged";
      }
    }
  }
  return {};
}

std::string everything(SimulatedDisk& disk, Repository& repository, const RepositoryState& state,
                       const Range& range, const std::vector<RepositoryState>& history,
                       const CheckOptions& options) {
  std::string breach = state_breach(state, range, history);
  if (breach.empty()) breach = record_breach(repository);
  if (breach.empty()) breach = object_breach(repository);
  if (breach.empty()) breach = file_breach(disk, options);
  return breach;
}

/// Changes something, lets all background work run, closes, opens again.
std::string breach_later(SimulatedDisk& disk, std::unique_ptr<Repository> repository,
                         const CheckOptions& options) {
  Repository::CreateVolume request;
  request.name = "later";
  repository->create_volume(request);
  {
    const std::shared_ptr<Volume> volume = repository->attach("later");
    const Ino ino = volume->make_node(kRootIno, "file", S_IFREG | 0644, 0, {}).ino;
    volume->write(ino, 0, Bytes(40'000, std::byte{7}), false);
    volume->fsync(ino);
  }
  for (int i = 0; i < 1000 && repository->step(); ++i) {
  }
  const RepositoryState expected = state_of(*repository);
  repository->close();
  repository.reset();
  repository = Repository::open(disk, kStorePath, false, options.repository);
  const RepositoryState state = state_of(*repository);
  const std::string breach = everything(disk, *repository, state, {0, 0}, {expected}, options);
  return breach.empty() ? breach : "after going on: " + breach;
}

std::string breach_without_store(SimulatedDisk& disk, const Range& range,
                                 const CheckOptions& options) {
  if (range.first > 0) return "the store is gone";
  const auto repository = Repository::open(disk, kStorePath, true, options.repository);
  if (!repository->volumes().empty()) return "a new store holds volumes";
  repository->close();
  return {};
}

/// Opens the store on `media`.
std::string breach_on(const std::shared_ptr<DiskMedia>& media, const Range& range,
                      const std::vector<RepositoryState>& history, const CheckOptions& options) {
  SimulatedDisk disk(media);
  try {
    if (!Store::exists(disk, kStorePath)) return breach_without_store(disk, range, options);
    auto repository = Repository::open(disk, kStorePath, false, options.repository);
    const RepositoryState state = state_of(*repository);
    std::string breach = everything(disk, *repository, state, range, history, options);
    if (!breach.empty() || !options.go_on) return breach;
    return breach_later(disk, std::move(repository), options);
  } catch (const Error& error) {
    return std::string("it fails with: ") + error.what();
  }
}

/// The steps of the record up to the cut, then those of the recovery: what a killed process did not
/// flush can be lost as long as the recovery has not flushed it either.
std::vector<DiskStep> joined(const CrashRecord& record, std::size_t position,
                             std::vector<DiskStep> recovery) {
  std::vector<DiskStep> out(record.trace.begin(),
                            record.trace.begin() + static_cast<std::ptrdiff_t>(position));
  for (DiskStep& step : recovery) {
    step.covered += position;
    out.push_back(std::move(step));
  }
  return out;
}

/// What a power cut in the middle of a recovery leaves is as good as what it began with.
std::string breach_in_recovery(const CrashRecord& record, const DiskImage& image,
                               const PowerCut& power, const Cut& cut,
                               std::vector<DiskStep> recovery, const CheckOptions& options) {
  const bool killed = cut.loss.mode == Loss::Mode::kNothing;
  const std::size_t begin = killed ? cut.position : 0;
  const std::vector<DiskStep> trace =
      killed ? joined(record, cut.position, std::move(recovery)) : std::move(recovery);
  std::mt19937_64 random(cut.loss.seed + 1);
  for (int i = 0; i < options.cuts_in_recovery; ++i) {
    const std::size_t position = begin + random() % (trace.size() - begin + 1);
    PowerCut second = killed ? PowerCut(record.start, trace) : PowerCut(image, trace);
    second.advance_to(position);
    const Loss loss = Loss::random(random());
    CheckOptions inner = options;
    inner.go_on = false;
    const std::string breach = breach_on(std::make_shared<DiskMedia>(second.image(loss)),
                                         range_of(power.promise(), loss), record.history, inner);
    if (breach.empty()) continue;
    return "cut again before step " + std::to_string(position - begin) + " of the recovery, " +
           loss.text() + ": " + breach;
  }
  return {};
}

}  // namespace

std::string Cut::text() const {
  return "cut before step " + std::to_string(position) + ", " + loss.text();
}

std::string breach_in(const CrashRecord& record, const PowerCut& power, const Cut& cut,
                      const CheckOptions& options) {
  const DiskImage image = power.image(cut.loss);
  const auto media = std::make_shared<DiskMedia>(image);
  const Range range = range_of(power.promise(), cut.loss);
  std::string breach = breach_on(media, range, record.history, options);
  if (breach.empty() && options.cuts_in_recovery > 0) {
    breach = breach_in_recovery(record, image, power, cut, media->take_trace(), options);
  }
  return breach;
}

}  // namespace varve::test
