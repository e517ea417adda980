// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "fs/attached_volume.h"
#include "fs/attributes.h"
#include "fs/entries.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::uint64_t kDotCookie = 1;
constexpr std::uint64_t kDotDotCookie = 2;
/// Entries collected at a time under the gate; the first batch is small, for short readers.
constexpr std::size_t kFirstBatch = 32;
constexpr std::size_t kLargestBatch = 128;

/// An entry as it was under the gate, to be shown outside of it.
struct Collected {
  std::string name;
  Ino ino{};
  std::uint32_t type = 0;
  std::uint64_t cookie = 0;
  std::optional<Attributes> attributes;
};

/// Stops short, with less than `limit`, where a record would have to be waited for, so that no
/// entry is collected twice; WouldBlock only when it is the very first.
class Collector {
 public:
  Collector(Transaction& transaction, Ino directory, bool with_attributes)
      : transaction_(transaction), directory_(directory), with_attributes_(with_attributes) {}

  std::vector<Collected> after(std::uint64_t cookie, std::size_t limit) {
    const InodeRecord inode = directory_inode(transaction_, directory_);
    if (cookie < kDotCookie) add_dot(".", directory_, kDotCookie);
    if (cookie < kDotDotCookie) add_dot("..", inode.parent, kDotDotCookie);
    if (inode.size == 0) return std::move(out_);  // no entries
    try {
      transaction_.scan({directory_, Kind::kDirent, cookie + 1}, {directory_, Kind::kRegion, 0},
                        [&](const Key& key, ByteView value) {
                          add(key.sub, DirentRecord::decode(value));
                          return out_.size() < limit;
                        });
    } catch (const WouldBlock&) {
      if (out_.empty()) throw;
    }
    return std::move(out_);
  }

 private:
  void add_dot(const char* name, Ino ino, std::uint64_t cookie) {
    out_.push_back({name, ino, S_IFDIR, cookie, {}});
  }
  void add(std::uint64_t cookie, DirentRecord record) {
    Collected entry{std::move(record.name), record.ino, record.type, cookie, {}};
    if (with_attributes_) {
      entry.attributes = attributes_of(entry.ino, transaction_.inode(entry.ino));
    }
    out_.push_back(std::move(entry));
  }

  Transaction& transaction_;
  const Ino directory_;
  const bool with_attributes_;
  std::vector<Collected> out_;
};

}  // namespace

void AttachedVolume::read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                                    const std::function<bool(const DirectoryEntry&)>& visit) {
  for (std::size_t limit = kFirstBatch;; limit = std::min(limit * 2, kLargestBatch)) {
    const std::vector<Collected> batch = view([&](Transaction& transaction) {
      std::vector<Collected> entries =
          Collector(transaction, ino, with_attributes).after(cookie, limit);
      for (const Collected& entry : entries) {
        if (entry.attributes) lookups_.add(entry.ino);
      }
      return entries;
    });
    if (batch.empty()) return;
    bool wanted = true;
    for (const Collected& entry : batch) {
      wanted = wanted && visit({entry.name, entry.ino, entry.type, entry.cookie,
                                entry.attributes ? &*entry.attributes : nullptr});
      if (!wanted && entry.attributes) forget(entry.ino, 1);
    }
    if (!wanted) return;
    cookie = batch.back().cookie;
  }
}

}  // namespace varve
