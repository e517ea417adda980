// SPDX-License-Identifier: Apache-2.0
#include "mountd/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// The first one that sd_listen_fds(3) passes.
constexpr int kFirstPassed = 3;
constexpr std::size_t kMaxStoredAtOnce = 8;

/// The variable's value, taken out of the environment.
std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string out = value == nullptr ? "" : value;
  ::unsetenv(name);
  return out;
}

int number_of(const std::string& text) { return text.empty() ? 0 : std::atoi(text.c_str()); }

sockaddr_un address_of(const std::string& path, socklen_t& size) {
  sockaddr_un out{AF_UNIX, {}};
  if (path.size() >= sizeof out.sun_path) {
    errno = ENAMETOOLONG;
    throw_errno("the address of the service manager " + path);
  }
  std::memcpy(out.sun_path, path.data(), path.size());
  if (path.front() == '@') out.sun_path[0] = '\0';
  size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  return out;
}

/// The file that the socket listens at; empty if it is no such socket.
std::string listening_path(int socket) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0)
    return {};
  sockaddr_un address{};
  size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      address.sun_family != AF_UNIX || address.sun_path[0] == '\0')
    return {};
  return address.sun_path;
}

bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  return a == b || (std::filesystem::equivalent(a, b, error) && !error);
}

}  // namespace

ServiceManager ServiceManager::of_environment() {
  ServiceManager out;
  out.notify_path_ = take_variable("NOTIFY_SOCKET");
  const int pid = number_of(take_variable("LISTEN_PID"));
  const int count = number_of(take_variable("LISTEN_FDS"));
  std::istringstream names(take_variable("LISTEN_FDNAMES"));
  if (pid != ::getpid()) return out;
  for (int i = 0; i < count; ++i) {
    PassedDescriptor& passed = out.passed_.emplace_back();
    std::getline(names, passed.name, ':');
    passed.descriptor = Descriptor(kFirstPassed + i);
    ::fcntl(passed.descriptor.get(), F_SETFD, FD_CLOEXEC);
  }
  return out;
}

void ServiceManager::tell(const std::string& lines, const std::vector<int>& descriptors) const {
  if (notify_path_.empty()) return;
  try {
    socklen_t size = 0;
    const sockaddr_un address = address_of(notify_path_, size);
    const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) throw_errno("make a socket");
    iovec text{const_cast<char*>(lines.data()), lines.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxStoredAtOnce * sizeof(int))]{};
    msghdr message{};
    message.msg_name = const_cast<sockaddr_un*>(&address);
    message.msg_namelen = size;
    message.msg_iov = &text;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
      const std::size_t bytes = std::min(descriptors.size(), kMaxStoredAtOnce) * sizeof(int);
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(bytes);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(bytes);
      std::memcpy(CMSG_DATA(header), descriptors.data(), bytes);
    }
    if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) < 0)
      throw_errno("tell the service manager at " + notify_path_);
  } catch (const Error& error) {
    log_warn("daemon", error.what());
  }
}

PassedSockets::PassedSockets(std::vector<PassedDescriptor> passed) {
  for (PassedDescriptor& each : passed) {
    std::string path = listening_path(each.descriptor.get());
    if (path.empty())
      log_warn("daemon", "the service manager passed '" + each.name +
                             "', which is no listening unix socket; it is closed");
    else
      sockets_.push_back({std::move(path), std::move(each.descriptor)});
  }
}

bool PassedSockets::has(const std::string& path) const {
  return std::any_of(sockets_.begin(), sockets_.end(),
                     [&](const Socket& socket) { return is_same_file(socket.path, path); });
}

int PassedSockets::take(const std::string& path) {
  for (auto socket = sockets_.begin(); socket != sockets_.end(); ++socket) {
    if (!is_same_file(socket->path, path)) continue;
    const int listener = socket->listener.release();
    sockets_.erase(socket);
    return listener;
  }
  return -1;
}

std::vector<std::string> PassedSockets::not_among(const std::vector<std::string>& paths) const {
  std::vector<std::string> out;
  for (const Socket& socket : sockets_)
    if (std::none_of(paths.begin(), paths.end(),
                     [&](const std::string& path) { return is_same_file(path, socket.path); }))
      out.push_back(socket.path);
  return out;
}

}  // namespace varve
