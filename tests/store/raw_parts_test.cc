// SPDX-License-Identifier: Apache-2.0
#include "store/raw_parts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "store/base/error.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::flip_bit;
using test::LocalStore;
using test::random_content;
using test::text_content;

constexpr std::size_t kPart = RawParts::kPartBytes;

Bytes slice(const Bytes& content, std::size_t offset, std::size_t size) {
  if (offset >= content.size()) return {};
  const auto begin = content.begin() + static_cast<std::ptrdiff_t>(offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(std::min(size, content.size() - offset))};
}

class RawPartsTest : public ::testing::Test {
 protected:
  Bytes part(const Digest& digest, std::uint32_t offset, std::size_t size) {
    Bytes out(size);
    out.resize(store_->read_part(digest, offset, out));
    return out;
  }
  std::uint64_t whole_reads() { return store_->figures().object_reads; }
  void damage(const Digest& digest, std::uint64_t offset) {
    const Location at = store_->find(digest)->primary;
    flip_bit(store_.paths().segments + "/" + segment_file_name(at.segment),
             at.offset + kRecordHeaderBytes + offset, 3);
  }
  LocalStore store_;
};

TEST_F(RawPartsTest, APartIsWhatTheContentHasThere) {
  for (const std::size_t size : {kPart * 32, kPart * 5 + 77, kPart, std::size_t{100}}) {
    for (const bool compresses : {false, true}) {
      const Bytes content = compresses ? text_content(size, size) : random_content(size, size);
      const Digest digest = store_.commit_one(content);
      for (const std::uint32_t offset : {0u, 1u, 4095u, 4096u, 4097u, 12'288u, 20'000u, 131'071u}) {
        for (const std::size_t wanted : {1u, 4095u, 4096u, 4097u, 16'384u, 131'072u}) {
          EXPECT_EQ(part(digest, offset, wanted), slice(content, offset, wanted))
              << size << " bytes, " << wanted << " from " << offset;
        }
      }
    }
  }
}

TEST_F(RawPartsTest, TheWholeIsReadOnce) {
  const Bytes content = random_content(1, kPart * 32);
  const Digest digest = store_.commit_one(content);
  EXPECT_EQ(part(digest, 4 * kPart, kPart), slice(content, 4 * kPart, kPart));
  EXPECT_EQ(whole_reads(), 1u);
  for (std::uint32_t at = 0; at < content.size(); at += kPart) {
    EXPECT_EQ(part(digest, at, kPart), slice(content, at, kPart));
  }
  EXPECT_EQ(whole_reads(), 1u);
}

TEST_F(RawPartsTest, DamageIsFoundInThePartThatIsRead) {
  const Bytes content = random_content(1, kPart * 32);
  const Digest digest = store_.commit_one(content);
  part(digest, 0, 1);
  damage(digest, 7 * kPart + 5);
  EXPECT_EQ(part(digest, 6 * kPart, kPart), slice(content, 6 * kPart, kPart));
  EXPECT_EQ(part(digest, 8 * kPart, kPart), slice(content, 8 * kPart, kPart));
  EXPECT_EQ(store_->figures().damaged_objects, 0u);
  EXPECT_THROW(part(digest, 7 * kPart + 6, 10), CorruptionError);  // beside the byte, in its part
  EXPECT_EQ(store_->figures().damaged_objects, 1u);
  EXPECT_THROW(part(digest, 6 * kPart, kPart), CorruptionError);  // what was known is forgotten
}

TEST_F(RawPartsTest, DamageBeforeTheFirstReadIsFound) {
  const Digest digest = store_.commit_one(random_content(1, kPart * 32));
  store_.close_and_reopen();
  damage(digest, 20 * kPart);
  EXPECT_THROW(part(digest, 0, kPart), CorruptionError);
  store_.commit_one(random_content(1, kPart * 32));  // heals, elsewhere
  EXPECT_EQ(part(digest, 0, kPart), slice(random_content(1, kPart * 32), 0, kPart));
}

TEST_F(RawPartsTest, ADigestIsComputedOfWhatThisProcessHasNotSeen) {
  const Bytes content = random_content(1, kPart * 4);
  const Bytes other = random_content(2, kPart * 4);
  const Digest digest = store_.commit_one(content);
  store_.close_and_reopen();
  // A record with the right checksums, under the digest of another content.
  const Location at = store_->find(digest)->primary;
  StoredRecord record = make_record(digest, other, ObjectKind::kData, 0);
  encode_record_header({store_.id(), at.segment}, at.offset, record.header, record.bytes);
  Disk::host()
      .open(store_.paths().segments + "/" + segment_file_name(at.segment), Disk::Mode::kReadWrite)
      ->write_at(at.offset, record.bytes);
  EXPECT_THROW(part(digest, 0, kPart), CorruptionError);
}

TEST_F(RawPartsTest, AnObjectThatIsMovedIsFoundAgain) {
  std::vector<Digest> digests;
  auto batch = store_->begin();
  for (std::uint64_t i = 0; i < 64; ++i) {
    digests.push_back(batch->put(random_content(i, kPart * 8), ObjectKind::kData).digest);
  }
  store_.commit(std::move(batch));
  store_->checkpoint();
  for (const Digest& digest : digests) part(digest, kPart, 1);
  const Location before = store_->find(digests[0])->primary;
  batch = store_->begin();
  for (std::size_t i = 0; i < digests.size(); ++i) {
    if (i % 4 != 0) batch->release(digests[i]);
  }
  store_.commit(std::move(batch));
  LocalObjects::ReclaimLimits limits;
  limits.retire_from_bytes = 0;

  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    std::array<std::byte, kPart> out{};
    for (std::size_t i = 0; !done; i = (i + 4) % digests.size()) {
      const std::size_t size = store_->read_part(digests[i], 3 * kPart, out);
      const Bytes wanted = slice(random_content(i, kPart * 8), 3 * kPart, kPart);
      if (size != kPart || !std::equal(out.begin(), out.end(), wanted.begin())) ++wrong;
    }
  });
  for (int round = 0; round < 20; ++round) store_->reclaim(limits);
  done = true;
  reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_NE(store_->find(digests[0])->primary, before);
  for (std::size_t i = 0; i < digests.size(); i += 4) {
    EXPECT_EQ(part(digests[i], 5 * kPart, kPart),
              slice(random_content(i, kPart * 8), 5 * kPart, kPart));
  }
}

}  // namespace
}  // namespace varve
