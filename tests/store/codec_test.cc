// SPDX-License-Identifier: Apache-2.0
#include "store/codec.h"

#include <gtest/gtest.h>

#include <random>

#include "store/base/error.h"
#include "store/objects.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::random_content;
using test::text_content;

TEST(Codec, GivesBackEveryContent) {
  for (const std::size_t size : {1u, 2u, 63u, 64u, 1000u, 4096u, 16384u, 131072u}) {
    for (const int level : {0, 1, 9}) {
      for (const Bytes& content : {text_content(size, size), random_content(size, size)}) {
        SCOPED_TRACE(std::to_string(size) + " bytes at level " + std::to_string(level));
        Bytes payload;
        const Codec codec = encode_payload(content, level, payload);
        EXPECT_LE(payload.size(), content.size());
        EXPECT_EQ(decode_payload(codec, payload, content.size()), content);
      }
    }
  }
}

TEST(Codec, CompressesTextAndLeavesRandomBytesAlone) {
  Bytes payload;
  EXPECT_EQ(encode_payload(text_content(1, 131072), 1, payload), Codec::kZstd);
  EXPECT_LT(payload.size(), 131072u / 10);
  payload.clear();
  EXPECT_EQ(encode_payload(random_content(1, 131072), 1, payload), Codec::kRaw);
}

TEST(Codec, LeavesAloneWhatBecomesLittleSmaller) {
  const auto bytes_of = [](unsigned values) {
    Bytes out = random_content(1, 131072);
    for (std::byte& byte : out) {
      byte = static_cast<std::byte>(static_cast<unsigned>(byte) * values / 256);
    }
    return out;
  };
  Bytes payload;
  EXPECT_EQ(encode_payload(bytes_of(160), 1, payload), Codec::kRaw);  // 7.3 bits a byte
  payload.clear();
  EXPECT_EQ(encode_payload(bytes_of(90), 1, payload), Codec::kZstd);  // 6.5 bits
  EXPECT_LT(payload.size(), 131072u / 8 * 7);
}

TEST(Codec, CompressesTextAfterWhatDidNotBecomeSmaller) {
  Bytes vain(131072);  // one byte in eight is zero, but nothing repeats
  const Bytes random = random_content(3, vain.size());
  for (std::size_t i = 0; i < vain.size(); ++i) vain[i] = i % 8 == 0 ? std::byte{0} : random[i];
  ASSERT_FALSE(looks_incompressible(vain));
  for (const std::size_t size : {16384u, 131072u, 20000u}) {
    Bytes payload;
    for (int i = 0; i < 3; ++i) {
      payload.clear();
      EXPECT_EQ(encode_payload(ByteView(vain).first(size), 1, payload), Codec::kRaw);
    }
    payload.clear();
    EXPECT_EQ(encode_payload(text_content(2, size), 1, payload), Codec::kZstd);
    EXPECT_EQ(decode_payload(Codec::kZstd, payload, size), text_content(2, size));
  }
}

TEST(Codec, LevelZeroStoresAsItIs) {
  Bytes payload;
  EXPECT_EQ(encode_payload(text_content(1, 4096), 0, payload), Codec::kRaw);
  EXPECT_EQ(payload, text_content(1, 4096));
}

TEST(Codec, AppendsBehindWhatIsThere) {
  Bytes out(10, std::byte{7});
  const Bytes content = text_content(3, 4096);
  const Codec codec = encode_payload(content, 1, out);
  EXPECT_EQ(out[9], std::byte{7});
  EXPECT_EQ(decode_payload(codec, ByteView(out).subspan(10), content.size()), content);
}

TEST(Codec, TellsRandomBytesFromText) {
  EXPECT_TRUE(looks_incompressible(random_content(5, 65536)));
  EXPECT_FALSE(looks_incompressible(text_content(5, 65536)));
  EXPECT_FALSE(looks_incompressible(random_content(5, 1000)));  // too short to judge
}

TEST(Codec, RefusesWhatItDidNotMake) {
  Bytes payload;
  const Bytes content = text_content(1, 10000);
  const Codec codec = encode_payload(content, 1, payload);
  ASSERT_EQ(codec, Codec::kZstd);
  EXPECT_THROW(decode_payload(codec, payload, 9999), CorruptionError);
  EXPECT_THROW(decode_payload(codec, payload, 10001), CorruptionError);
  EXPECT_THROW(decode_payload(codec, payload, 0), CorruptionError);
  EXPECT_THROW(decode_payload(codec, payload, kMaxObjectBytes + 1), CorruptionError);
  EXPECT_THROW(decode_payload(codec, {}, 10000), CorruptionError);
  EXPECT_THROW(decode_payload(Codec::kRaw, payload, 10000), CorruptionError);
  EXPECT_THROW(decode_payload(static_cast<Codec>(9), payload, 10000), CorruptionError);
}

TEST(Codec, NeverCrashesOnDamagedPayload) {
  std::mt19937_64 random(42);
  SCOPED_TRACE("seed 42");
  Bytes payload;
  const Bytes content = text_content(1, 20000);
  const Codec codec = encode_payload(content, 1, payload);
  for (int round = 0; round < 2000; ++round) {
    Bytes damaged = payload;
    damaged[random() % damaged.size()] ^= static_cast<std::byte>(1u << random() % 8);
    if (round % 3 == 0) damaged.resize(random() % damaged.size());
    try {
      const Bytes decoded = decode_payload(codec, damaged, content.size());
      EXPECT_EQ(decoded.size(), content.size());
    } catch (const CorruptionError&) {
      // refused, as it should be
    }
  }
}

}  // namespace
}  // namespace varve
