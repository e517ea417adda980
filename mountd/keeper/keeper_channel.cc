// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::uint32_t kMagic = 0x504b5656;  // "VVKP"
/// The other end reads at once, or has died.
constexpr timeval kSendWait{30, 0};

struct Header {
  std::uint32_t magic = kMagic;
  std::uint16_t version = kKeeperProtocol;
  std::uint16_t type = 0;
  std::uint64_t number = 0;
};
static_assert(sizeof(Header) == 16);

union Control {
  char bytes[CMSG_SPACE(sizeof(int))];
  cmsghdr header;
};

void attach(msghdr& message, Control& control, int descriptor) {
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
}

Descriptor attached(msghdr& message) {
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {};
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  return Descriptor(descriptor);
}

void wait_for_input(int socket, std::chrono::milliseconds timeout) {
  pollfd entry{socket, POLLIN, 0};
  int ready = 0;
  while ((ready = ::poll(&entry, 1, static_cast<int>(timeout.count()))) < 0 && errno == EINTR) {
  }
  if (ready == 0) throw StoreError(ETIMEDOUT, "the other end of the keeper's socket says nothing");
}

void check(const Header& header) {
  if (header.magic != kMagic) throw StoreError(EPROTO, "the keeper's socket carries other data");
  if (header.version != kKeeperProtocol)
    throw StoreError(EPROTO, "the other end speaks version " + std::to_string(header.version) +
                                 " of the keeper's protocol and this program version " +
                                 std::to_string(kKeeperProtocol));
  if (header.type < 1 || header.type > static_cast<std::uint16_t>(KeeperMessage::Type::kGoodbye))
    throw StoreError(EPROTO, "message " + std::to_string(header.type) +
                                 " of the keeper's protocol is not known");
}

}  // namespace

std::pair<KeeperChannel, KeeperChannel> KeeperChannel::pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw_errno("make a socket");
  return {KeeperChannel(Descriptor(ends[0])), KeeperChannel(Descriptor(ends[1]))};
}

void KeeperChannel::send(const KeeperMessage& message) const {
  if (message.text.size() > kMaxTextBytes)
    throw StoreError(EMSGSIZE, "a message to the keeper is too long");
  Header header;
  header.type = static_cast<std::uint16_t>(message.type);
  header.number = message.number;
  iovec parts[2] = {{&header, sizeof header},
                    {const_cast<char*>(message.text.data()), message.text.size()}};
  msghdr out{};
  out.msg_iov = parts;
  out.msg_iovlen = 2;
  Control control{};
  if (message.descriptor) attach(out, control, message.descriptor.get());
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendWait, sizeof kSendWait);
  ssize_t sent = 0;
  while ((sent = ::sendmsg(socket_.get(), &out, MSG_NOSIGNAL)) < 0 && errno == EINTR) {
  }
  if (sent < 0) throw_errno("send to the other end of the keeper's socket");
}

std::optional<KeeperMessage> KeeperChannel::receive(
    std::optional<std::chrono::milliseconds> timeout) const {
  if (timeout) wait_for_input(socket_.get(), *timeout);
  Header header;
  std::string text(kMaxTextBytes, '\0');
  iovec parts[2] = {{&header, sizeof header}, {text.data(), text.size()}};
  Control control{};
  msghdr in{};
  in.msg_iov = parts;
  in.msg_iovlen = 2;
  in.msg_control = control.bytes;
  in.msg_controllen = sizeof control.bytes;
  ssize_t got = 0;
  while ((got = ::recvmsg(socket_.get(), &in, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  if (got == 0 || (got < 0 && errno == ECONNRESET)) return std::nullopt;
  if (got < 0) throw_errno("receive from the other end of the keeper's socket");
  KeeperMessage message;
  message.descriptor = attached(in);
  if (static_cast<std::size_t>(got) < sizeof header || (in.msg_flags & MSG_TRUNC) != 0)
    throw StoreError(EPROTO, "a message of the keeper's protocol has a wrong size");
  check(header);
  message.type = KeeperMessage::Type{header.type};
  message.number = header.number;
  text.resize(static_cast<std::size_t>(got) - sizeof header);
  message.text = std::move(text);
  return message;
}

}  // namespace varve
