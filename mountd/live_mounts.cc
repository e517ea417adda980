// SPDX-License-Identifier: Apache-2.0
#include "mountd/live_mounts.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "mountd/mount_point.h"
#include "mountd/size_text.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// How long an unmount waits for the last user of the files in other mount namespaces.
constexpr std::chrono::milliseconds kDetachWait{2000};

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

LiveMounts::LiveMounts(Repository& repository, std::string store, Mounter mounter, Keeper* keeper)
    : repository_(repository),
      store_(std::move(store)),
      mounter_(std::move(mounter)),
      keeper_(keeper) {}

LiveMounts::~LiveMounts() {
  refuse_new(true);
  abort_all();
}

void LiveMounts::abort_all() {
  try {
    unmount_all(FuseMount::Busy::kAbort);
  } catch (const Error& error) {
    // Its connection ends all the same, when the last descriptor of it is closed.
    log_error("mount", std::string("abort: ") + error.what());
  }
  MutexLock lock(mutex_);
  for (reap(); !entries_.empty(); reap()) changed_.wait(mutex_);
}

LiveMount LiveMounts::mount(const MountRequest& request) {
  MutexLock one_at_a_time(mounting_);
  return mount_locked(request);
}

LiveMount LiveMounts::mount_locked(const MountRequest& request) {
  {
    MutexLock lock(mutex_);
    if (refuse_new_) throw UserError(EBUSY, "the daemon is stopping; run the command again");
  }
  if (clear_dead_mounts(request.mount_point))
    log_warn("mount", "detached a mount at " + request.mount_point + " whose daemon was gone");
  check_mount_point(request.mount_point, store_);
  Entry entry;
  LiveMount& about = entry.about;
  // What an earlier mount of the volume has journalled is before it.
  entry.kept_as.since_lsn = repository_.store().journal().end();
  std::shared_ptr<Volume> volume = attach(request, about);
  FuseMount::Options options = request.options.fuse;
  options.mountpoint = about.mount_point = request.mount_point;
  options.volume = about.target();
  options.read_only = options.read_only || volume->read_only();
  options.allow_other = request.options.allow_other.value_or(::geteuid() == 0);
  if (::geteuid() != 0) options.nosuid = options.nodev = true;  // fusermount3 insists
  entry.mount = mounter_(std::move(volume), options);
  about.read_only = options.read_only;
  about.mounted_ns = now_ns();
  keep(entry);
  return add(std::move(entry));
}

/// Puts a mount that is served on the list.
LiveMount LiveMounts::add(Entry served) {
  LiveMount& about = served.about;
  const FuseMount& mount = *served.mount;
  about.options = mount_options_text(mount.options(), about.read_only);
  about.transport = mount.transport();
  about.writeback = mount.options().writeback;
  log_info("mount", about.target() + " at " + about.mount_point + " (" + about.options + ")");
  MutexLock lock(mutex_);
  reap();
  Entry& entry = entries_.emplace_back(std::move(served));
  entry.watcher = std::thread([this, &entry] { watch(entry); });
  return entry.about;
}

/// Lets the mount outlive this process, if that is possible.
void LiveMounts::keep(Entry& entry) {
  LiveMount& about = entry.about;
  const FuseMount& mount = *entry.mount;
  about.why_not_kept =
      keeper_ == nullptr ? "the daemon was started without a keeper" : mount.why_not_kept();
  const std::optional<FuseMount::Connection> connection = mount.connection();
  if (!about.why_not_kept.empty() || !connection) return;
  const FuseMount::Options& options = mount.options();
  KeptMount& kept = entry.kept_as;
  kept.target = about.target();
  kept.mount_point = about.mount_point;
  kept.options = mount_options_text(options, about.read_only) +
                 ",max_threads=" + std::to_string(options.max_threads);
  if (options.fsname.find(',') == std::string::npos) kept.options += ",fsname=" + options.fsname;
  kept.read_only = about.read_only;
  kept.mounted_ns = about.mounted_ns;
  kept.volume_id = static_cast<std::uint64_t>(repository_.volume(about.volume).row.id);
  kept.device = connection->device;
  kept.agreement = connection->agreement;
  try {
    entry.kept = keeper_->keep(kept, connection->descriptor);
  } catch (const Error& error) {
    about.why_not_kept = error.what();
    log_error("mount", about.target() + " will end with the daemon: " + error.what());
  }
}

