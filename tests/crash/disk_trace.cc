// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/disk_trace.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace varve::test {

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string leaf_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Bytes& DiskImage::content(InodeNumber inode) {
  std::shared_ptr<Bytes>& bytes = files.at(inode);
  if (bytes.use_count() > 1) bytes = std::make_shared<Bytes>(*bytes);
  return *bytes;
}

const DiskImage::Entry* DiskImage::find(const std::string& path) const {
  const auto directory = directories.find(parent_of(path));
  if (directory == directories.end()) return nullptr;
  const auto entry = directory->second.find(leaf_of(path));
  return entry == directory->second.end() ? nullptr : &entry->second;
}

void DiskImage::drop_unreachable() {
  for (auto at = directories.begin(); at != directories.end();) {
    // Parents come before their children in this order.
    const Entry* entry = at->first == "/disk" ? nullptr : find(at->first);
    const bool reachable = at->first == "/disk" || (entry != nullptr && entry->inode == 0);
    at = reachable ? std::next(at) : directories.erase(at);
  }
  std::set<InodeNumber> named;
  for (const auto& [path, directory] : directories) {
    for (const auto& [name, entry] : directory) named.insert(entry.inode);
  }
  std::erase_if(files, [&](const auto& file) { return !named.contains(file.first); });
}

void DiskImage::write_to(const std::string& path) const {
  for (const auto& [directory, entries] : directories) {
    const std::string target = path + directory;
    std::filesystem::create_directories(target);
    for (const auto& [name, entry] : entries) {
      if (entry.inode == 0) continue;
      const Bytes& bytes = *files.at(entry.inode);
      std::ofstream out(target + "/" + name, std::ios::binary);
      out.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
    }
  }
}

void apply(DiskImage& image, const DiskStep& step) {
  using Kind = DiskStep::Kind;
  const auto directory = image.directories.find(step.directory);
  const bool has_directory = directory != image.directories.end();
  switch (step.kind) {
    case Kind::kWrite: {
      if (!image.files.contains(step.inode)) return;
      Bytes& content = image.content(step.inode);
      content.resize(std::max<std::size_t>(content.size(), step.offset + step.bytes.size()));
      std::copy(step.bytes.begin(), step.bytes.end(),
                content.begin() + static_cast<std::ptrdiff_t>(step.offset));
      return;
    }
    case Kind::kTruncate:
      if (image.files.contains(step.inode)) image.content(step.inode).resize(step.offset);
      return;
    case Kind::kCreate:
      if (has_directory) directory->second[step.name] = {step.inode};
      return;
    case Kind::kMakeDirectory:
      if (!has_directory) return;
      directory->second[step.name] = {0};
      image.directories.try_emplace(step.directory + "/" + step.name);
      return;
    case Kind::kRename: {
      if (!has_directory) return;
      const auto from = directory->second.find(step.name);
      if (from != directory->second.end() && from->second.inode == step.inode) {
        directory->second.erase(from);
      }
      directory->second[step.new_name] = {step.inode};
      return;
    }
    case Kind::kRemove: {
      if (!has_directory) return;
      const auto entry = directory->second.find(step.name);
      if (entry != directory->second.end() && entry->second.inode == step.inode) {
        directory->second.erase(entry);
      }
      return;
    }
    case Kind::kSync:
    case Kind::kSyncDirectory:
    case Kind::kPromise:
      return;
  }
}

}  // namespace varve::test
