// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_mount.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <future>
#include <thread>
#include <utility>

#include "fs/mapped_volume.h"
#include "mountd/fuse_connection.h"
#include "mountd/fuse_device.h"
#include "mountd/fuse_read_ahead.h"
#include "mountd/fuse_session.h"
#include "mountd/mount_point.h"
#include "mountd/own_descriptors.h"
#include "mountd/unix_socket.h"
#include "store/base/error.h"
#include "store/base/log.h"
#include "store/base/mutex.h"

namespace varve {
namespace {

/// Each round finds the connection busy with dirty pages; a program that dirties them for ever must
/// not hold a snapshot up for ever.
constexpr int kMaxFlushRounds = 100;
/// Requests sent to make every waiting thread take one; each takes about 50 us.
constexpr int kMaxBarriers = 1000;

/// Runs a piece of work on each processor in turn, then where the thread was allowed before.
template <class Work>
void on_each_processor(const Work& work) {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return work();
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    ::sched_setaffinity(0, sizeof one, &one);
    work();
  }
  ::sched_setaffinity(0, sizeof allowed, &allowed);
}

void check_uring() {
  if (!FuseSession::knows_uring())
    throw UserError(ENOSYS,
                    "this build of Varve uses a libfuse without io_uring; mount with "
                    "--transport=plain");
  std::ifstream file("/sys/module/fuse/parameters/enable_uring");
  char enabled = 'N';
  if (!(file >> enabled))
    throw UserError(ENOSYS,
                    "this kernel has no FUSE over io_uring (Linux 6.14 brought it); mount with "
                    "--transport=plain");
  if (enabled != 'Y' && enabled != '1')
    throw UserError(EOPNOTSUPP,
                    "FUSE over io_uring is switched off; switch it on with 'echo Y > "
                    "/sys/module/fuse/parameters/enable_uring', or mount with --transport=plain");
}

FuseMount::Options completed(FuseMount::Options options, const Volume& volume) {
  if (options.fsname.empty()) options.fsname = "varve#" + options.volume;
  options.read_only = options.read_only || volume.read_only();
  options.max_threads = std::max(2u, options.max_threads);
  options.max_slow_threads = std::max(1u, options.max_slow_threads);
  return options;
}

class ServedMount : public FuseMount {
 public:
  ServedMount(std::shared_ptr<Volume> volume, Options options)
      : connection_(std::move(volume), std::move(options),
                    [this](ByteView notification) { return session_->notify(notification); }) {}
  ~ServedMount() override;

  void start();
  void resume(const Connection& connection);
  std::optional<Connection> connection() const override;
  std::string why_not_kept() const override;
  void unmount(Busy busy) override;
  void wait() override;
  bool alive() const override { return session_->connected(); }
  bool flush_kernel() override;
  void invalidate(std::shared_ptr<const VolumeChanges> changes) override {
    connection_.caches.begin_invalidation(std::move(changes));
  }
  void finish_invalidation() override { connection_.caches.finish_invalidation(); }
  Figures figures() const override;
  Transport transport() const override {
    return connection_.uring_agreed ? Transport::kUring : Transport::kPlain;
  }
  const Options& options() const override { return connection_.options; }

 private:
  void serve();
  void probe();
  bool flush_locked() REQUIRES(control_);
  void unmount_locked(Busy busy) REQUIRES(control_);
  /// How far a flush came.
  struct Flushed {
    bool reached = false;  ///< the mount was there and answered
    int error = 0;         ///< what the kernel could not write, an errno
  };
  Flushed flush_apart();
  Flushed flush_through(int directory);
  bool ask(int directory) const;
  void end_connection();
  template <class Step>
  void or_warn(const Step& step) const;

  FuseConnection connection_;
  std::unique_ptr<FuseSession> session_;
  std::uint64_t device_ = 0;
  std::thread server_;

