// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_handshake.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sys/uio.h>

#include <cstring>

namespace varve {
namespace {

constexpr std::uint32_t kExtended = 1u << 30;
constexpr std::uint32_t kResend = 1u << 7;  // of the second word
constexpr std::uint32_t kIdmap = 1u << 8;   // of the second word

template <class T>
Bytes bytes_of(const T& value) {
  Bytes out(sizeof value);
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

struct Request {
  fuse_in_header header{};
  fuse_init_in init{};
};
struct Reply {
  fuse_out_header header{};
  fuse_init_out init{};
};

Request request(std::uint32_t flags, std::uint32_t flags2) {
  Request out;
  out.header.len = sizeof out;
  out.header.opcode = FUSE_INIT;
  out.header.unique = 2;
  out.init.major = 7;
  out.init.minor = 45;
  out.init.flags = flags;
  out.init.flags2 = flags2;
  return out;
}

Reply reply(std::uint32_t flags, std::uint32_t flags2) {
  Reply out;
  out.header.len = sizeof out;
  out.header.unique = 2;
  out.init.major = 7;
  out.init.minor = 45;
  out.init.flags = flags;
  out.init.flags2 = flags2;
  out.init.max_write = 1 << 20;
  return out;
}

TEST(FuseAgreement, KnowsWhetherTheKernelSendsAgain) {
  EXPECT_TRUE((FuseAgreement{bytes_of(request(kExtended, kResend)), {}}.kernel_resends()));
  EXPECT_FALSE((FuseAgreement{bytes_of(request(kExtended, 0)), {}}.kernel_resends()));
  EXPECT_FALSE((FuseAgreement{bytes_of(request(0, kResend)), {}}.kernel_resends()))
      << "an old kernel has no second word";
  EXPECT_FALSE((FuseAgreement{{}, {}}.kernel_resends()));
}

TEST(FuseAgreement, OffersASuccessorNoMoreThanWasAgreedOn) {
  const std::uint32_t told = FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;
  const FuseAgreement agreement{
      bytes_of(request(kExtended | told | FUSE_ASYNC_READ | FUSE_WRITEBACK_CACHE, kResend | 4)),
      bytes_of(reply(kExtended | FUSE_ASYNC_READ, 4))};
  const Bytes narrowed = agreement.narrowed_request();
  Request out;
  ASSERT_EQ(narrowed.size(), sizeof out);
  std::memcpy(&out, narrowed.data(), sizeof out);
  EXPECT_EQ(out.init.flags, kExtended | told | FUSE_ASYNC_READ);
  EXPECT_EQ(out.init.flags2, kResend | 4u);
  EXPECT_EQ(out.header.unique, 2u);
}

TEST(FuseAgreement, IsTheSameOnlyIfTheKernelWouldDoTheSame) {
  const FuseAgreement agreement{{}, bytes_of(reply(FUSE_ASYNC_READ, 4))};
  EXPECT_TRUE(agreement.is_same(bytes_of(reply(FUSE_ASYNC_READ, 4))));
  EXPECT_FALSE(agreement.is_same(bytes_of(reply(0, 4))));
  EXPECT_FALSE(agreement.is_same(bytes_of(reply(FUSE_ASYNC_READ, 0))));
  Reply smaller = reply(FUSE_ASYNC_READ, 4);
  smaller.init.max_write = 4096;
  EXPECT_FALSE(agreement.is_same(bytes_of(smaller)));
  Reply refused = reply(FUSE_ASYNC_READ, 4);
  refused.header.error = -71;
  EXPECT_FALSE(agreement.is_same(bytes_of(refused)));
  EXPECT_FALSE(agreement.is_same({}));
}

TEST(FuseAgreement, OffersIdmappedMountsToASuccessorOnlyIfTheKernelWasToldOfThem) {
  for (const std::uint32_t said : {0u, kIdmap}) {
    const FuseAgreement agreement{bytes_of(request(kExtended, kResend | kIdmap)),
                                  bytes_of(reply(kExtended, said))};
    const Bytes narrowed = agreement.narrowed_request();
    Request out;
    ASSERT_EQ(narrowed.size(), sizeof out);
    std::memcpy(&out, narrowed.data(), sizeof out);
    EXPECT_EQ(out.init.flags2, kResend | said);
  }
}

class FuseHandshakeTest : public ::testing::Test {
 protected:
  bool said(Bytes bytes) { return changed(bytes); }
  /// As said(), with what a write would send in `bytes`.
  bool changed(Bytes& bytes) {
    iovec parts[2] = {{bytes.data(), 16}, {bytes.data() + 16, bytes.size() - 16}};
    return handshake_.saw_reply(parts, 2);
  }
  FuseHandshake handshake_;
};

TEST_F(FuseHandshakeTest, RemembersTheFirstRequestAndItsReply) {
  EXPECT_FALSE(said(bytes_of(reply(9, 9)))) << "a notification before it";
  handshake_.saw_request(bytes_of(request(1, 2)));
  EXPECT_FALSE(said(bytes_of(reply(3, 4)))) << "the kernel must have it";
  handshake_.saw_request(bytes_of(request(5, 6)));
  EXPECT_FALSE(said(bytes_of(reply(7, 8))));
  EXPECT_EQ(handshake_.agreement().request, bytes_of(request(1, 2)));
  EXPECT_EQ(handshake_.agreement().reply, bytes_of(reply(3, 4)));
}

TEST_F(FuseHandshakeTest, KeepsTheReplyToAReplayFromTheKernel) {
  handshake_.begin_replay();
  handshake_.saw_request(bytes_of(request(1, 2)));
  EXPECT_TRUE(said(bytes_of(reply(3, 4))));
  EXPECT_FALSE(said(bytes_of(reply(3, 4)))) << "the next one is an answer";
  EXPECT_EQ(handshake_.agreement().reply, bytes_of(reply(3, 4)));
}

TEST_F(FuseHandshakeTest, AllowsIdmappedMountsIfTheKernelOffersThem) {
  handshake_.allow_idmapped_mounts();
  handshake_.saw_request(bytes_of(request(kExtended, kResend | kIdmap)));
  Bytes sent = bytes_of(reply(FUSE_ASYNC_READ, 4));
  EXPECT_FALSE(changed(sent));
  EXPECT_EQ(sent, bytes_of(reply(kExtended | FUSE_ASYNC_READ, 4 | kIdmap)));
  EXPECT_EQ(handshake_.agreement().reply, sent) << "a successor must say the same";
}

TEST_F(FuseHandshakeTest, AReplayAllowsIdmappedMountsAsTheFirstAnswerDid) {
  handshake_.allow_idmapped_mounts();
  handshake_.begin_replay();
  handshake_.saw_request(bytes_of(request(kExtended, kIdmap)));
  EXPECT_TRUE(said(bytes_of(reply(kExtended, 0))));
  const FuseAgreement first{{}, bytes_of(reply(kExtended, kIdmap))};
  EXPECT_TRUE(first.is_same(handshake_.agreement().reply));
}

TEST_F(FuseHandshakeTest, SaysNothingOfIdmappedMountsToAKernelWithoutThem) {
  const Request offers[] = {request(kExtended, kResend), request(0, kIdmap)};
  for (const Request& offer : offers) {
    FuseHandshake handshake;
    handshake.allow_idmapped_mounts();
    handshake.saw_request(bytes_of(offer));
    Bytes bytes = bytes_of(reply(FUSE_ASYNC_READ, 4));
    const iovec whole{bytes.data(), bytes.size()};
    EXPECT_FALSE(handshake.saw_reply(&whole, 1));
    EXPECT_EQ(bytes, bytes_of(reply(FUSE_ASYNC_READ, 4)));
  }
}

TEST_F(FuseHandshakeTest, LeavesAFailedAnswerAlone) {
  handshake_.allow_idmapped_mounts();
  handshake_.saw_request(bytes_of(request(kExtended, kIdmap)));
  Reply refused = reply(0, 0);
  refused.header.error = -71;
  Bytes sent = bytes_of(refused);
  EXPECT_FALSE(changed(sent));
  EXPECT_EQ(sent, bytes_of(refused));
}

}  // namespace
}  // namespace varve
