// SPDX-License-Identifier: Apache-2.0
#include "store/digest.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "store/checksum.h"

namespace varve {
namespace {

TEST(Digest, IsSha256) {
  // FIPS 180-4 examples.
  EXPECT_EQ(digest_of(as_bytes("")).hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest_of(as_bytes("abc")).hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Digest, OrdersLikeItsBytes) {
  Digest low;
  Digest high;
  high.bytes[0] = std::byte{0x80};
  low.bytes[31] = std::byte{0xff};
  EXPECT_LT(low, high);
  EXPECT_NE(low, high);
}

TEST(Digest, IsTheSameInEveryThread) {
  const Digest expected = digest_of(as_bytes("shared"));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) EXPECT_EQ(digest_of(as_bytes("shared")), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Checksum, DependsOnBytesAndSeed) {
  const std::string text(1000, 'x');
  EXPECT_EQ(checksum_of(as_bytes(text)), checksum_of(as_bytes(text)));
  EXPECT_NE(checksum_of(as_bytes(text)), checksum_of(as_bytes(text).first(999)));
  EXPECT_NE(checksum_of(as_bytes(text), 1), checksum_of(as_bytes(text), 2));
  // The format depends on this value: XXH3-64 of nothing.
  EXPECT_EQ(checksum_of({}), 0x2d06800538d394c2ull);
}

}  // namespace
}  // namespace varve
