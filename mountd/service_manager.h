// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mountd/unix_socket.h"

namespace varve {

/// A descriptor that a service manager passed.
struct PassedDescriptor {
  std::string name;  ///< FileDescriptorName=, or what it was stored under
  Descriptor descriptor;
};

/// The service manager that started this process (systemd, or what speaks its protocol): sockets
/// and stored descriptors that it passes (sd_listen_fds(3)), and what it is told (sd_notify(3)).
/// For one thread.
class ServiceManager {
 public:
  /// None: tells nobody, has nothing.
  ServiceManager() = default;
  /// Takes its variables out of the environment, so that no program that we start believes that
  /// they are meant for it. Descriptors that are not for this process are left alone.
  static ServiceManager of_environment();

  /// What was passed; the second call returns nothing.
  std::vector<PassedDescriptor> take_passed() { return std::exchange(passed_, {}); }
  /// True if somebody is to be told.
  bool listens() const { return !notify_path_.empty(); }
  /// Sends `lines` ("READY=1"), with `descriptors` to be stored. A manager that does not take it is
  /// logged; without one nothing happens.
  void tell(const std::string& lines, const std::vector<int>& descriptors = {}) const;

 private:
  std::string notify_path_;  ///< '@' first: in the abstract namespace
  std::vector<PassedDescriptor> passed_;
};

/// The listening sockets among what was passed, by the files they are bound to. For one thread.
class PassedSockets {
 public:
  explicit PassedSockets(std::vector<PassedDescriptor> passed);

  bool empty() const { return sockets_.empty(); }
  /// True if one of them is the socket file at `path`.
  bool has(const std::string& path) const;
  /// The listener of the socket file at `path`, for the caller to own; -1: none was passed.
  int take(const std::string& path);
  /// The paths of those that nobody took and that are none of `paths`.
  std::vector<std::string> not_among(const std::vector<std::string>& paths) const;

 private:
  struct Socket {
    std::string path;
    Descriptor listener;
  };
  std::vector<Socket> sockets_;
};

}  // namespace varve
