// SPDX-License-Identifier: Apache-2.0
#include "store/commit_delta.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "store/base/error.h"

namespace varve {
namespace {

CommitDelta sample_delta(std::size_t births, std::size_t releases) {
  CommitDelta delta;
  delta.csn = 77;
  std::mt19937_64 random(5);
  const auto digest = [&] {
    const std::uint64_t number = random();
    return digest_of({reinterpret_cast<const std::byte*>(&number), sizeof number});
  };
  for (std::size_t i = 0; i < births; ++i) {
    CommitDelta::Birth birth;
    birth.digest = digest();
    birth.births = random() % 5 + 1;
    if (i % 3 != 0) {
      birth.placement.primary = {random() % 1000 + 1, random() % (1 << 26)};
      birth.placement.stored_bytes = static_cast<std::uint32_t>(random() % 100'000);
      birth.placement.data_bytes = static_cast<std::uint32_t>(random() % kMaxObjectBytes + 1);
      birth.heals = i % 5 == 0;
    }
    if (i % 3 == 1) {
      birth.placement.kind = ObjectKind::kMetadata;
      birth.placement.mirror = {random() % 1000 + 1, random() % (1 << 26)};
    }
    delta.births.push_back(birth);
  }
  for (std::size_t i = 0; i < releases; ++i) delta.releases.push_back({digest(), random() % 9});
  const auto by_digest = [](const auto& a, const auto& b) { return a.digest < b.digest; };
  std::sort(delta.births.begin(), delta.births.end(), by_digest);
  std::sort(delta.releases.begin(), delta.releases.end(), by_digest);
  return delta;
}

TEST(CommitDelta, ComesBackFromItsBytes) {
  for (const auto& [births, releases] : {std::pair{0, 0}, {1, 0}, {0, 1}, {500, 300}}) {
    const CommitDelta delta =
        sample_delta(static_cast<std::size_t>(births), static_cast<std::size_t>(releases));
    const Bytes bytes = delta.encode();
    EXPECT_EQ(CommitDelta::decode(bytes), delta);
    EXPECT_LE(bytes.size(), 32u + delta.births.size() * 100 + delta.releases.size() * 42);
  }
}

TEST(CommitDelta, RefusesEveryTruncation) {
  const Bytes bytes = sample_delta(5, 5).encode();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(CommitDelta::decode(ByteView(bytes).first(size)), CorruptionError) << size;
  }
  Bytes longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_THROW(CommitDelta::decode(longer), CorruptionError);
}

TEST(CommitDelta, RefusesDisorderAndRepetition) {
  CommitDelta delta = sample_delta(3, 3);
  std::swap(delta.births[0], delta.births[1]);
  EXPECT_THROW(CommitDelta::decode(delta.encode()), CorruptionError);
  delta = sample_delta(3, 3);
  delta.releases[1] = delta.releases[0];
  EXPECT_THROW(CommitDelta::decode(delta.encode()), CorruptionError);
}

TEST(CommitDelta, NeverCrashesOnDamage) {
  const Bytes bytes = sample_delta(20, 20).encode();
  std::mt19937_64 random(11);
  SCOPED_TRACE("seed 11");
  for (int round = 0; round < 3000; ++round) {
    Bytes damaged = bytes;
    damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    try {
      CommitDelta::decode(damaged);
    } catch (const CorruptionError&) {
      // refused
    }
  }
}

}  // namespace
}  // namespace varve
