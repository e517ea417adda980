// SPDX-License-Identifier: Apache-2.0
#include "store/sound_objects.h"

#include <gtest/gtest.h>

#include "store/base/error.h"
#include "store/segment_format.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using std::chrono::seconds;
using test::flip_bit;
using test::LocalStore;
using test::random_content;

constexpr auto kByChecksum = SoundObjects::Found::kByChecksum;
constexpr auto kByDigest = SoundObjects::Found::kByDigest;

Digest digest_number(std::uint64_t number) { return digest_of(random_content(number, 32)); }

TEST(SoundObjects, RemembersForTenMinutes) {
  SoundObjects sound;
  const auto now = SoundObjects::Clock::time_point(seconds(1'000'000));
  const Digest digest = digest_number(1);
  EXPECT_FALSE(sound.noted_lately(digest, now));
  sound.note(digest, kByChecksum, now);
  EXPECT_TRUE(sound.noted_lately(digest, now));
  EXPECT_TRUE(sound.noted_lately(digest, now + SoundObjects::kLately - seconds(1)));
  EXPECT_FALSE(sound.noted_lately(digest, now + SoundObjects::kLately));
  EXPECT_FALSE(sound.noted_lately(digest, now + seconds(1'000'000)));
  EXPECT_FALSE(sound.noted_lately(digest_number(2), now));
  sound.forget(digest);
  EXPECT_FALSE(sound.noted_lately(digest, now));
}

TEST(SoundObjects, AChecksumIsNoDigestAndDoesNotUndoOne) {
  SoundObjects sound;
  const Digest digest = digest_number(1);
  sound.note(digest, kByChecksum);
  EXPECT_FALSE(sound.digested(digest));
  sound.note(digest, kByDigest);
  EXPECT_TRUE(sound.digested(digest));
  sound.note(digest, kByChecksum);
  EXPECT_TRUE(sound.digested(digest));
  EXPECT_FALSE(sound.digested(digest_number(2)));
  sound.forget(digest);
  EXPECT_FALSE(sound.digested(digest));
}

TEST(SoundObjects, KeepsSomeThousandsAndMixesNoneUp) {
  SoundObjects sound;
  const auto now = SoundObjects::Clock::time_point(seconds(1'000'000));
  int kept = 0;
  for (std::uint64_t i = 0; i < 10'000; ++i) sound.note(digest_number(i), kByDigest, now);
  for (std::uint64_t i = 0; i < 10'000; ++i)
    if (sound.noted_lately(digest_number(i), now)) ++kept;
  EXPECT_GT(kept, 9'000);
  for (std::uint64_t i = 10'000; i < 20'000; ++i)
    EXPECT_FALSE(sound.noted_lately(digest_number(i), now));
}

class Probe : public ::testing::Test {
 protected:
  static StoreOptions uncached() {
    StoreOptions options = LocalStore::small_options();
    options.object_cache_bytes = 0;
    return options;
  }
  void damage(const Location& location) {
    flip_bit(store_.paths().segments + "/" + segment_file_name(location.segment),
             location.offset + kRecordHeaderBytes + 5, 1);
  }
  LocalStore store_{uncached()};
};

TEST_F(Probe, OfWhatWasJustWrittenReadsNothing) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  const std::uint64_t reads = store_->figures().object_reads;
  store_->probe(digest, Wait::kRefused);
  EXPECT_EQ(store_->figures().object_reads, reads);
}

TEST_F(Probe, OfWhatNobodyHasLookedAtReadsTheRecordOnce) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  store_.close_and_reopen();
  try {
    store_->probe(digest, Wait::kRefused);
    ADD_FAILURE() << "nothing is known of it";
  } catch (const WouldBlock& missing) {
    EXPECT_EQ(missing.digest, digest);
    EXPECT_TRUE(missing.probed);
  }
  const std::uint64_t reads = store_->figures().object_reads;
  store_->probe(digest, Wait::kAllowed);
  store_->probe(digest, Wait::kRefused);
  EXPECT_EQ(store_->figures().object_reads, reads + 1);
}

TEST_F(Probe, OfADamagedObjectSaysWhatReadingItSays) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  store_.close_and_reopen();
  damage(store_->find(digest)->primary);
  EXPECT_THROW(store_->probe(digest, Wait::kAllowed), CorruptionError);
  EXPECT_EQ(store_->figures().damaged_objects, 1u);
  store_.commit_one(random_content(1, 5000));  // heals
  store_->probe(digest, Wait::kAllowed);
  EXPECT_THROW(store_->probe(digest_number(7), Wait::kAllowed), CorruptionError);
}

TEST_F(Probe, AfterAReadThatFoundDamageIsNotTakenFromMemory) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  damage(store_->find(digest)->primary);
  EXPECT_THROW(store_.read(digest), CorruptionError);
  EXPECT_THROW(store_->probe(digest, Wait::kAllowed), CorruptionError);
}

TEST_F(Probe, TheSecondCopyOfMetadataServes) {
  const Digest digest = store_.commit_one(random_content(1, 5000), ObjectKind::kMetadata);
  store_.close_and_reopen();
  damage(store_->find(digest)->primary);
  store_->probe(digest, Wait::kAllowed);
  EXPECT_EQ(store_->figures().damaged_objects, 1u);
}

}  // namespace
}  // namespace varve
