// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/base/disk.h"
#include "store/base/error.h"

namespace varve::fuzz {

/// A file in memory, for readers only.
class MemoryFile final : public File {
 public:
  explicit MemoryFile(Bytes bytes) : bytes_(std::move(bytes)) {}

  std::size_t read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= bytes_.size()) return 0;
    const std::size_t size = std::min<std::size_t>(out.size(), bytes_.size() - offset);
    if (size > 0) std::memcpy(out.data(), bytes_.data() + offset, size);
    return size;
  }
  void write_at(std::uint64_t, ByteView) override { refuse(); }
  void sync() override { refuse(); }
  std::uint64_t size() const override { return bytes_.size(); }
  void truncate(std::uint64_t) override { refuse(); }
  void punch_hole(std::uint64_t, std::uint64_t) override { refuse(); }
  std::uint64_t allocated_bytes() const override { return bytes_.size(); }
  const std::string& path() const override { return path_; }

 private:
  [[noreturn]] static void refuse() { throw StoreError(EROFS, "a file for readers"); }
  Bytes bytes_;
  std::string path_ = "memory";
};

/// A disk of files in memory, for readers only.
class MemoryDisk final : public Disk {
 public:
  std::map<std::string, Bytes> files;

  std::unique_ptr<File> open(const std::string& path, Mode) override {
    const auto found = files.find(path);
    if (found == files.end()) throw StoreError(ENOENT, path + ": not there");
    return std::make_unique<MemoryFile>(found->second);
  }
  bool exists(const std::string& path) const override { return files.contains(path); }
  std::vector<std::string> list(const std::string& path) const override {
    std::vector<std::string> out;
    for (const auto& [name, bytes] : files) {
      if (name.rfind(path + "/", 0) == 0) out.push_back(name.substr(path.size() + 1));
    }
    return out;
  }
  void remove(const std::string& path) override { files.erase(path); }
  void rename(const std::string&, const std::string&) override { refuse(); }
  void make_directory(const std::string&) override { refuse(); }
  void sync_directory(const std::string&) override { refuse(); }
  Space space(const std::string&) const override { return {}; }
  std::unique_ptr<File> try_lock(const std::string&) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { throw StoreError(EROFS, "a disk for readers"); }
};

}  // namespace varve::fuzz
