// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "store/base/mutex.h"
#include "tests/support/memory_volume.h"

namespace varve::test {

/// A place where threads wait while it is closed. Open at first.
class Gate {
 public:
  void close() { set(false); }
  void open() { set(true); }
  /// Waits until the gate is open.
  void pass() {
    MutexLock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    while (!open_) changed_.wait(mutex_);
    --inside_;
  }
  /// Returns when at least `count` threads wait here.
  void wait_for(std::size_t count) {
    MutexLock lock(mutex_);
    while (inside_ < count) changed_.wait(mutex_);
  }
  std::size_t inside() {
    MutexLock lock(mutex_);
    return inside_;
  }

 private:
  void set(bool open) {
    MutexLock lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = true;
  std::size_t inside_ GUARDED_BY(mutex_) = 0;
};

/// A MemoryVolume that several threads may use, with gates and faults for tests of what lies above.
class SharedVolume : public Volume {
 private:
  template <class Body>
  auto call(const char* operation, Body&& body) {
    MutexLock lock(mutex_);
    if (const auto found = faults_.find(operation); found != faults_.end()) found->second();
    return body(volume_);
  }

 public:
  explicit SharedVolume(std::function<Time()> clock) : volume_(std::move(clock)) {}

  Gate fsync_gate;  ///< fsync and sync wait here, outside the lock
  Gate write_gate;  ///< so does write

  /// Calls `body(MemoryVolume&)` with the lock held.
  template <class Body>
  auto with(Body&& body) {
    MutexLock lock(mutex_);
    return body(volume_);
  }
  /// From now on `operation` ("read", "lookup", ...) calls `thrower`, which throws.
  void fail(const std::string& operation, std::function<void()> thrower) {
    MutexLock lock(mutex_);
    faults_[operation] = std::move(thrower);
  }
  /// It works again.
  void repair(const std::string& operation) {
    MutexLock lock(mutex_);
    faults_.erase(operation);
  }
  /// What the last write was told about setuid and setgid.
  bool last_write_cleared_setid() const { return last_write_cleared_setid_.load(); }
  std::uint64_t fsyncs() const { return fsyncs_.load(); }

