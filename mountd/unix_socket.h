// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <string>
#include <utility>

namespace varve {

/// Owns a file descriptor. Movable, not shared.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

/// A socket connected to the unix socket at `path`, which may be longer than the 107 bytes
/// of a socket address: it is reached through a descriptor of its directory. Empty with errno set
/// when nobody listens or the way there fails. `type` as in socket(2).
Descriptor connect_unix(const std::string& path, int type = SOCK_STREAM);

/// A listening socket at `path` with permission bits `mode`. A socket file that nobody
/// listens on any more is replaced; a live one is UserError(EBUSY), anything else there
/// UserError(EEXIST). The path may be longer than a socket address.
Descriptor listen_unix(const std::string& path, mode_t mode, int type = SOCK_STREAM);

}  // namespace varve
