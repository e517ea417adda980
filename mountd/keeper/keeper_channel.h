// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "mountd/unix_socket.h"

namespace varve {

/// The keeper's protocol; docs/decisions/0010-keeper.md has the conversation. Another version is
/// refused by whoever receives it.
inline constexpr std::uint16_t kKeeperProtocol = 1;

struct KeeperMessage {
  enum class Type : std::uint16_t {
    kHello = 1,    ///< daemon: I begin; KeeperHello
    kWelcome = 2,  ///< keeper: what a successor has to know; KeeperWelcome
    kMount = 3,    ///< both: keep (daemon) or serve (keeper) this; text KeptMount, a descriptor
    kForget = 4,   ///< daemon: the mount `number` has ended
    kBegin = 5,    ///< keeper: that was all, serve
    kReady = 6,    ///< daemon: every mount that can be is served
    kFailed = 7,   ///< daemon: I cannot begin; text says why
    kUpgrade = 8,  ///< daemon: when I have gone, start the program `text`
    kGoodbye = 9,  ///< daemon: I end in order, so do you
  };
  Type type{};
  std::uint64_t number = 0;  ///< of the mount
  std::string text;
  Descriptor descriptor;
};

/// One end of the socket between keeper and daemon: whole messages, in order. For one thread that
/// receives, and one at a time that sends.
class KeeperChannel {
 public:
  static constexpr std::size_t kMaxTextBytes = 64u << 10;

  KeeperChannel() = default;
  explicit KeeperChannel(Descriptor socket) : socket_(std::move(socket)) {}
  /// Two ends. StoreError.
  static std::pair<KeeperChannel, KeeperChannel> pair();

  explicit operator bool() const { return static_cast<bool>(socket_); }
  int descriptor() const { return socket_.get(); }
  void reset() { socket_.reset(); }

  /// StoreError if the other end is gone or does not read.
  void send(const KeeperMessage& message) const;
  /// Waits for the next one; none when the other end is gone. StoreError(EPROTO) when it is not
  /// understood: another version of the protocol; StoreError(ETIMEDOUT).
  std::optional<KeeperMessage> receive(
      std::optional<std::chrono::milliseconds> timeout = std::nullopt) const;

 private:
  Descriptor socket_;
};

}  // namespace varve
