// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "store/base/error.h"

namespace varve {
namespace {

using Type = KeeperMessage::Type;

/// The errno of the StoreError that `body` throws.
int code_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const StoreError& error) {
    return error.code();
  }
  return 0;
}

class KeeperChannelTest : public ::testing::Test {
 protected:
  void send_raw(const std::string& bytes) {
    ASSERT_EQ(::send(ends_.first.descriptor(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  /// A header as the channel sends it, with one field changed.
  static std::string header(std::uint16_t version, std::uint16_t type) {
    const std::uint32_t magic = 0x504b5656;
    const std::uint64_t number = 1;
    std::string out(16, '\0');
    std::memcpy(out.data(), &magic, 4);
    std::memcpy(out.data() + 4, &version, 2);
    std::memcpy(out.data() + 6, &type, 2);
    std::memcpy(out.data() + 8, &number, 8);
    return out;
  }

  std::pair<KeeperChannel, KeeperChannel> ends_ = KeeperChannel::pair();
};

TEST_F(KeeperChannelTest, AMessageArrivesWholeWithItsDescriptor) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
  const Descriptor reading(pipe_ends[0]);
  ends_.first.send({Type::kMount, 42, "text", Descriptor(pipe_ends[1])});
  ends_.first.send({Type::kBegin, 0, {}, {}});

  const auto mount = ends_.second.receive();
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->type, Type::kMount);
  EXPECT_EQ(mount->number, 42u);
  EXPECT_EQ(mount->text, "text");
  ASSERT_TRUE(mount->descriptor);
  EXPECT_EQ(::fcntl(mount->descriptor.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::write(mount->descriptor.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(reading.get(), &byte, 1), 1);

  const auto begin = ends_.second.receive();
  ASSERT_TRUE(begin);
  EXPECT_EQ(begin->type, Type::kBegin);
  EXPECT_FALSE(begin->descriptor);
}

TEST_F(KeeperChannelTest, TheEndOfTheOtherProcessIsNoMessage) {
  ends_.first.reset();
  EXPECT_FALSE(ends_.second.receive());
  EXPECT_EQ(code_of([&] { ends_.second.send({Type::kReady, 0, {}, {}}); }), EPIPE);
}

TEST_F(KeeperChannelTest, WhatWasSentBeforeTheEndArrives) {
  ends_.first.send({Type::kFailed, 0, "why", {}});
  ends_.first.reset();
  const auto message = ends_.second.receive();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->text, "why");
  EXPECT_FALSE(ends_.second.receive());
}

TEST_F(KeeperChannelTest, WaitingHasAnEnd) {
  EXPECT_EQ(code_of([&] { ends_.second.receive(std::chrono::milliseconds(1)); }), ETIMEDOUT);
}

TEST_F(KeeperChannelTest, AnotherVersionIsRefusedWithBothNumbers) {
  send_raw(header(kKeeperProtocol + 1, 6));
  try {
    ends_.second.receive();
    FAIL();
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), EPROTO);
    EXPECT_NE(std::string(error.what()).find("version 2"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("version 1"), std::string::npos) << error.what();
  }
}

TEST_F(KeeperChannelTest, WhatIsNoMessageIsRefused) {
  for (const std::string& bytes :
       {std::string("x"), std::string(15, '\0'), std::string(16, '\0'), std::string(20, 'a'),
        header(kKeeperProtocol, 0), header(kKeeperProtocol, 10)}) {
    send_raw(bytes);
    EXPECT_EQ(code_of([&] { ends_.second.receive(); }), EPROTO) << bytes.size();
  }
  ends_.first.send({Type::kReady, 0, {}, {}});
  EXPECT_TRUE(ends_.second.receive()) << "the stream goes on at the next message";
}

TEST_F(KeeperChannelTest, ATextHasALimit) {
  const std::string longest(KeeperChannel::kMaxTextBytes, 'x');
  ends_.first.send({Type::kMount, 1, longest, {}});
  EXPECT_EQ(ends_.second.receive()->text, longest);
  EXPECT_EQ(code_of([&] { ends_.first.send({Type::kMount, 1, longest + "x", {}}); }), EMSGSIZE);
}

}  // namespace
}  // namespace varve