void LiveMounts::resume(KeeperLegacy::Mount legacy, std::shared_ptr<Volume>& volume) {
  MutexLock one_at_a_time(mounting_);
  KeptMount& kept = legacy.about;
  Entry entry;
  LiveMount& about = entry.about;
  const std::size_t at = kept.target.find('@');
  about.volume = kept.target.substr(0, at);
  if (at != std::string::npos) about.snapshot = kept.target.substr(at + 1);
  about.mount_point = kept.mount_point;
  about.read_only = kept.read_only;
  about.detached = kept.detached;
  about.mounted_ns = kept.mounted_ns;
  MountOptions options;
  parse_mount_options(kept.options, options);
  options.fuse.mountpoint = kept.mount_point;
  options.fuse.volume = kept.target;
  options.fuse.read_only = kept.read_only;
  options.fuse.allow_other = options.allow_other.value_or(false);
  volume = about.snapshot.empty()
               ? with_snapshots(repository_.resume(about.volume), about.volume, options)
               : repository_.attach_snapshot(kept.target);
  entry.mount = FuseMount::resume(volume, options.fuse,
                                  {legacy.device.release(), kept.device, kept.agreement});
  entry.kept = legacy.number;
  entry.kept_as = std::move(kept);
  add(std::move(entry));
}

void LiveMounts::note_detached(Entry& entry) {
  entry.about.detached = true;
  if (!entry.kept || entry.ended || entry.kept_as.detached) return;
  entry.kept_as.detached = true;
  keeper_->change(*entry.kept, entry.kept_as);
}

std::shared_ptr<Volume> LiveMounts::attach(const MountRequest& request, LiveMount& about) {
  const std::size_t at = request.target.find('@');
  if (at != std::string::npos) {
    about.volume = repository_.volume(request.target.substr(0, at)).row.name;
    about.snapshot = request.target.substr(at + 1);
    return repository_.attach_snapshot(about.target());
  }
  about.volume = name_of_volume(request);
  refuse_second_mount(about.volume);
  return with_snapshots(repository_.attach(about.volume), about.volume, request.options);
}

std::shared_ptr<Volume> LiveMounts::with_snapshots(std::shared_ptr<Volume> volume,
                                                   const std::string& name,
                                                   const MountOptions& options) {
  return options.fuse.snapshots ? repository_.with_snapshots(std::move(volume), name) : volume;
}

std::string LiveMounts::name_of_volume(const MountRequest& request) {
  try {
    return repository_.volume(request.target).row.name;
  } catch (const UserError& error) {
    if (error.code() != ENOENT || !request.options.create) throw;
  }
  Repository::CreateVolume creation;
  creation.name = request.target;
  creation.quota_bytes = kDefaultQuotaBytes;
  creation.root_uid = ::geteuid();
  creation.root_gid = ::getegid();
  return repository_.create_volume(creation).row.name;
}

void LiveMounts::refuse_second_mount(const std::string& volume) const {
  MutexLock lock(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.ended || entry.about.volume != volume || !entry.about.snapshot.empty()) continue;
    if (entry.about.detached)
      throw UserError(EBUSY, "volume " + volume + " was unmounted from " + entry.about.mount_point +
                                 " and programs still use its files; end them first");
    throw UserError(EBUSY, "volume " + volume + " is mounted at " + entry.about.mount_point +
                               " already; use that directory, mount a snapshot (" + volume +
                               "@SNAPSHOT), or unmount it first");
  }
}

void LiveMounts::watch(Entry& entry) {
  ::pthread_setname_np(::pthread_self(), "mount-watch");
  entry.mount->wait();
  if (entry.kept) keeper_->forget(*entry.kept);
  log_info("mount", entry.about.target() + " at " + entry.about.mount_point + " has ended");
  MutexLock lock(mutex_);
  entry.ended = true;
  changed_.notify_all();
}

void LiveMounts::reap() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->ended) {
      it->watcher.join();
      it = entries_.erase(it);
    } else {
      ++it;
    }
  }
}

LiveMounts::Entry& LiveMounts::find(const std::string& where) {
  Entry* found = nullptr;
  for (Entry& entry : entries_) {
    if (entry.ended || entry.about.detached) continue;
    const bool is_path = where.find('/') != std::string::npos;
    if ((is_path ? entry.about.mount_point : entry.about.target()) != where) continue;
    // The newest mount at a mount point is the one on top.
    if (found != nullptr && !is_path)
      throw UserError(EBUSY, where + " is mounted more than once (" + found->about.mount_point +
                                 ", " + entry.about.mount_point + "); give the directory");
    found = &entry;
  }
  if (found == nullptr)
    throw UserError(ENOENT, where +
                                " is not mounted by this store's daemon; 'varve status' lists "
                                "the mounts");
  return *found;
}