  Mutex control_ ACQUIRED_BEFORE(state_mutex_);  ///< one flush or unmount at a time
  Mutex state_mutex_;
  CondVar state_changed_;
  bool ended_ GUARDED_BY(state_mutex_) = false;
};

ServedMount::~ServedMount() {
  if (!server_.joinable()) return;
  {
    MutexLock lock(control_);
    or_warn([this]() NO_THREAD_SAFETY_ANALYSIS { flush_locked(); });
    or_warn([this]() NO_THREAD_SAFETY_ANALYSIS {
      if (session_->connected()) unmount_locked(Busy::kAbort);
    });
  }
  end_connection();
  server_.join();
}

/// Runs a step of an ending that goes on whatever happens.
template <class Step>
void ServedMount::or_warn(const Step& step) const {
  try {
    step();
  } catch (const std::exception& error) {
    log_warn("fuse", options().fsname + ": " + error.what());
  }
}

void ServedMount::start() {
  const FuseDevice mounted = mount_fuse(options());
  device_ = mounted.device;
  try {
    session_ = std::make_unique<FuseSession>(connection_, mounted.descriptor);
    server_ = start_quiet_thread("fuse-session", [this] { serve(); });
    run_with_own_descriptors([this] { probe(); });
    raise_read_ahead(device_);
  } catch (...) {
    // The device may be closed; what is left is a mount that nobody serves.
    or_warn([this] { unmount_fuse(options().mountpoint, device_, Detach::kAborting); });
    throw;
  }
}

void ServedMount::resume(const Connection& connection) {
  device_ = connection.device;
  session_ = std::make_unique<FuseSession>(connection_, connection.descriptor);
  session_->take_over(connection.agreement);
  std::promise<void> answered;
  std::future<void> when_answered = answered.get_future();
  server_ = start_quiet_thread("fuse-session", [this, &answered] {
    try {
      session_->answer_again();
      connection_.volume->end_resume();
      answered.set_value();
    } catch (...) {
      session_->stop();
      answered.set_exception(std::current_exception());
    }
    serve();
  });
  try {
    when_answered.get();
  } catch (...) {
    server_.join();
    throw;
  }
}

std::optional<FuseMount::Connection> ServedMount::connection() const {
  const int descriptor = session_->descriptor();
  if (descriptor < 0) return std::nullopt;
  return Connection{descriptor, device_, connection_.handshake.agreement()};
}

std::string ServedMount::why_not_kept() const {
  if (transport() == Transport::kUring) return "io_uring cannot be taken over (transport=uring)";
  if (!connection_.handshake.agreement().kernel_resends())
    return "this kernel does not send requests again (Linux 6.9 brought it)";
  return {};
}

void ServedMount::serve() {
  session_->serve();
  connection_.volume.reset();  // after an unmount the kernel forgets without a word
  MutexLock lock(state_mutex_);
  ended_ = true;
  state_changed_.notify_all();
}

/// Waits for the first answer, so that a mount that cannot work is reported and not left behind.
void ServedMount::probe() {
  const Descriptor root(::open(options().mountpoint.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct statfs figures {};
  if (!root || ::fstatfs(root.get(), &figures) != 0)
    throw UserError(
        errno, "the mount on " + options().mountpoint + " does not answer: " + errno_text(errno));
  if (options().transport != Transport::kUring) return;
  for (int i = 0; i < kMaxBarriers && !connection_.uring_seen; ++i) {
    ::fstatfs(root.get(), &figures);
    ::sched_yield();
  }
  if (!connection_.uring_agreed || !connection_.uring_seen)
    throw UserError(EOPNOTSUPP, "FUSE over io_uring could not be started on " +
                                    options().mountpoint + "; mount with --transport=plain");
}

void ServedMount::wait() {
  MutexLock lock(state_mutex_);
  while (!ended_) state_changed_.wait(state_mutex_);
}

bool ServedMount::flush_kernel() {
  MutexLock lock(control_);
  return flush_locked();
}

bool ServedMount::flush_locked() {
  if (options().read_only || !session_->connected()) return true;  // nothing is dirty
  // Opened for each flush: a descriptor that stays would keep the mount busy.
  if (!is_mounted_at(options().mountpoint, device_)) return !session_->connected();
  Flushed flushed;
  run_with_own_descriptors([&] { flushed = flush_apart(); });
  if (!session_->connected()) return true;  // ended meanwhile: nothing of it is dirty any more
  if (flushed.error != 0)
    throw StoreError(flushed.error, "the kernel could not write what programs have changed on " +
                                        options().mountpoint + ": " + errno_text(flushed.error));
  return flushed.reached;
}

/// Runs with descriptors of its own: the session's is not among them.
ServedMount::Flushed ServedMount::flush_apart() {
  const Descriptor root(::open(options().mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat status {};
  if (!root || ::fstat(root.get(), &status) != 0 || status.st_dev != device_) return {};
  return flush_through(root.get());
}

ServedMount::Flushed ServedMount::flush_through(int directory) {
  // syncfs(2) reports what could not be written since `directory` was opened.
  if (::syncfs(directory) != 0) return {true, errno};
  // syncfs has sent every dirty page but need not have waited for the answers. A STATFS comes after
  // them in the kernel's queue; when it is answered, each WRITE before it was read by one of our
  // threads. A thread that has read one but not registered it yet is known to be reading, and moves
  // on soon. WRITEs beyond max_background wait in another queue, and come while these are answered:
  // then there is another round.
  for (int round = 0; round < kMaxFlushRounds; ++round) {
    const std::uint64_t before = connection_.traffic.page_cache_writes();
    if (!ask(directory)) return {};
    const FuseTraffic::Readers readers = connection_.traffic.readers();
    for (int i = 0; i < kMaxBarriers && !readers.all_moved(); ++i)
      if (!ask(directory)) break;
    connection_.traffic.drain_writes();
    if (connection_.traffic.page_cache_writes() == before) break;
  }
  // All are answered: this reports those that failed.
  return {true, ::syncfs(directory) == 0 ? 0 : errno};
}

/// Sends a request through each queue of the connection and waits for the answers.
bool ServedMount::ask(int directory) const {
  struct statfs figures {};
  bool answered = true;
  const auto statfs = [&] { answered = ::fstatfs(directory, &figures) == 0 && answered; };
  if (transport() == Transport::kUring)
    on_each_processor(statfs);
  else
    statfs();
  return answered;
}

void ServedMount::unmount(Busy busy) {
  MutexLock lock(control_);
  if (session_->connected()) {
    if (busy != Busy::kAbort) flush_locked();
    unmount_locked(busy);
  }
  // Nobody holds the mount any more, unless in another mount namespace or after kDetach.
  if (!session_->connected()) wait();
}

void ServedMount::unmount_locked(Busy busy) {
  const Detach how = busy == Busy::kRefuse   ? Detach::kIfIdle
                     : busy == Busy::kDetach ? Detach::kLazily
                                             : Detach::kAborting;
  try {
    run_with_own_descriptors([&] { unmount_fuse(options().mountpoint, device_, how); });
  } catch (const Error&) {
    if (busy != Busy::kAbort || !session_->connected()) {
      if (!session_->connected()) return;  // it ended meanwhile
      throw;
    }
  }
  if (busy == Busy::kAbort) {
    end_connection();
    wait();
  }
}

void ServedMount::end_connection() {
  if (session_->connected() && !abort_connection(device_)) session_->stop();
}

FuseMount::Figures ServedMount::figures() const {
  return {connection_.traffic.requests(), connection_.traffic.failures(),
          connection_.caches.notifications()};
}

}  // namespace

std::unique_ptr<FuseMount> FuseMount::mount(std::shared_ptr<Volume> volume, Options options) {
  options.mountpoint = absolute_mount_point(options.mountpoint);
  Options complete = completed(std::move(options), *volume);
  check_mount_directory(complete.mountpoint);
  if (complete.transport == Transport::kUring) check_uring();
  volume = with_mapping(std::move(volume), complete.ids);
  auto mount = std::make_unique<ServedMount>(std::move(volume), std::move(complete));
  mount->start();
  return mount;
}

std::unique_ptr<FuseMount> FuseMount::resume(std::shared_ptr<Volume> volume, Options options,
                                             const Connection& connection) {
  Options complete = completed(std::move(options), *volume);
  volume = with_mapping(std::move(volume), complete.ids);
  auto mount = std::make_unique<ServedMount>(std::move(volume), std::move(complete));
  mount->resume(connection);
  return mount;
}

}  // namespace varve
