// SPDX-License-Identifier: Apache-2.0
//
// Shows that the power cuts of these tests see a missing flush: one place of the store that flushes
// after the other is taken for not flushing, and a breach must be found.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <set>

#include "tests/crash/crash_scenarios.h"
#include "tests/crash/cut_plan.h"

namespace varve::test {
namespace {

/// Cuts tried for one place; a missing flush is seen long before.
constexpr std::size_t kCutsPerPlace = 400;

/// Runs of digits of hexadecimal file names become one '#'.
std::string without_numbers(const std::string& path) {
  std::string leaf = leaf_of(path);
  const std::size_t digits = leaf.find_first_not_of("0123456789abcdef");
  if (digits != std::string::npos && digits >= 8) leaf = "#" + leaf.substr(digits);
  return leaf;
}

/// A place that flushes, by what it flushes and when: "open: directory journal".
std::string place_of(const DiskStep& step) {
  const char* kind = step.kind == DiskStep::Kind::kSyncDirectory ? ": directory " : ": ";
  return step.phase + kind + without_numbers(step.path);
}

/// Places whose missing flush these scenarios notice whatever turn the store's threads take.
const std::set<std::string>& always_noticed() {
  static const std::set<std::string> places = {"close: #.log",
                                               "close: index.db",
                                               "close: index.db-wal",
                                               "close: superblock",
                                               "create: FORMAT.new",
                                               "create: directory disk",
                                               "create: directory journal",
                                               "create: directory store",
                                               "create: index.db",
                                               "create: superblock.new",
                                               "lost index: #.log",
                                               "lost index: directory store",
                                               "lost index: index.db",
                                               "open: #.log",
                                               "open: #.seg",
                                               "open: directory segments",
                                               "open: directory store",
                                               "open: index.db",
                                               "open: index.db-wal",
                                               "other journal size: #.log",
                                               "other journal size: directory journal",
                                               "other journal size: superblock",
                                               "run: #.log",
                                               "run: #.log.new",
                                               "run: #.seg",
                                               "run: directory journal",
                                               "run: directory segments",
                                               "run: index.db-wal"};
  return places;
}

/// The other places, and why a cut right after them need not show that they are missing.
const std::map<std::string, std::string>& seldom_noticed() {
  static const char* const slot =
      "the older of two superblocks serves, and nothing was trimmed yet";
  static const char* const rebuilt = "an index without an end is made anew";
  static const char* const early = "a file is flushed again before the first record in it counts";
  static const std::map<std::string, std::string> places = {
      {"close: #.seg", "the journal holds the same data until its end is moved"},
      {"create: #.log.new", early},
      {"open: superblock", slot},
      {"open: #.log.new", "counts only if the ring turns to the new file at once"},
      {"open: directory journal", "counts only if the ring turns to the new file at once"},
      {"run: superblock", slot},
      {"lost index: superblock", slot},
      {"create: index.db-journal", rebuilt},
      {"create: index.db-wal", rebuilt},
      {"lost index: index.db-journal", rebuilt},
      {"lost index: index.db-wal", rebuilt},
      {"lost index: index.db.rebuild", rebuilt},
      {"other journal size: #.log.new", early},
      {"other journal size: directory store", "a name that an earlier flush made durable"},
      {"run: index.db", "the index's log holds the pages until it is begun anew"},
      {"run: directory store", "a name that an earlier flush made durable"},
  };
  return places;
}

std::optional<Breach> breach_without(const CrashScenario& scenario, const std::string& place) {
  const CrashRecord& record = scenario.record;
  const auto skips = [&](std::size_t at) { return place_of(record.trace[at]) == place; };
  std::size_t flushes = 0;
  for (std::size_t at = 0; at < record.trace.size(); ++at) {
    if (record.trace[at].is_flush() && skips(at)) ++flushes;
  }
  if (flushes == 0) return std::nullopt;
  PowerCut power(record.start, record.trace, skips);
  std::mt19937_64 random(scenario.seed);
  const std::size_t stride = std::max<std::size_t>(1, record.trace.size() / kCutsPerPlace);
  for (std::size_t position = 1; position <= record.trace.size(); position += stride) {
    power.advance_to(position);
    if (!power.owes()) continue;
    for (const bool only_skipped : {true, false}) {
      Cut cut{position, Loss::random(random())};
      if (only_skipped) cut.loss.mode = Loss::Mode::kSkipped;
      CheckOptions options = scenario.check;
      options.may_rebuild_index = position < scenario.index_rebuilt_before;
      options.cuts_in_recovery = 0;
      const std::string what = breach_in(record, power, cut, options);
      if (!what.empty()) return Breach{cut, what};
    }
  }
  return std::nullopt;
}

std::set<std::string> places_in(const CrashRecord& record) {
  std::set<std::string> out;
  for (const DiskStep& step : record.trace) {
    if (step.is_flush()) out.insert(place_of(step));
  }
  return out;
}

TEST(FlushMutation, AFlushThatIsLeftOutIsNoticed) {
  const std::vector<CrashScenario> scenarios = all_scenarios();
  ASSERT_FALSE(HasFailure());
  std::map<std::string, std::vector<const CrashScenario*>> places;
  for (const CrashScenario& scenario : scenarios) {
    for (const std::string& place : places_in(scenario.record)) places[place].push_back(&scenario);
  }
  for (const auto& [place, used_in] : places) {
    EXPECT_TRUE(always_noticed().contains(place) || seldom_noticed().contains(place))
        << "a new place that flushes: " << place << "; say what its absence would do";
  }
  for (const std::string& place : always_noticed()) {
    const std::vector<const CrashScenario*>& used_in = places[place];
    std::optional<Breach> breach;
    for (const CrashScenario* scenario : used_in) {
      if (!breach) breach = breach_without(*scenario, place);
    }
    EXPECT_TRUE(breach) << "nothing notices that this flush is missing: " << place;
    if (breach) std::printf("%-40s %s\n", place.c_str(), breach->what.substr(0, 150).c_str());
  }
}

TEST(FlushMutation, TheScenariosAreSoundWithAllFlushes) {
  for (const CrashScenario& scenario : all_scenarios()) {
    SCOPED_TRACE(scenario.name);
    const CrashRecord& record = scenario.record;
    PowerCut power(record.start, record.trace);
    std::mt19937_64 random(scenario.seed);
    const std::size_t stride = std::max<std::size_t>(1, record.trace.size() / 60);
    for (std::size_t position = 0; position <= record.trace.size(); position += stride) {
      power.advance_to(position);
      const Cut cut{position, Loss::random(random())};
      CheckOptions options = scenario.check;
      options.may_rebuild_index = position < scenario.index_rebuilt_before;
      const std::string what = breach_in(record, power, cut, options);
      ASSERT_EQ(what, "") << cut.text();
    }
  }
}

}  // namespace
}  // namespace varve::test
