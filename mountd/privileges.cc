// SPDX-License-Identifier: Apache-2.0
#include "mountd/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

constexpr rlim_t kDescriptorsMax = 65'536;

void warn(const char* what) {
  log_warn("daemon", std::string("cannot ") + what + ": " + errno_text(errno));
}

void set_limits() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kDescriptorsMax));
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) warn("raise the limit of open files");
  }
  // The hard limit stays: prlimit(1) can ask for a core file of a daemon that misbehaves.
  if (::getrlimit(RLIMIT_CORE, &limit) == 0) {
    limit.rlim_cur = 0;
    if (::setrlimit(RLIMIT_CORE, &limit) != 0) warn("switch core dumps off");
  }
}

/// Nothing outside of `kept` can come back, whatever is executed.
void drop_bounding_set(std::uint64_t kept) {
  for (unsigned long bit = 0; ::prctl(PR_CAPBSET_READ, bit) >= 0; ++bit) {
    if ((kept >> bit & 1) == 0 && ::prctl(PR_CAPBSET_DROP, bit) != 0 && errno != EPERM)
      warn("drop a capability from the bounding set");
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

void keep_only(std::uint64_t kept) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return warn("read the capabilities");
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto part = static_cast<__u32>(kept >> (32 * i));
    data[i].permitted &= part;
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0) warn("drop capabilities");
}

}  // namespace

std::uint64_t kept_capabilities() {
  return (1ull << CAP_SYS_ADMIN) | (1ull << CAP_DAC_READ_SEARCH);
}

void drop_privileges() {
  set_limits();
  if (::geteuid() != 0) return;
  drop_bounding_set(kept_capabilities());
  keep_only(kept_capabilities());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) warn("set no_new_privs");
}

}  // namespace varve