LiveMounts::Entry* LiveMounts::entry_of(const FuseMount& mount) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& candidate) {
    return candidate.mount.get() == &mount;
  });
  return entry == entries_.end() ? nullptr : &*entry;
}

LiveMount LiveMounts::unmount(const std::string& where, FuseMount::Busy busy) {
  std::shared_ptr<FuseMount> mount;
  {
    MutexLock lock(mutex_);
    reap();
    mount = find(where).mount;
  }
  mount->unmount(busy);

  MutexLock lock(mutex_);
  LiveMount about;
  about.mount_point = where;
  const auto give_up = std::chrono::steady_clock::now() + kDetachWait;
  // While this waits, another thread may reap the entry.
  for (Entry* entry = entry_of(*mount); entry != nullptr; entry = entry_of(*mount)) {
    note_detached(*entry);
    about = entry->about;
    about.detached = !entry->ended;
    if (entry->ended || std::chrono::steady_clock::now() >= give_up) break;
    about.detached = false;  // if it is gone at the next look
    changed_.wait_for(mutex_, std::chrono::milliseconds(100));
  }
  mount.reset();
  reap();
  return about;
}

void LiveMounts::unmount_all(FuseMount::Busy busy) {
  std::vector<std::shared_ptr<FuseMount>> mounts;
  {
    MutexLock lock(mutex_);
    for (auto it = entries_.rbegin(); it != entries_.rend(); ++it)
      if (!it->ended) mounts.push_back(it->mount);
  }
  for (const auto& mount : mounts) {
    mount->unmount(busy);
    MutexLock lock(mutex_);
    for (Entry& entry : entries_)
      if (entry.mount == mount) note_detached(entry);
  }
}

void LiveMounts::refuse_new(bool refuse) {
  MutexLock lock(mutex_);
  refuse_new_ = refuse;
}

LiveMount LiveMounts::snapshot_of(const Entry& entry) {
  LiveMount about = entry.about;
  about.figures = entry.mount->figures();
  return about;
}

std::vector<LiveMount> LiveMounts::list() const {
  std::vector<LiveMount> mounts;
  MutexLock lock(mutex_);
  for (const Entry& entry : entries_)
    if (!entry.ended) mounts.push_back(snapshot_of(entry));
  return mounts;
}

std::string LiveMounts::mount_point_of(const std::string& volume) const {
  MutexLock lock(mutex_);
  for (const Entry& entry : entries_)
    if (!entry.ended && entry.about.volume == volume && entry.about.snapshot.empty())
      return entry.about.mount_point;
  return {};
}

bool LiveMounts::empty() const {
  MutexLock lock(mutex_);
  return std::all_of(entries_.begin(), entries_.end(),
                     [](const Entry& entry) { return entry.ended; });
}

bool LiveMounts::wait_until_empty(std::chrono::milliseconds timeout) {
  const auto give_up = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  for (;;) {
    reap();
    if (entries_.empty()) return true;
    if (std::chrono::steady_clock::now() >= give_up) return false;
    changed_.wait_for(mutex_, std::chrono::milliseconds(100));
  }
}

std::vector<std::shared_ptr<FuseMount>> LiveMounts::mounts_of(const std::string& volume) const {
  std::vector<std::shared_ptr<FuseMount>> mounts;
  MutexLock lock(mutex_);
  for (const Entry& entry : entries_)
    if (!entry.ended && entry.about.snapshot.empty() &&
        (volume.empty() || entry.about.volume == volume))
      mounts.push_back(entry.mount);
  return mounts;
}

bool LiveMounts::flush(const std::string& volume) {
  bool complete = true;
  for (const auto& mount : mounts_of(volume))
    complete = (mount->options().read_only || mount->flush_kernel()) && complete;
  return complete;
}

bool LiveMounts::flush_all() { return flush({}); }

void LiveMounts::invalidate(const std::string& volume,
                            const std::shared_ptr<const VolumeChanges>& changes) {
  for (const auto& mount : mounts_of(volume)) mount->invalidate(changes);
}

void LiveMounts::finish_invalidation(const std::string& volume) {
  for (const auto& mount : mounts_of(volume)) mount->finish_invalidation();
}

}  // namespace varve
