// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/crash_scenarios.h"

#include <sys/stat.h>

#include <memory>
#include <utility>

#include "store/base/error.h"

namespace varve::test {

namespace {

constexpr std::uint64_t kWorkloads = 3;

CrashScenario workload(std::uint64_t seed) {
  CrashScenario out;
  out.name = "workload " + std::to_string(seed);
  out.seed = seed;
  out.record = CrashWorkload(seed).run(110);
  return out;
}

/// A store with a volume, a snapshot and some files, closed; and its state.
struct Closed {
  DiskImage image;
  RepositoryState state;
};

void write_files(Repository& repository, int first, int last) {
  const std::shared_ptr<Volume> volume = repository.attach("v");
  for (int i = first; i < last; ++i) {
    const Ino ino =
        volume->make_node(kRootIno, "file" + std::to_string(i), S_IFREG | 0644, 0, {}).ino;
    volume->write(ino, 0, Bytes(30'000, static_cast<std::byte>(i + 1)), false);
    volume->fsync(ino);
  }
}

Closed closed_store() {
  const auto media = std::make_shared<DiskMedia>();
  SimulatedDisk disk(media);
  auto repository = Repository::open(disk, kStorePath, true, crash_options());
  Repository::CreateVolume request;
  request.name = "v";
  repository->create_volume(request);
  write_files(*repository, 0, 4);
  repository->create_snapshot("v", "s", {});
  write_files(*repository, 4, 8);
  Closed out;
  out.state = state_of(*repository);
  repository->close();
  repository.reset();
  out.image = media->now();
  return out;
}

/// Opens the closed store on `media`, changes it and kills the process.
void use(const std::shared_ptr<DiskMedia>& media, const RepositoryOptions& options,
         CrashScenario& out) {
  SimulatedDisk disk(media);
  media->set_phase(out.name);
  media->promise({0, 0, 0});
  auto repository = Repository::open(disk, kStorePath, false, options);
  out.index_rebuilt_before = media->steps();
  media->set_phase("run");
  media->promise({0, 0, 1});
  repository->create_snapshot("v", "later", {});
  media->promise({1, 1, 1});
  for (int i = 0; i < 100 && repository->step(); ++i) {
  }
  out.record.history.push_back(state_of(*repository));
  const std::shared_ptr<DiskMedia> kept = media->survive();
  repository.reset();
  out.record.start = kept->start();
  out.record.trace = kept->take_trace();
}

CrashScenario lost_index() {
  Closed closed = closed_store();
  for (const char* name : {"index.db", "index.db-wal"}) {
    closed.image.directories.at(kStorePath).erase(name);
  }
  closed.image.drop_unreachable();
  CrashScenario out;
  out.name = "lost index";
  out.record.history.push_back(closed.state);
  use(std::make_shared<DiskMedia>(closed.image), crash_options(), out);
  return out;
}

CrashScenario other_journal_size() {
  const Closed closed = closed_store();
  CrashScenario out;
  out.name = "other journal size";
  out.check.repository.store.journal_file_bytes = 192 * 1024;
  out.record.history.push_back(closed.state);
  use(std::make_shared<DiskMedia>(closed.image), out.check.repository, out);
  out.index_rebuilt_before = 0;
  return out;
}

}  // namespace

std::vector<CrashScenario> all_scenarios() {
  std::vector<CrashScenario> out;
  for (std::uint64_t seed = 1; seed <= kWorkloads; ++seed) out.push_back(workload(seed));
  out.push_back(lost_index());
  out.push_back(other_journal_size());
  return out;
}

}  // namespace varve::test
