// SPDX-License-Identifier: Apache-2.0
// Looking for damage in what a store has besides objects.
#include <string>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/journal_scan.h"
#include "store/store_impl.h"

namespace varve {

namespace {
constexpr std::size_t kNoteLimitBytes = 64 * 1024;
}  // namespace

void StoreImpl::check_superblock(std::vector<FileFinding>& findings) {
  const std::string& path = directory_.paths().superblock();
  const auto damaged = superblock_.damaged_slots();
  for (const std::uint32_t slot : damaged) {
    findings.push_back({FileFinding::Part::kSuperblock,
                        path + ": slot " + std::to_string(slot) + " of 2 is damaged", true});
    log_error("store", findings.back().what + "; written anew");
  }
  if (damaged.empty()) return;
  // Slots are written in turn: two writes renew both.
  for (int i = 0; i < 2; ++i) {
    const Superblock now = superblock_.current();
    try {
      superblock_.write(now);
      ++superblock_flushes_;
    } catch (const Error& error) {
      writer_->poison(error.what());
      throw StoreError(EIO, error.what());
    }
  }
}

void StoreImpl::check_journal(std::vector<FileFinding>& findings) {
  // Under the checkpoint's mutex nothing behind the start is used again, so all of it must be
  // there.
  const JournalRing ring(disk_, {directory_.paths().journal(), directory_.format().id,
                                 JournalLayout{superblock_.current().journal_file_bytes}, true});
  JournalScanRequest request;
  request.start_lsn = superblock_.current().journal_start_lsn;
  request.may_be_empty = true;
  request.trusted = true;  // records are being appended: the end is judged here
  const Lsn durable = writer_->durable();
  const JournalScanResult scan = scan_journal(ring, request, [](const ScannedRecord&) {});
  if (scan.end_lsn >= durable) return;
  findings.push_back({FileFinding::Part::kJournal,
                      directory_.paths().journal() + ": a record at position " +
                          std::to_string(scan.end_lsn) + " is damaged",
                      false});
}

std::vector<FileFinding> StoreImpl::check_files() {
  check_writable();
  std::vector<FileFinding> findings;
  {
    const MutexLock lock(checkpoint_mutex_);
    check_superblock(findings);
    check_journal(findings);
  }
  for (const auto& part : {objects_->check_segments(), objects_->check_index()}) {
    findings.insert(findings.end(), part.begin(), part.end());
  }
  return findings;
}

std::string StoreImpl::note() const {
  const std::string path = directory_.paths().note();
  try {
    if (!disk_.exists(path)) return {};
    return std::string(as_text(disk_.read_file(path, kNoteLimitBytes)));
  } catch (const StoreError& error) {
    log_warn("store", error.what());
    return {};
  }
}

void StoreImpl::set_note(const std::string& text) {
  VARVE_CHECK(text.size() <= kNoteLimitBytes);
  disk_.replace_file(directory_.paths().note(), as_bytes(text));
}

void StoreImpl::trim() {
  check_writable();
  checkpoint();
}

}  // namespace varve
