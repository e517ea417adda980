// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/index.h"
#include "store/journal_ring.h"
#include "store/journal_writer.h"
#include "store/local_objects.h"
#include "store/recovery.h"
#include "store/store_directory.h"
#include "store/store_impl.h"
#include "store/superblock.h"

namespace varve {

namespace {

constexpr std::uint64_t kJournalFileBytesMax = 1ull << 30;

void check_options(const StoreOptions& options, const std::string& path) {
  const std::uint64_t bytes = options.journal_file_bytes;
  if (bytes < kJournalFileBytesMin || bytes > kJournalFileBytesMax ||
      bytes % kJournalBlockBytes != 0) {
    throw UserError(EINVAL, path + ": journal files of " + std::to_string(bytes) +
                                " bytes; choose a multiple of 4096 from 64 KiB to 1 GiB");
  }
  if (options.journal_files_max < 2) {
    throw UserError(EINVAL, path + ": a journal needs at least 2 files to go round");
  }
}

LocalObjects::Paths object_paths(const StorePaths& paths) {
  return {paths.segments(), paths.index()};
}

JournalRing::Config ring_config(const StoreDirectory& directory, std::uint64_t file_bytes) {
  return {directory.paths().journal(), directory.format().id, JournalLayout{file_bytes}};
}

void make_journal(Disk& disk, const StorePaths& paths, const StoreId& id,
                  const StoreOptions& options) {
  const JournalRing::Config config{paths.journal(), id, JournalLayout{options.journal_file_bytes}};
  JournalRing::create_file(disk, config, 0);
}

Superblock first_superblock(const StoreId& id, const StoreOptions& options) {
  Superblock out;
  out.sequence = 1;
  out.id = id;
  out.journal_file_bytes = options.journal_file_bytes;
  out.journal_start_lsn = JournalLayout{options.journal_file_bytes}.first_of(0);
  out.durable_lsn = out.journal_start_lsn;
  out.clean = true;
  return out;
}

/// What open() finds out about the journal before anything is changed.
struct Journal {
  std::unique_ptr<JournalRing> ring;
  RecoveredState state;
};

/// An empty journal whose files get another size: the old files go, and the stream goes on in a
/// span behind all that they held. A crash in between leaves an empty journal without files.
void resize_files(Disk& disk, const StoreDirectory& directory, std::uint64_t file_bytes,
                  Journal& journal) {
  const std::string& path = directory.paths().journal();
  for (const std::string& name : disk.list(path)) disk.remove(path + "/" + name);
  disk.sync_directory(path);
  const JournalLayout layout{file_bytes};
  const Lsn start = layout.first_of(layout.span_of(journal.state.scan.end_lsn) + 1);
  journal.state.start_lsn = journal.state.scan.end_lsn = start;
  journal.ring = std::make_unique<JournalRing>(disk, ring_config(directory, file_bytes));
}

Journal read_journal(Disk& disk, const StoreDirectory& directory, const SuperblockFile& file,
                     const StoreOptions& options) {
  const Superblock& superblock = file.current();
  disk.make_directory(directory.paths().journal());
  Journal out;
  out.ring =
      std::make_unique<JournalRing>(disk, ring_config(directory, superblock.journal_file_bytes));
  out.state = recover_state(*out.ring, superblock, file.is_latest(), options.drop_damaged_journal);
  const bool resize = superblock.clean && !out.state.scan.any &&
                      superblock.journal_file_bytes != options.journal_file_bytes;
  if (resize) resize_files(disk, directory, options.journal_file_bytes, out);
  return out;
}

/// Goes on after the recovered journal, in a new epoch; all of it is durable on return.
std::unique_ptr<JournalWriter> make_writer(Disk& disk, const Journal& journal,
                                           const Superblock& superblock,
                                           const StoreOptions& options) {
  const JournalScanResult& scan = journal.state.scan;
  JournalWriter::Position position;
  position.start_lsn = scan.any ? journal.state.start_lsn : scan.end_lsn;
  position.end_lsn = scan.end_lsn;
  position.durable_lsn = scan.durable_lsn;
  position.epoch = std::max(scan.epoch, superblock.journal_epoch) + 1;
  position.marks = scan.marks;
  // A process that died while it made a file may have left a name that is not durable yet.
  if (!superblock.clean) disk.sync_directory(journal.ring->config().directory);
  return std::make_unique<JournalWriter>(
      disk, JournalRing(disk, journal.ring->config()),
      JournalWriter::Options{options.journal_files_max, options.reserve_bytes}, position);
}

/// Says where the journal begins now and that it is in use. Before it nothing is appended.
void mark_in_use(SuperblockFile& file, const Journal& journal, const JournalWriter& writer) {
  Superblock next = file.current();
  next.csn = journal.state.csn;
  next.root = journal.state.root;
  next.replay_from = journal.state.replay_from;
  next.journal_start_lsn = journal.state.scan.any ? journal.state.start_lsn : writer.first_mark();
  next.durable_lsn = writer.durable();
  next.journal_file_bytes = journal.ring->layout().file_bytes;
  next.journal_epoch = writer.epoch();
  next.clean = false;
  file.write(std::move(next));
}

}  // namespace

void Store::create(Disk& disk, const std::string& path, const StoreOptions& options) {
  check_options(options, path);
  StoreDirectory directory = StoreDirectory::prepare(disk, path);
  StoreFormat format;
  format.id = random_store_id();
  LocalObjects::create(disk, object_paths(directory.paths()), format.id);
  make_journal(disk, directory.paths(), format.id, options);
  // Flushes the directory, and with it the names of all that was made before.
  SuperblockFile::create(disk, directory.paths().superblock(),
                         first_superblock(format.id, options));
  directory.write_format(format);
}

bool Store::exists(const Disk& disk, const std::string& path) {
  return StoreDirectory::exists(disk, path);
}

bool Store::index_is_marked(const Disk& disk, const std::string& path) {
  return disk.exists(index_damage_mark(StorePaths(path).index()));
}

void Store::mark_index(Disk& disk, const std::string& path) {
  disk.replace_file(index_damage_mark(StorePaths(path).index()), {});
}

std::unique_ptr<Store> Store::open(Disk& disk, const std::string& path,
                                   const StoreOptions& options) {
  check_options(options, path);
  StoreDirectory directory = StoreDirectory::open(disk, path);
  SuperblockFile superblock(disk, directory.paths().superblock(), directory.format().id);
  Journal journal = read_journal(disk, directory, superblock, options);
  std::unique_ptr<JournalWriter> writer = make_writer(disk, journal, superblock.current(), options);
  mark_in_use(superblock, journal, *writer);
  disk.make_directory(directory.paths().segments());
  auto objects = std::make_unique<LocalObjects>(disk, object_paths(directory.paths()),
                                                directory.format().id, options);
  // Taken before anything of the journal is known to the index, whose writer forgets what dies
  // early.
  std::unique_ptr<ReadPin> pin = objects->pins().pin_at(0);
  recover_objects(*objects, *journal.ring, journal.state);
  return std::make_unique<StoreImpl>(
      disk, options,
      StoreImpl::Parts{std::move(directory), std::move(superblock), std::move(journal.ring),
                       std::move(journal.state), std::move(writer), std::move(objects),
                       std::move(pin)});
}

}  // namespace varve
