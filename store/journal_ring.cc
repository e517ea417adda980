// SPDX-License-Identifier: Apache-2.0
#include "store/journal_ring.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/store_directory.h"

namespace varve {

namespace {

constexpr std::uint64_t kZeroBytes = 1 << 20;

/// The index in a journal file's name; empty for any other name.
std::optional<std::uint64_t> index_of(const std::string& name) {
  std::uint64_t index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index, 16);
  static_cast<void>(end);
  if (error != std::errc() || StorePaths::journal_file_name(index) != name) return std::nullopt;
  return index;
}

void write_zeros(File& file, std::uint64_t size) {
  const Bytes zeros(static_cast<std::size_t>(std::min(size, kZeroBytes)));
  for (std::uint64_t at = 0; at < size; at += zeros.size()) {
    const std::uint64_t count = std::min<std::uint64_t>(zeros.size(), size - at);
    file.write_at(at, ByteView(zeros).first(static_cast<std::size_t>(count)));
  }
}

}  // namespace

JournalRing::JournalRing(Disk& disk, Config config) : config_(std::move(config)) {
  for (const std::string& name : disk.list(config_.directory)) {
    const std::string path = config_.directory + "/" + name;
    if (name.size() > 4 && name.ends_with(".new")) {
      if (!config_.looks_only) disk.remove(path);
    } else if (index_of(name)) {
      open_file(disk, name);
    } else {
      log_warn("journal", path + ": not a file of the journal; left alone");
    }
  }
}

void JournalRing::open_file(Disk& disk, const std::string& name) {
  Slot slot;
  slot.index = index_of(name).value();
  slot.file = disk.open(config_.directory + "/" + name,
                        config_.looks_only ? Disk::Mode::kReadOnly : Disk::Mode::kReadWrite);
  if (slot.file->size() != layout().file_bytes) {
    misfits_.push_back(slot.file->path());
    return;
  }
  Bytes block(kJournalFileHeaderBytes);
  block.resize(slot.file->read_at(0, block));
  const std::optional<JournalFileHeader> header =
      JournalFileHeader::decode(block, config_.store_id);
  if (header && header->file_bytes == layout().file_bytes) {
    slot.span = layout().span_of(header->base_lsn);
    slot.epoch = header->epoch;
  }
  slots_.push_back(std::move(slot));
}

File* JournalRing::file_of(std::uint64_t span) const {
  // Two files can claim one span when a crash came between a recycling and its flush; the later
  // writer's is the one in use.
  const Slot* best = nullptr;
  for (const Slot& slot : slots_) {
    if (slot.span != span) continue;
    if (best == nullptr || slot.epoch > best->epoch) best = &slot;
  }
  return best == nullptr ? nullptr : best->file.get();
}

bool JournalRing::has_free() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.span; });
}

std::string JournalRing::defect() const {
  if (!misfits_.empty()) return misfits_.front() + " has another size than the journal's files";
  if (slots_.size() < next_index()) {
    return std::to_string(next_index() - slots_.size()) + " of its files missing";
  }
  return {};
}

void JournalRing::keep_only(std::uint64_t first, std::uint64_t last) {
  for (Slot& slot : slots_) {
    if (!slot.span) continue;
    const bool outside = *slot.span < first || *slot.span > last;
    if (outside || file_of(*slot.span) != slot.file.get()) slot.span.reset();
  }
}

File* JournalRing::assign(std::uint64_t span, std::uint32_t epoch) {
  const auto slot =
      std::find_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.span; });
  if (slot == slots_.end()) return nullptr;
  const JournalFileHeader header{config_.store_id, layout().base_of(span), layout().file_bytes,
                                 epoch};
  slot->file->write_at(0, header.encode());
  slot->span = span;
  slot->epoch = epoch;
  return slot->file.get();
}

std::uint64_t JournalRing::next_index() const {
  std::uint64_t index = 0;
  for (const Slot& slot : slots_) index = std::max(index, slot.index + 1);
  return index;
}

std::unique_ptr<File> JournalRing::create_file(Disk& disk, const Config& config,
                                               std::uint64_t index) {
  const std::string path = config.directory + "/" + StorePaths::journal_file_name(index);
  const std::string temporary = path + ".new";
  disk.remove(temporary);
  try {
    const std::unique_ptr<File> file = disk.open(temporary, Disk::Mode::kCreateNew);
    file->keep_in_place();
    write_zeros(*file, config.layout.file_bytes);
    file->sync();
  } catch (...) {
    try {
      disk.remove(temporary);  // gives the space back when the disk is full
    } catch (const Error& error) {
      log_warn("journal", error.what());
    }
    throw;
  }
  disk.rename(temporary, path);
  disk.sync_directory(config.directory);
  return disk.open(path, Disk::Mode::kReadWrite);
}

void JournalRing::adopt(std::uint64_t index, std::unique_ptr<File> file) {
  Slot slot;
  slot.index = index;
  slot.file = std::move(file);
  slots_.push_back(std::move(slot));
}

void JournalRing::drop_misfits(Disk& disk) {
  for (const std::string& path : misfits_) {
    log_warn("journal", path + ": of another size than the journal's files; removed");
    disk.remove(path);
  }
  misfits_.clear();
}

}  // namespace varve
