// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "store/base/disk.h"
#include "store/base/mutex.h"

namespace varve::test {

/// What PowerDisk and its files share: per file, what each write since the last sync replaced.
class PowerState {
 public:
  void written(const std::string& path, std::uint64_t offset, Bytes old) {
    const MutexLock lock(mutex_);
    pending_[path].push_back({offset, std::move(old)});
  }
  /// What a sync that begins now covers.
  std::size_t mark(const std::string& path) {
    const MutexLock lock(mutex_);
    return pending_[path].size();
  }
  void synced(const std::string& path, std::size_t covered) {
    const MutexLock lock(mutex_);
    auto& writes = pending_[path];
    writes.erase(writes.begin(),
                 writes.begin() + static_cast<std::ptrdiff_t>(std::min(covered, writes.size())));
  }
  void renamed(const std::string& from, const std::string& to) {
    const MutexLock lock(mutex_);
    pending_[to] = std::move(pending_[from]);
    pending_.erase(from);
  }
  void removed(const std::string& path) {
    const MutexLock lock(mutex_);
    pending_.erase(path);
  }

  /// Undoes in `to`, a copy of `from`, each sector that was not synced with probability
  /// `lost_percent`.
  void lose(const std::string& from, const std::string& to, std::uint32_t lost_percent,
            std::uint64_t seed) {
    const MutexLock lock(mutex_);
    std::mt19937_64 random(seed);
    for (const auto& [path, writes] : pending_) {
      if (path.rfind(from + "/", 0) != 0 || writes.empty()) continue;
      const std::string copy = to + path.substr(from.size());
      if (std::filesystem::exists(copy)) undo(copy, writes, lost_percent, random);
    }
  }

 private:
  static constexpr std::uint64_t kSector = 512;
  struct Write {
    std::uint64_t offset;
    Bytes old;
  };

  static void undo(const std::string& copy, const std::vector<Write>& writes,
                   std::uint32_t lost_percent, std::mt19937_64& random) {
    std::fstream file(copy, std::ios::binary | std::ios::in | std::ios::out);
    std::map<std::uint64_t, bool> lost;
    for (auto write = writes.rbegin(); write != writes.rend(); ++write) {
      for (std::uint64_t at = 0; at < write->old.size();) {
        const std::uint64_t position = write->offset + at;
        const std::uint64_t sector = position / kSector;
        const std::uint64_t size =
            std::min<std::uint64_t>((sector + 1) * kSector - position, write->old.size() - at);
        const auto [entry, fresh] = lost.try_emplace(sector, false);
        if (fresh) entry->second = random() % 100 < lost_percent;
        if (entry->second) {
          file.seekp(static_cast<std::streamoff>(position));
          file.write(reinterpret_cast<const char*>(write->old.data() + at),
                     static_cast<std::streamsize>(size));
        }
        at += size;
      }
    }
  }

  Mutex mutex_;
  std::map<std::string, std::vector<Write>> pending_ GUARDED_BY(mutex_);
};

class PowerFile final : public File {
 public:
  PowerFile(std::unique_ptr<File> inner, std::shared_ptr<PowerState> state)
      : inner_(std::move(inner)), state_(std::move(state)) {}

  std::size_t read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    return inner_->read_at(offset, out);
  }
  void write_at(std::uint64_t offset, ByteView bytes) override {
    Bytes old(bytes.size());
    inner_->read_at(offset, old);  // behind the end it stays zeros
    state_->written(path(), offset, std::move(old));
    inner_->write_at(offset, bytes);
  }
  void sync() override {
    const std::size_t covered = state_->mark(path());
    inner_->sync();
    state_->synced(path(), covered);
  }
  std::uint64_t size() const override { return inner_->size(); }
  void truncate(std::uint64_t size) override { inner_->truncate(size); }
  void punch_hole(std::uint64_t offset, std::uint64_t size) override {
    inner_->punch_hole(offset, size);
  }
  std::uint64_t allocated_bytes() const override { return inner_->allocated_bytes(); }
  const std::string& path() const override { return inner_->path(); }

 private:
  std::unique_ptr<File> inner_;
  std::shared_ptr<PowerState> state_;
};

/// A Disk that remembers what was written and not synced, so that a test can make the image that a
/// power cut leaves: sectors of unsynced writes are there or not, independently. Names are kept as
/// they are, and what SQLite writes is not seen. Safe to share between threads.
class PowerDisk final : public Disk {
 public:
  explicit PowerDisk(Disk& inner = Disk::host()) : inner_(inner) {}

  /// Copies the directory `from` to `to` as a power cut would leave it; 0 percent lost is what the
  /// death of the process leaves.
  void cut(const std::string& from, const std::string& to, std::uint32_t lost_percent,
           std::uint64_t seed) {
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
    state_->lose(from, to, lost_percent, seed);
  }

  std::unique_ptr<File> open(const std::string& path, Mode mode) override {
    return std::make_unique<PowerFile>(inner_.open(path, mode), state_);
  }
  bool exists(const std::string& path) const override { return inner_.exists(path); }
  void remove(const std::string& path) override {
    inner_.remove(path);
    state_->removed(path);
  }
  void rename(const std::string& from, const std::string& to) override {
    inner_.rename(from, to);
    state_->renamed(from, to);
  }
  void make_directory(const std::string& path) override { inner_.make_directory(path); }
  std::vector<std::string> list(const std::string& path) const override {
    return inner_.list(path);
  }
  void sync_directory(const std::string& path) override { inner_.sync_directory(path); }
  Space space(const std::string& path) const override { return inner_.space(path); }
  std::unique_ptr<File> try_lock(const std::string& path) override { return inner_.try_lock(path); }

 private:
  Disk& inner_;
  std::shared_ptr<PowerState> state_ = std::make_shared<PowerState>();
};

}  // namespace varve::test
