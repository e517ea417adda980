// SPDX-License-Identifier: Apache-2.0
// Every target meets its seeds, its kept corpus, and a fixed number of damaged copies of both. A
// finding ends the process; the last line printed says which input it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/fuzz/targets.h"

namespace varve::fuzz {
namespace {

constexpr std::uint64_t kSeed = 20261126;
constexpr int kDamagedCopies = 20;

/// VARVE_FUZZ_COPIES asks for more damaged copies: a fuzzer without coverage, for any compiler.
int damaged_copies() {
  const char* wanted = std::getenv("VARVE_FUZZ_COPIES");
  return wanted == nullptr ? kDamagedCopies : std::atoi(wanted);
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}

std::vector<std::pair<std::string, Bytes>> inputs_of(const Target& target) {
  std::vector<std::pair<std::string, Bytes>> out;
  for (Bytes& seed : target.seeds()) {
    out.emplace_back("seed " + std::to_string(out.size()), std::move(seed));
  }
  const std::filesystem::path corpus = std::filesystem::path(VARVE_FUZZ_CORPUS) / target.name;
  if (!std::filesystem::exists(corpus)) return out;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    out.emplace_back(entry.path().string(), read_file(entry.path()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// A copy with a few bytes changed, removed or repeated.
Bytes damaged(const Bytes& input, std::mt19937_64& random) {
  Bytes out = input;
  for (std::uint64_t step = random() % 3 + 1; step > 0 && !out.empty(); --step) {
    const std::size_t at = random() % out.size();
    const auto here = out.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random() % 4) {
      case 0:
        *here ^= static_cast<std::byte>(1u << random() % 8);
        break;
      case 1:
        *here = static_cast<std::byte>(random());
        break;
      case 2:
        out.erase(here, here + static_cast<std::ptrdiff_t>(
                                   std::min<std::size_t>(random() % 8 + 1, out.size() - at)));
        break;
      default:
        out.insert(here, random() % 8 + 1, *here);
    }
  }
  return out;
}

class Replay : public testing::TestWithParam<Target> {};

TEST_P(Replay, NothingIsFound) {
  const Target& target = GetParam();
  ASSERT_FALSE(target.seeds().empty());
  for (const auto& [name, input] : inputs_of(target)) {
    std::printf("%s\n", name.c_str());
    std::fflush(stdout);
    target.run(input);
    std::mt19937_64 random(kSeed);
    for (int copy = 0; copy < damaged_copies(); ++copy) target.run(damaged(input, random));
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Replay, testing::ValuesIn(targets()),
                         [](const auto& entry) { return std::string(entry.param.name); });

}  // namespace
}  // namespace varve::fuzz
