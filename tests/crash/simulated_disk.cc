// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/simulated_disk.h"

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "store/base/error.h"

namespace varve::test {

using Kind = DiskStep::Kind;

namespace {

[[noreturn]] void refuse(const std::string& path, int code) {
  throw StoreError(code, path + ": " + errno_text(code));
}

class SimulatedFile final : public File {
 public:
  SimulatedFile(std::shared_ptr<DiskMedia> media, std::string path, InodeNumber inode, bool locks)
      : media_(std::move(media)), path_(std::move(path)), inode_(inode), locks_(locks) {}
  ~SimulatedFile() override {
    if (locks_) media_->unlock(path_);
  }
  SimulatedFile(const SimulatedFile&) = delete;
  SimulatedFile& operator=(const SimulatedFile&) = delete;

  std::size_t read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    return media_->read(inode_, offset, out);
  }
  void write_at(std::uint64_t offset, ByteView bytes) override {
    if (bytes.empty()) return;
    DiskStep step = about(Kind::kWrite, offset);
    step.bytes.assign(bytes.begin(), bytes.end());
    media_->change(std::move(step));
  }
  void sync() override {
    DiskStep step = about(Kind::kSync, 0);
    step.path = path_;
    media_->flush(std::move(step));
  }
  std::uint64_t size() const override { return media_->size(inode_); }
  void truncate(std::uint64_t size) override { media_->change(about(Kind::kTruncate, size)); }
  void punch_hole(std::uint64_t offset, std::uint64_t size) override {
    const std::uint64_t end = std::min(this->size(), offset + size);
    if (offset < end) write_at(offset, Bytes(end - offset));
  }
  std::uint64_t allocated_bytes() const override { return size(); }
  const std::string& path() const override { return path_; }

 private:
  DiskStep about(Kind kind, std::uint64_t offset) const {
    DiskStep step;
    step.kind = kind;
    step.inode = inode_;
    step.offset = offset;
    return step;
  }

  const std::shared_ptr<DiskMedia> media_;
  const std::string path_;
  const InodeNumber inode_;
  const bool locks_;
};

}  // namespace

// ---- DiskMedia ---------------------------------------------------------------------------------

DiskMedia::DiskMedia(DiskImage start) : start_(std::move(start)), now_(start_) {
  if (!start_.files.empty()) last_inode_ = start_.files.rbegin()->first;
}

std::shared_ptr<DiskMedia> DiskMedia::survive() {
  auto next = std::make_shared<DiskMedia>(start_);
  const MutexLock lock(mutex_);
  const MutexLock next_lock(next->mutex_);
  next->now_ = now_;
  next->trace_ = std::move(trace_);
  trace_.clear();
  next->phase_ = phase_;
  next->last_inode_ = last_inode_;
  return next;
}

void DiskMedia::promise(const Promise& promise) {
  DiskStep step;
  step.kind = Kind::kPromise;
  step.promise = promise;
  change(std::move(step));
}

void DiskMedia::set_phase(const std::string& phase) {
  const MutexLock lock(mutex_);
  phase_ = phase;
}

DiskImage DiskMedia::now() const {
  const MutexLock lock(mutex_);
  return now_;
}

std::vector<DiskStep> DiskMedia::take_trace() {
  const MutexLock lock(mutex_);
  return std::exchange(trace_, {});
}

std::size_t DiskMedia::steps() const {
  const MutexLock lock(mutex_);
  return trace_.size();
}

bool DiskMedia::has_made(const std::string& name) const {
  const MutexLock lock(mutex_);
  return std::any_of(trace_.begin(), trace_.end(), [&](const DiskStep& step) {
    return step.kind == Kind::kCreate && step.name == name;
  });
}

void DiskMedia::record(DiskStep step) {
  apply(now_, step);
  trace_.push_back(std::move(step));
}

void DiskMedia::change(DiskStep step) {
  const MutexLock lock(mutex_);
  record(std::move(step));
}

void DiskMedia::flush(DiskStep step) {
  {
    const MutexLock lock(mutex_);
    step.covered = trace_.size();
    step.phase = phase_;
  }
  std::this_thread::yield();  // what others write meanwhile is not covered
  change(std::move(step));
}

std::size_t DiskMedia::read(InodeNumber inode, std::uint64_t offset,
                            std::span<std::byte> out) const {
  const MutexLock lock(mutex_);
  const Bytes& content = *now_.files.at(inode);
  if (offset >= content.size()) return 0;
  const std::size_t count = std::min<std::size_t>(out.size(), content.size() - offset);
  std::copy_n(content.begin() + static_cast<std::ptrdiff_t>(offset), count, out.begin());
  return count;
}

