// SPDX-License-Identifier: Apache-2.0
#include "mountd/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "store/base/error.h"

namespace varve {
namespace {

/// The address of a socket in a directory that is held open while the address is used: through
/// /proc the path is short however deep the directory is.
class SocketAddress {
 public:
  explicit SocketAddress(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    name_ = slash == std::string::npos ? path : path.substr(slash + 1);
    directory_ = Descriptor(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory_) return;
    const std::string short_path =
        "/proc/self/fd/" + std::to_string(directory_.get()) + "/" + name_;
    if (short_path.size() >= sizeof address_.sun_path) {
      directory_.reset();
      errno = ENAMETOOLONG;
      return;
    }
    std::memcpy(address_.sun_path, short_path.c_str(), short_path.size() + 1);
  }
  /// False with errno set if the directory cannot be opened.
  bool valid() const { return static_cast<bool>(directory_); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static constexpr socklen_t size() { return sizeof(sockaddr_un); }
  int directory() const { return directory_.get(); }
  const std::string& name() const { return name_; }

 private:
  Descriptor directory_;
  std::string name_;
  sockaddr_un address_{AF_UNIX, {}};
};

Descriptor unix_socket(int type) { return Descriptor(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)); }

Descriptor connect_to(const SocketAddress& address, int type) {
  if (!address.valid()) return {};
  Descriptor connection = unix_socket(type);
  if (!connection) return {};
  while (::connect(connection.get(), address.get(), SocketAddress::size()) != 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    connection.reset();
    errno = error;
    return {};
  }
  return connection;
}

/// Makes the address free: removes a socket file that nobody listens on.
void clear_stale(const SocketAddress& address, const std::string& path, int type) {
  struct stat status {};
  if (::fstatat(address.directory(), address.name().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  if (!S_ISSOCK(status.st_mode))
    throw UserError(EEXIST, path + " exists and is not a socket; move it away");
  if (connect_to(address, type))
    throw UserError(EBUSY, "another process listens on " + path + "; stop it first");
  if (::unlinkat(address.directory(), address.name().c_str(), 0) != 0 && errno != ENOENT)
    throw_errno("remove the stale socket " + path);
}

}  // namespace

void Descriptor::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Descriptor connect_unix(const std::string& path, int type) {
  return connect_to(SocketAddress(path), type);
}

Descriptor listen_unix(const std::string& path, mode_t mode, int type) {
  const SocketAddress address(path);
  if (!address.valid()) throw_errno("open the directory of socket " + path);
  clear_stale(address, path, type);
  Descriptor listener = unix_socket(type);
  if (!listener) throw_errno("make a socket");
  // The file gets the socket's own mode less the umask: nobody can connect before a chmod.
  if (::fchmod(listener.get(), mode) != 0) throw_errno("set the mode of socket " + path);
  if (::bind(listener.get(), address.get(), SocketAddress::size()) != 0)
    throw_errno("make socket " + path);
  if (::fchmodat(address.directory(), address.name().c_str(), mode, 0) != 0)
    throw_errno("set the mode of socket " + path);
  if (::listen(listener.get(), SOMAXCONN) != 0) throw_errno("listen on socket " + path);
  return listener;
}

}  // namespace varve
