// SPDX-License-Identifier: Apache-2.0
//
// The long run: cuts the power before every step of random workloads. docs/testing.md.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/crash/cut_plan.h"

namespace varve::test {
namespace {

struct Arguments {
  std::uint64_t seed = 1;
  std::size_t cuts = 10'000;
  int commands = 120;
  std::string keep;
};

[[noreturn]] void usage() {
  std::fputs(
      "usage: varve_power_cut [--seed N] [--cuts N] [--commands N] [--keep DIR]\n"
      "Cuts the power before every step of random workloads until CUTS cuts were survived; the\n"
      "first workload has the seed N, the next N + 1. At a breach it says which cut of which "
      "seed,\n"
      "writes what the disk held into DIR, and ends with status 1.\n",
      stderr);
  std::exit(2);
}

Arguments parse(int argc, char** argv) {
  Arguments out;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) usage();
    const std::string value = argv[i + 1];
    if (name == "--keep") {
      out.keep = value;
      continue;
    }
    char* end = nullptr;
    const std::uint64_t number = std::strtoull(value.c_str(), &end, 10);
    if (value.empty() || *end != '\0') usage();
    if (name == "--seed") {
      out.seed = number;
    } else if (name == "--cuts") {
      out.cuts = number;
    } else if (name == "--commands") {
      out.commands = static_cast<int>(number);
    } else {
      usage();
    }
  }
  return out;
}

void keep_image(const CrashRecord& record, const Cut& cut, const std::string& directory) {
  PowerCut power(record.start, record.trace);
  power.advance_to(cut.position);
  power.image(cut.loss).write_to(directory);
  std::printf("the disk's content is in %s\n", (directory + kStorePath).c_str());
}

int run(const Arguments& arguments) {
  std::size_t cuts = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t seed = arguments.seed; cuts < arguments.cuts; ++seed) {
    const CrashRecord record = CrashWorkload(seed).run(arguments.commands);
    if (testing::Test::HasFailure()) return 1;
    CutPlan plan;
    plan.seed = seed;
    plan.limit = arguments.cuts - cuts;
    const std::optional<Breach> breach = first_breach(record, plan, cuts);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("seed %llu: %zu operations, %zu steps; %zu cuts in %.0f s\n",
                static_cast<unsigned long long>(seed), record.history.size() - 1,
                record.trace.size(), cuts, seconds.count());
    std::fflush(stdout);
    if (!breach) continue;
    std::printf("BREACH, seed %llu, %s\n", static_cast<unsigned long long>(seed),
                breach->text().c_str());
    if (!arguments.keep.empty()) keep_image(record, breach->cut, arguments.keep);
    return 1;
  }
  std::printf("%zu cuts survived\n", cuts);
  return 0;
}

}  // namespace
}  // namespace varve::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return varve::test::run(varve::test::parse(argc, argv));
}
