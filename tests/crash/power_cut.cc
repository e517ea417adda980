// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/power_cut.h"

#include <algorithm>
#include <random>
#include <utility>

namespace varve::test {

namespace {

using Kind = DiskStep::Kind;
using Mode = Loss::Mode;

constexpr std::uint64_t kSectorBytes = 512;

bool is_about_content(const DiskStep& step) {
  return step.kind == Kind::kWrite || step.kind == Kind::kTruncate;
}

/// Lets the pending steps through to an image, or not.
class Survivors {
 public:
  Survivors(const Loss& loss, const std::set<std::size_t>& owed, std::size_t first,
            std::size_t last)
      : loss_(loss), owed_(owed), random_(loss.seed) {
    until_ = first >= last ? last : first + random_() % (last - first + 1);
  }

  void apply_to(DiskImage& image, const DiskStep& step, std::size_t place) {
    switch (loss_.mode) {
      case Mode::kNothing:
        return apply(image, step);
      case Mode::kAll:
        return;
      case Mode::kSectors:
        if (step.kind == Kind::kWrite) return apply_sectors(image, step);
        break;
      case Mode::kWrites:
        break;
      case Mode::kFiles:
        if (is_about_content(step) && lost_file(step.inode)) return;
        if (is_about_content(step)) return apply(image, step);
        break;
      case Mode::kLater:
        if (place < until_) apply(image, step);
        return;
      case Mode::kSkipped:
        if (!owed_.contains(place)) apply(image, step);
        return;
    }
    if (!lost()) apply(image, step);
  }

 private:
  bool lost() { return random_() % 100 < loss_.percent; }
  bool lost_file(InodeNumber inode) {
    const auto [entry, fresh] = files_.try_emplace(inode, false);
    if (fresh) entry->second = lost();
    return entry->second;
  }

  void apply_sectors(DiskImage& image, const DiskStep& step) {
    if (!image.files.contains(step.inode)) return;
    Bytes& content = image.content(step.inode);
    const std::uint64_t end = step.offset + step.bytes.size();
    // The new size may be lost, and with it what lies behind the old one; or come without it.
    if (end > content.size() && !lost()) content.resize(end);
    for (std::uint64_t at = step.offset; at < end;) {
      const std::uint64_t next = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
      const std::uint64_t limit = std::min<std::uint64_t>(next, content.size());
      if (!lost() && at < limit) {
        std::copy(step.bytes.begin() + static_cast<std::ptrdiff_t>(at - step.offset),
                  step.bytes.begin() + static_cast<std::ptrdiff_t>(limit - step.offset),
                  content.begin() + static_cast<std::ptrdiff_t>(at));
      }
      at = next;
    }
  }

  const Loss& loss_;
  const std::set<std::size_t>& owed_;
  std::mt19937_64 random_;
  std::size_t until_ = 0;
  std::map<InodeNumber, bool> files_;
};

}  // namespace

Loss Loss::random(std::uint64_t seed) {
  static constexpr Mode kModes[] = {Mode::kAll,   Mode::kSectors, Mode::kSectors, Mode::kWrites,
                                    Mode::kFiles, Mode::kFiles,   Mode::kLater};
  static constexpr std::uint32_t kPercents[] = {3, 20, 50, 80, 97};
  std::mt19937_64 random(seed);
  Loss out;
  out.mode = kModes[random() % std::size(kModes)];
  out.percent = kPercents[random() % std::size(kPercents)];
  out.seed = random();
  return out;
}

std::string Loss::text() const {
  static constexpr const char* kNames[] = {"nothing",
                                           "everything",
                                           "sectors",
                                           "writes",
                                           "files",
                                           "the latest",
                                           "what a skipped flush covers"};
  return std::string(kNames[static_cast<std::size_t>(mode)]) + " lost, " + std::to_string(percent) +
         " %, loss seed " + std::to_string(seed);
}

PowerCut::PowerCut(DiskImage start, const std::vector<DiskStep>& trace,
                   std::function<bool(std::size_t)> skips)
    : trace_(trace), skips_(std::move(skips)), durable_(std::move(start)) {}

void PowerCut::advance_to(std::size_t position) {
  for (; position_ < position; ++position_) {
    const DiskStep& step = trace_[position_];
    if (step.kind == Kind::kPromise) {
      promise_ = step.promise;
    } else if (step.is_flush()) {
      flush(step, skips_ && skips_(position_));
    } else {
      if (step.kind == Kind::kCreate) {
        durable_.files.emplace(step.inode, std::make_shared<Bytes>());
      }
      pending_.push_back(position_);
    }
  }
}

bool PowerCut::covers(const DiskStep& flush, const DiskStep& step) {
  if (flush.kind == Kind::kSync) return is_about_content(step) && step.inode == flush.inode;
  return !is_about_content(step) && step.directory == flush.directory;
}

void PowerCut::flush(const DiskStep& step, bool skipped) {
  // A directory keeps what was flushed into it although its own name, in its parent, is not durable
  // yet: until that is, nobody finds it.
  if (step.kind == Kind::kSyncDirectory && !skipped) {
    durable_.directories.try_emplace(step.directory);
  }
  std::erase_if(pending_, [&](std::size_t place) {
    if (place >= step.covered || !covers(step, trace_[place])) return false;
    if (skipped) {
      owed_.insert(place);
      return false;
    }
    apply(durable_, trace_[place]);
    owed_.erase(place);
    return true;
  });
}

DiskImage PowerCut::image(const Loss& loss) const {
  DiskImage out = durable_;
  Survivors survivors(loss, owed_, pending_.empty() ? position_ : pending_.front(), position_);
  for (const std::size_t place : pending_) survivors.apply_to(out, trace_[place], place);
  // The death of a process leaves files without a name to the next life: their numbers stay taken.
  if (loss.mode != Mode::kNothing) out.drop_unreachable();
  return out;
}

}  // namespace varve::test
