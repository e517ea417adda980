// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_traffic.h"

#include <linux/fuse.h>

#include <atomic>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/shared_volume.h"

namespace varve::test {
namespace {

template <class Body>
Bytes wire(std::uint32_t opcode, const Body& body) {
  fuse_in_header header{};
  header.opcode = opcode;
  header.len = sizeof header + sizeof body;
  Bytes out(header.len);
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, &body, sizeof body);
  return out;
}

Bytes write_request(std::uint32_t flags) {
  fuse_write_in body{};
  body.write_flags = flags;
  return wire(FUSE_WRITE, body);
}

TEST(FuseWire, ReadsTheFlagsThatTheLibraryKeepsToItself) {
  EXPECT_TRUE(parse_wire(write_request(FUSE_WRITE_KILL_SUIDGID), false).kills_setid);
  EXPECT_FALSE(parse_wire(write_request(0), false).kills_setid);
  EXPECT_TRUE(parse_wire(write_request(FUSE_WRITE_CACHE), false).from_page_cache);
  fuse_setxattr_in acl{};
  acl.setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID;
  EXPECT_TRUE(parse_wire(wire(FUSE_SETXATTR, acl), true).acl_kills_setgid);
  // Without the longer form these bytes belong to the name.
  EXPECT_FALSE(parse_wire(wire(FUSE_SETXATTR, acl), false).acl_kills_setgid);
}

TEST(FuseWire, ShortRequestsAreUnknown) {
  const Bytes whole = write_request(FUSE_WRITE_KILL_SUIDGID);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE("size " + std::to_string(size));
    const WireRequest request = parse_wire(ByteView(whole).first(size), true);
    EXPECT_FALSE(request.is_write);
    EXPECT_EQ(request.known, size >= sizeof(fuse_in_header));
  }
}

TEST(FuseTraffic, CountsByTypeAndShowsNoZeros) {
  FuseTraffic traffic;
  EXPECT_TRUE(traffic.requests().empty());
  traffic.count(RequestType::kLookup);
  traffic.count(RequestType::kCopyFileRange);
  traffic.count(RequestType::kCopyFileRange);
  EXPECT_EQ(traffic.requests(),
            (std::map<std::string, std::uint64_t>{{"lookup", 1}, {"copy_file_range", 2}}));
}

TEST(FuseTraffic, DrainWaitsForWritesBegunBeforeItOnly) {
  FuseTraffic traffic;
  auto before = traffic.begin_write(true);
  EXPECT_EQ(traffic.page_cache_writes(), 1u);
  std::atomic<bool> drained{false};
  std::thread drainer([&] {
    traffic.drain_writes();
    drained.store(true);
  });
  // Writes go on beginning; the drain ends although one of them is never ended before it.
  FuseTraffic::WriteTicket later;
  for (int i = 0; i < 1000; ++i) later = traffic.begin_write(false);
  EXPECT_FALSE(drained.load());
  before.end();
  // `later` may have begun on either side of the drain, so it must not keep it only if after.
  later.end();
  drainer.join();
  EXPECT_TRUE(drained.load());
  auto running = traffic.begin_write(false);
  std::thread second([&] { traffic.drain_writes(); });
  running.end();
  second.join();
}

TEST(FuseTraffic, DrainOfNothingReturnsAtOnceAgainAndAgain) {
  FuseTraffic traffic;
  for (int i = 0; i < 5; ++i) traffic.drain_writes();
  { const auto ticket = traffic.begin_write(false); }
  for (int i = 0; i < 5; ++i) traffic.drain_writes();
}

TEST(FuseTraffic, TicketsEndOnceThroughMoves) {
  FuseTraffic traffic;
  {
    auto first = traffic.begin_write(false);
    auto second = std::move(first);
    EXPECT_FALSE(static_cast<bool>(first));
    EXPECT_TRUE(static_cast<bool>(second));
    second = traffic.begin_write(false);  // ends the one it held
  }
  traffic.drain_writes();
}

TEST(FuseTraffic, AReaderMovesWhenItHasRegisteredItsRequest) {
  FuseTraffic traffic;
  Gate in_read;
  in_read.close();
  Gate answering;
  answering.close();
  std::thread worker([&] {
    traffic.before_read();
    in_read.pass();
    traffic.after_read(write_request(FUSE_WRITE_CACHE | FUSE_WRITE_KILL_SUIDGID), true);
    EXPECT_TRUE(FuseTraffic::wire_request().kills_setid);
    const auto ticket = traffic.take_write_ticket(true);
    answering.pass();
  });
  in_read.wait_for(1);
  const FuseTraffic::Readers readers = traffic.readers();
  EXPECT_FALSE(readers.all_moved());
  EXPECT_EQ(traffic.page_cache_writes(), 0u);
  in_read.open();
  answering.wait_for(1);
  EXPECT_TRUE(readers.all_moved());
  EXPECT_EQ(traffic.page_cache_writes(), 1u);  // the ticket of after_read, not a second one
  EXPECT_TRUE(traffic.readers().all_moved());  // it answers; it holds nothing unregistered
  answering.open();
  traffic.drain_writes();
  worker.join();
}

TEST(FuseTraffic, AReaderThatEndsHasMoved) {
  FuseTraffic traffic;
  Gate in_read;
  in_read.close();
  std::thread worker([&] {
    traffic.before_read();
    in_read.pass();
  });
  in_read.wait_for(1);
  const FuseTraffic::Readers readers = traffic.readers();
  EXPECT_FALSE(readers.all_moved());
  in_read.open();
  worker.join();
  EXPECT_TRUE(readers.all_moved());
}

TEST(FuseTraffic, AWriteThatNobodyAnswersIsNotInTheWay) {
  FuseTraffic traffic;
  std::thread worker([&] {
    traffic.before_read();
    traffic.after_read(write_request(0), false);
    traffic.before_read();  // the library answered it by itself
    traffic.after_read({}, false);
    EXPECT_FALSE(FuseTraffic::wire_request().known);
  });
  worker.join();
  traffic.drain_writes();
}

}  // namespace
}  // namespace varve::test
