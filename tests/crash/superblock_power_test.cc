// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cerrno>

#include "store/base/error.h"
#include "store/superblock.h"
#include "tests/crash/power_cut.h"
#include "tests/crash/simulated_disk.h"
#include "tests/support/fault_disk.h"

namespace varve::test {
namespace {

const std::string kPath = "/disk/superblock";

Superblock block(Csn csn) {
  Superblock out;
  out.sequence = 1;
  out.csn = csn;
  out.root.assign(1000, static_cast<std::byte>(csn));
  out.journal_file_bytes = 1 << 20;
  out.journal_start_lsn = out.durable_lsn = 4096;
  return out;
}

// The killed process had written one slot and not flushed it; the next one wrote the other slot. A
// power cut in that write tore both.
TEST(SuperblockPower, AKillBeforeTheFlushAndThenAPowerCutLeaveAWholeSlot) {
  const auto media = std::make_shared<DiskMedia>();
  SimulatedDisk disk(media);
  SuperblockFile::create(disk, kPath, block(1));
  SuperblockFile(disk, kPath, {}).write(block(2));
  std::size_t first = 0;  // from where on block 3 is durable
  {
    FaultDisk killed(disk);
    SuperblockFile file(killed, kPath, {});
    file.write(block(3));
    first = media->steps();
    killed.plan().fail(DiskCall::kSync, 1, EIO);
    EXPECT_THROW(file.write(block(4)), StoreError);
  }
  {
    SuperblockFile next(disk, kPath, {});
    EXPECT_EQ(next.current().csn, 4u);
    next.write(block(5));
  }
  const std::vector<DiskStep> trace = media->take_trace();
  PowerCut cut(media->start(), trace);
  for (std::size_t position = first; position <= trace.size(); ++position) {
    cut.advance_to(position);
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      Loss loss{Loss::Mode::kSectors, 50, seed};
      SCOPED_TRACE(std::to_string(position) + ": " + loss.text());
      SimulatedDisk after(std::make_shared<DiskMedia>(cut.image(loss)));
      ASSERT_NO_THROW(EXPECT_GE(SuperblockFile(after, kPath, {}).current().csn, 3u));
    }
  }
}

}  // namespace
}  // namespace varve::test
