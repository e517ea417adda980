// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <boost/filesystem.hpp>
#include <set>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/mount_volume.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/cli/volume_request.h"
#include "mountd/cli/volume_source.h"
#include "mountd/http_message.h"
#include "mountd/size_text.h"
#include "mountd/spawn.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr std::array kVolumeInitOptions{kSizeOption, kLabelOption, kVolumeOption};

/// The signals that would end this process wait, for as long as this lives, for next().
class HeldSignals {
 public:
  HeldSignals() {
    sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set_, signal);
    ::sigprocmask(SIG_BLOCK, &set_, &before_);
  }
  ~HeldSignals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  /// The next one, or 0 after `milliseconds`.
  int next(long milliseconds) const {
    const timespec wait{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
    const int signal = ::sigtimedwait(&set_, nullptr, &wait);
    return signal > 0 ? signal : 0;
  }

 private:
  sigset_t set_;
  sigset_t before_;
};

/// A mount of the volume at a directory of its own; both are gone at the end.
class PrivateMount {
 public:
  PrivateMount(const Invocation& invocation, Service& service, const std::string& volume)
      : service_(service), directory_(temporary_directory()) {
    try {
      mount_volume(invocation, {volume, directory_, "private", false});
    } catch (...) {
      ::rmdir(directory_.c_str());
      throw;
    }
  }
  ~PrivateMount() {
    try {
      end();
    } catch (const std::exception& error) {
      print_warning(directory_ + " is still mounted: " + error.what());
    }
  }
  PrivateMount(const PrivateMount&) = delete;
  PrivateMount& operator=(const PrivateMount&) = delete;

  const std::string& directory() const { return directory_; }
  bool empty() const { return boost::filesystem::is_empty(directory_); }

  std::string contents() const {
    struct statvfs status {};
    if (::statvfs(directory_.c_str(), &status) != 0) return "";
    const std::uint64_t bytes = (status.f_blocks - status.f_bfree) * status.f_frsize;
    return std::to_string(status.f_files - status.f_ffree) + " inodes, " + size_text(bytes);
  }

  /// Unmounts: from here on the volume holds what was written. May be called twice.
  void end() {
    if (ended_) return;
    service_.call("DELETE", "/v1/mounts", {{"where", directory_}, {"busy", "refuse"}});
    ended_ = true;
    ::rmdir(directory_.c_str());
  }

 private:
  static std::string temporary_directory() {
    std::string path = (boost::filesystem::temp_directory_path() / "varve-init-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) throw_errno("make a directory for the mount");
    return path;
  }

  Service& service_;
  const std::string directory_;
  bool ended_ = false;
};

/// Runs the program that fetches, and shows on a terminal how far it is. UserError if it fails or
/// the user ends it.
void fetch(const VolumeSource& source, const PrivateMount& mount) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  const HeldSignals signals;
  Spawn program;
  program.words = source.fetch_words(mount.directory(), terminal);
  program.program = program.words.front();
  const pid_t child = spawn(program);
  const bool own_progress = program.program != "cp";
  bool interrupted = false;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    const int signal = signals.next(250);
    if (signal != 0 && signal != SIGCHLD && !interrupted) {
      interrupted = true;
      ::kill(-child, SIGTERM);
    }
    if (signal == 0 && terminal && !own_progress)
      std::fprintf(stderr, "\r%s: %s ", source.volume.c_str(), mount.contents().c_str());
  }
  if (terminal && !own_progress) std::fputs("\r\033[K", stderr);
  if (interrupted) throw UserError(EINTR, "interrupted");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw UserError(EIO, "'" + program.program + "' failed, see above");
}

std::string volume_path(const std::string& name) { return "/v1/volumes/" + percent_encode(name); }

/// Makes the volume if there is none of that name. True if it was made here.
bool make_volume(const Invocation& invocation, Service& service, const std::string& name) {
  try {
    service.call("GET", volume_path(name));
    return false;
  } catch (const UserError& error) {
    if (error.code() != ENOENT) throw;
  }
  Json request = volume_request(invocation);
  request["name"] = name;
  service.call("POST", "/v1/volumes", request);
  return true;
}

void init_one(const Invocation& invocation, const VolumeSource& source) {
  Service service(invocation);
  service.require_daemon(kIdleExitSeconds);
  const bool made = make_volume(invocation, service, source.volume);
  try {
    PrivateMount mount(invocation, service, source.volume);
    if (!mount.empty())
      throw UserError(EEXIST, "volume " + source.volume +
                                  " is not empty; name another one, or mount it and copy");
    fetch(source, mount);
    const std::string contents = mount.contents();
    mount.end();
    print_line(source.volume + ": " + contents);
  } catch (const UserError& error) {
    if (!made) {
      if (error.code() == EEXIST || error.code() == EBUSY) throw;
      throw UserError(error.code(), "volume " + source.volume + " was not filled from " +
                                        source.source + ", it may hold a part: " + error.what());
    }
    service.call("DELETE", volume_path(source.volume));
    throw UserError(error.code(), "volume " + source.volume + " was not made from " +
                                      source.source + ": " + error.what() +
                                      "; what there was of it is in the trash");
  }
}

int run_volume_init(const Invocation& invocation) {
  // All are looked at before the first volume is made.
  std::vector<VolumeSource> sources;
  std::set<std::string> volumes;
  for (const std::string& argument : invocation.arguments) {
    sources.push_back(VolumeSource::parse(argument));
    if (!volumes.insert(sources.back().volume).second)
      throw UsageError("volume " + sources.back().volume + " is named twice");
  }
  for (const VolumeSource& source : sources) init_one(invocation, source);
  return kOk;
}

}  // namespace

const Command kVolumeInit{
    "volume",
    "init",
    "SOURCE:VOLUME...",
    "Create volumes and fill them",
    "SOURCE is a directory, whose contents are copied with owners, times and attributes, a file, "
    "a\n"
    "git repository (git://, ssh://, or http(s):// that ends in .git), or a file to download\n"
    "(http(s)://). A volume that exists must be empty. Uses the programs cp, git and curl. Prints\n"
    "what each volume holds.",
    kVolumeInitOptions,
    1,
    static_cast<std::size_t>(-1),
    run_volume_init};

}  // namespace varve::cli