std::uint64_t DiskMedia::size(InodeNumber inode) const {
  const MutexLock lock(mutex_);
  return now_.files.at(inode)->size();
}

InodeNumber DiskMedia::create(const std::string& path) {
  if (!now_.directories.contains(parent_of(path))) refuse(path, ENOENT);
  DiskStep step;
  step.kind = Kind::kCreate;
  step.inode = ++last_inode_;
  step.directory = parent_of(path);
  step.name = leaf_of(path);
  now_.files.emplace(step.inode, std::make_shared<Bytes>());
  record(std::move(step));
  return last_inode_;
}

InodeNumber DiskMedia::open(const std::string& path, Disk::Mode mode) {
  const MutexLock lock(mutex_);
  const DiskImage::Entry* entry = now_.find(path);
  if (mode == Disk::Mode::kCreateNew) {
    if (entry != nullptr) refuse(path, EEXIST);
    return create(path);
  }
  if (entry == nullptr) refuse(path, ENOENT);
  if (entry->inode == 0) refuse(path, EINVAL);
  return entry->inode;
}

void DiskMedia::make_directory(const std::string& path) {
  const MutexLock lock(mutex_);
  if (const DiskImage::Entry* entry = now_.find(path)) {
    if (entry->inode != 0) refuse(path, ENOTDIR);
    return;
  }
  if (!now_.directories.contains(parent_of(path))) refuse(path, ENOENT);
  DiskStep step;
  step.kind = Kind::kMakeDirectory;
  step.directory = parent_of(path);
  step.name = leaf_of(path);
  record(std::move(step));
}

void DiskMedia::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  const DiskImage::Entry* entry = now_.find(from);
  if (entry == nullptr) refuse(from, ENOENT);
  if (parent_of(from) != parent_of(to)) refuse(to, EXDEV);  // nothing here does that
  DiskStep step;
  step.kind = Kind::kRename;
  step.inode = entry->inode;
  step.directory = parent_of(from);
  step.name = leaf_of(from);
  step.new_name = leaf_of(to);
  record(std::move(step));
}

void DiskMedia::remove(const std::string& path) {
  const MutexLock lock(mutex_);
  const DiskImage::Entry* entry = now_.find(path);
  if (entry == nullptr) return;
  if (entry->inode == 0) refuse(path, EISDIR);
  DiskStep step;
  step.kind = Kind::kRemove;
  step.inode = entry->inode;
  step.directory = parent_of(path);
  step.name = leaf_of(path);
  record(std::move(step));
}

void DiskMedia::lock(const std::string& path, bool& taken) {
  const MutexLock lock(mutex_);
  taken = std::find(locked_.begin(), locked_.end(), path) == locked_.end();
  if (taken) locked_.push_back(path);
}

void DiskMedia::unlock(const std::string& path) {
  const MutexLock lock(mutex_);
  std::erase(locked_, path);
}

// ---- SimulatedDisk -----------------------------------------------------------------------------

std::unique_ptr<File> SimulatedDisk::open(const std::string& path, Mode mode) {
  const InodeNumber inode = media_->open(path, mode);
  return std::make_unique<SimulatedFile>(media_, path, inode, false);
}

bool SimulatedDisk::exists(const std::string& path) const {
  return path == "/disk" || media_->now().find(path) != nullptr;
}

std::vector<std::string> SimulatedDisk::list(const std::string& path) const {
  const DiskImage now = media_->now();
  const auto directory = now.directories.find(path);
  if (directory == now.directories.end()) refuse(path, ENOENT);
  std::vector<std::string> names;
  for (const auto& [name, entry] : directory->second) names.push_back(name);
  return names;
}

void SimulatedDisk::sync_directory(const std::string& path) {
  DiskStep step;
  step.kind = Kind::kSyncDirectory;
  step.directory = path;
  step.path = path;
  media_->flush(std::move(step));
}

std::unique_ptr<File> SimulatedDisk::try_lock(const std::string& path) {
  bool taken = false;
  media_->lock(path, taken);
  if (!taken) return nullptr;
  const Mode mode = exists(path) ? Mode::kReadWrite : Mode::kCreateNew;
  const InodeNumber inode = media_->open(path, mode);
  return std::make_unique<SimulatedFile>(media_, path, inode, true);
}

}  // namespace varve::test