  std::optional<Attributes> lookup(Ino parent, std::string_view name) override {
    return call("lookup", [&](MemoryVolume& volume) { return volume.lookup(parent, name); });
  }
  void forget(Ino ino, std::uint64_t count) override {
    call("forget", [&](MemoryVolume& volume) { volume.forget(ino, count); });
  }
  Attributes getattr(Ino ino) override {
    return call("getattr", [&](MemoryVolume& volume) { return volume.getattr(ino); });
  }
  Attributes setattr(Ino ino, const SetAttributes& change, const Caller& caller) override {
    return call("setattr",
                [&](MemoryVolume& volume) { return volume.setattr(ino, change, caller); });
  }
  std::string readlink(Ino ino) override {
    return call("readlink", [&](MemoryVolume& volume) { return volume.readlink(ino); });
  }
  Attributes make_node(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                       const Caller& caller) override {
    return call("make_node", [&](MemoryVolume& volume) {
      return volume.make_node(parent, name, mode, rdev, caller);
    });
  }
  Attributes make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                            const Caller& caller) override {
    return call("make_directory", [&](MemoryVolume& volume) {
      return volume.make_directory(parent, name, mode, caller);
    });
  }
  Attributes make_symlink(Ino parent, std::string_view name, std::string_view target,
                          const Caller& caller) override {
    return call("make_symlink", [&](MemoryVolume& volume) {
      return volume.make_symlink(parent, name, target, caller);
    });
  }
  Attributes make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) override {
    return call("make_temporary",
                [&](MemoryVolume& volume) { return volume.make_temporary(parent, mode, caller); });
  }
  Attributes link(Ino ino, Ino new_parent, std::string_view new_name) override {
    return call("link",
                [&](MemoryVolume& volume) { return volume.link(ino, new_parent, new_name); });
  }
  void unlink(Ino parent, std::string_view name) override {
    call("unlink", [&](MemoryVolume& volume) { volume.unlink(parent, name); });
  }
  void rmdir(Ino parent, std::string_view name) override {
    call("rmdir", [&](MemoryVolume& volume) { volume.rmdir(parent, name); });
  }
  void rename(Ino parent, std::string_view name, Ino new_parent, std::string_view new_name,
              RenameMode mode) override {
    call("rename",
         [&](MemoryVolume& volume) { volume.rename(parent, name, new_parent, new_name, mode); });
  }
  void read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                      const std::function<bool(const DirectoryEntry&)>& visit) override {
    call("read_directory",
         [&](MemoryVolume& volume) { volume.read_directory(ino, cookie, with_attributes, visit); });
  }
  std::size_t read(Ino ino, std::uint64_t offset, std::span<std::byte> out) override {
    return call("read", [&](MemoryVolume& volume) { return volume.read(ino, offset, out); });
  }
  void write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) override {
    write_gate.pass();
    call("write", [&](MemoryVolume& volume) {
      last_write_cleared_setid_.store(clear_setid);
      volume.write(ino, offset, data, clear_setid);
    });
  }
  void allocate(Ino ino, AllocateMode mode, std::uint64_t offset, std::uint64_t size) override {
    call("allocate", [&](MemoryVolume& volume) { volume.allocate(ino, mode, offset, size); });
  }
  std::uint64_t seek(Ino ino, std::uint64_t offset, SeekWhat what) override {
    return call("seek", [&](MemoryVolume& volume) { return volume.seek(ino, offset, what); });
  }
  std::uint64_t copy_range(Ino from, std::uint64_t from_offset, Ino to, std::uint64_t to_offset,
                           std::uint64_t size) override {
    return call("copy_range", [&](MemoryVolume& volume) {
      return volume.copy_range(from, from_offset, to, to_offset, size);
    });
  }
  void fsync(Ino ino) override {
    fsync_gate.pass();
    call("fsync", [&](MemoryVolume& volume) {
      fsyncs_.fetch_add(1);
      volume.fsync(ino);
    });
  }
  void sync() override {
    fsync_gate.pass();
    call("sync", [&](MemoryVolume& volume) { volume.sync(); });
  }
  void set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                 bool clear_setgid) override {
    call("set_xattr",
         [&](MemoryVolume& volume) { volume.set_xattr(ino, name, value, mode, clear_setgid); });
  }
  std::optional<Bytes> get_xattr(Ino ino, std::string_view name) override {
    return call("get_xattr", [&](MemoryVolume& volume) { return volume.get_xattr(ino, name); });
  }
  std::vector<std::string> list_xattrs(Ino ino) override {
    return call("list_xattrs", [&](MemoryVolume& volume) { return volume.list_xattrs(ino); });
  }
  void remove_xattr(Ino ino, std::string_view name) override {
    call("remove_xattr", [&](MemoryVolume& volume) { volume.remove_xattr(ino, name); });
  }
  FileSystemFigures statfs() override {
    return call("statfs", [](MemoryVolume&) {
      return FileSystemFigures{1u << 30, 1u << 29, 1000, 500};
    });
  }
  bool read_only() const override { return read_only_; }
  /// Its changes die with the process, so there is nothing that an earlier one has applied.
  std::optional<AppliedRequest> applied_before(RequestId) override { return std::nullopt; }
  void answered(RequestId) override {}
  void end_resume() override {}
  /// Before the mount.
  void set_read_only() { read_only_ = true; }

 private:
  mutable Mutex mutex_;
  MemoryVolume volume_ GUARDED_BY(mutex_);
  std::map<std::string, std::function<void()>> faults_ GUARDED_BY(mutex_);
  std::atomic<bool> last_write_cleared_setid_{false};
  std::atomic<std::uint64_t> fsyncs_{0};
  std::atomic<bool> read_only_{false};
};

}  // namespace varve::test
