// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "store/admission.h"
#include "store/base/mutex.h"
#include "store/journal_writer.h"
#include "store/local_objects.h"
#include "store/recovery.h"
#include "store/store.h"
#include "store/store_directory.h"
#include "store/superblock.h"

namespace varve {

/// The Store of a directory on this host: puts the journal, the superblock and the objects
/// together, and trims the journal in a thread of its own. Safe to share between threads.
///
/// Lock order: checkpoint_mutex_, then the mutexes of LocalObjects or of the journal; state_mutex_
/// and pressure_mutex_ are taken last and nothing is called under them.
class StoreImpl final : public Store {
 public:
  /// What open() has found and made before there is a store.
  struct Parts {
    StoreDirectory directory;
    SuperblockFile superblock;
    std::unique_ptr<JournalRing> recovered_ring;  ///< for replay; as it was before the writer
    RecoveredState state;
    std::unique_ptr<JournalWriter> writer;
    std::unique_ptr<LocalObjects> objects;
    std::unique_ptr<ReadPin> opening_pin;
  };

  StoreImpl(Disk& disk, const StoreOptions& options, Parts parts);
  ~StoreImpl() override;

  void replay(const std::function<void(const JournalRecord&)>& visit) override;
  const std::string& path() const override { return directory_.paths().root(); }
  std::array<std::byte, 16> id() const override { return directory_.format().id; }
  Objects& objects() override { return *objects_; }
  JournalAppender& journal() override { return appender_; }
  std::unique_ptr<ObjectsBatch> begin() override;
  Csn commit(std::unique_ptr<ObjectsBatch> batch, ByteView root, Lsn replay_from) override;
  Bytes root() const override;
  Csn csn() const override;
  void admit(std::uint64_t bytes) override;
  void on_pressure(std::function<void()> callback) override;
  std::unique_ptr<ReadPin> pin() override { return objects_->pins().pin(); }
  std::unique_ptr<ReadPin> pin_at(Csn csn) override { return objects_->pins().pin_at(csn); }
  Csn reclaim_horizon() const override { return objects_->pins().horizon(); }
  std::uint64_t reclaim() override;
  ReclaimRest reclaim_rest() const override { return objects_->reclaim_rest(); }
  StoreFigures figures() const override;
  bool needs_references() const override { return objects_->needs_references(); }
  void set_references(
      const std::function<void(const std::function<void(const Digest&)>&)>& count) override;
  void visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit) override;
  ObjectCheck& check() override { return *objects_; }
  std::vector<FileFinding> check_files() override;
  std::string note() const override;
  void set_note(const std::string& text) override;
  void trim() override;
  void close() override;

 private:
  /// What the layers above append through: the journal, with an eye on how full it is.
  class Appender final : public JournalAppender {
   public:
    explicit Appender(StoreImpl& store) : store_(store) {}
    Lsn append(JournalType type, std::initializer_list<ByteView> parts) override;
    void flush() override { store_.writer_->flush(); }
    Lsn end() const override { return store_.writer_->end(); }

   private:
    StoreImpl& store_;
  };

  /// The last commit.
  struct Committed {
    Csn csn = 0;
    Bytes root;
    Lsn replay_from = 0;
  };

  void check_writable() const;
  void drop_opening_pin();
  void write_commit(LocalBatch& batch, ByteView root, Lsn replay_from);
  void published(Committed next, Lsn record_lsn);
  bool fuller_than(std::uint64_t quarters) const;
  void press();

  void checkpoint_loop();
  void ask_for_checkpoint();
  /// Moves the begin of the journal as far as the last commit and the index allow.
  void checkpoint() EXCLUDES(checkpoint_mutex_);
  void write_superblock(const Committed& committed, Lsn start_lsn, bool clean)
      REQUIRES(checkpoint_mutex_);
  /// Where the journal must begin for the index as it is on disk and the last commit.
  Lsn needed_from(const Committed& committed);
  void mark_closed();

  // store_check.cc
  void check_superblock(std::vector<FileFinding>& findings) REQUIRES(checkpoint_mutex_);
  void check_journal(std::vector<FileFinding>& findings) REQUIRES(checkpoint_mutex_);
  void stop_checkpoints();

  Disk& disk_;
  const StoreOptions options_;
  StoreDirectory directory_;
  std::unique_ptr<JournalRing> recovered_ring_;
  RecoveredState recovered_;
  std::unique_ptr<LocalObjects> objects_;
  std::unique_ptr<JournalWriter> writer_;
  Appender appender_{*this};
  Admission admission_;

  mutable Mutex checkpoint_mutex_;
  SuperblockFile superblock_ GUARDED_BY(checkpoint_mutex_);

  mutable Mutex state_mutex_ ACQUIRED_AFTER(checkpoint_mutex_);
  CondVar checkpoint_asked_;
  Committed committed_ GUARDED_BY(state_mutex_);
  /// Keeps what died in the commits of the journal until the layer above has its own pins.
  std::unique_ptr<ReadPin> opening_pin_ GUARDED_BY(state_mutex_);
  /// Of commits that the index on disk may not hold yet.
  std::deque<RecoveredState::Commit> commit_records_ GUARDED_BY(state_mutex_);
  bool checkpoint_wanted_ GUARDED_BY(state_mutex_) = false;
  bool stopping_ GUARDED_BY(state_mutex_) = false;

  Mutex pressure_mutex_;
  std::function<void()> pressure_ GUARDED_BY(pressure_mutex_);
  std::atomic<bool> pressed_{false};
  std::atomic<Lsn> last_operation_lsn_{0};
  std::atomic<std::uint64_t> superblock_flushes_{0};

  std::thread checkpointer_;  ///< last: uses everything above
};

}  // namespace varve
