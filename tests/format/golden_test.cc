// SPDX-License-Identifier: Apache-2.0
// Promise 9: a store written by any released version opens in every later one, and shows the same.
// When this fails, the reader is wrong, never the stored store.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/format/golden_store.h"
#include "tests/support/repository_world.h"

namespace varve::test {
namespace {

std::string expected_manifest(const std::string& name) {
  std::ifstream file(std::string(VARVE_SOURCE_DIR) + "/tests/format/" + name + ".manifest");
  EXPECT_TRUE(file) << name;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, ShowsWhatItsManifestSays) {
  const UnpackedGolden golden(GetParam());
  const auto repository = Repository::open(Disk::host(), golden.path(), false, golden_options());
  EXPECT_EQ(manifest_of(*repository), expected_manifest(GetParam()));
  repository->close();
}

TEST_P(Golden, GoesOnAsAStoreOfThisVersion) {
  const UnpackedGolden golden(GetParam());
  {
    const auto repository = Repository::open(Disk::host(), golden.path(), false, golden_options());
    write_file(*repository->attach("base"), "new", as_bytes("written by this version"));
    repository->create_snapshot("base", "new", {});
    repository->remove_snapshot("base@first");
    repository->remove_volume("clone");
    repository->purge_trash(INT64_MAX);
    while (repository->step()) {
    }
    repository->close();
  }
  const auto repository = Repository::open(Disk::host(), golden.path(), false, golden_options());
  EXPECT_EQ(read_file(*repository->attach("base"), "new").size(), 23u);
  EXPECT_EQ(read_file(*repository->attach_snapshot("base@second"), "renamed"), pattern(40'000, 1));
  EXPECT_TRUE(repository->trash().empty());
  std::map<Digest, std::uint64_t> counted, recorded;
  repository->catalog().count_births([&](const Digest& digest) { ++counted[digest]; });
  repository->store().visit_references(
      [&](const Digest& digest, std::uint64_t count) { recorded.emplace(digest, count); });
  EXPECT_EQ(counted, recorded);
  repository->close();
}

TEST_P(Golden, IsTheSameAfterItsIndexWasLost) {
  const UnpackedGolden golden(GetParam());
  std::filesystem::remove(golden.path() + "/index.db");
  const auto repository = Repository::open(Disk::host(), golden.path(), false, golden_options());
  EXPECT_EQ(manifest_of(*repository), expected_manifest(GetParam()));
  repository->close();
}

INSTANTIATE_TEST_SUITE_P(Stores, Golden, testing::ValuesIn(kGoldenNames), [](const auto& entry) {
  std::string name = entry.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace varve::test
