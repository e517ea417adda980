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
#include <utility>

#include "tests/crash/crash_scenarios.h"
#include "tests/crash/cut_plan.h"

namespace varve::test {
namespace {

/// Positions tried for one place: all right after its first flushes, and some in all of the trace.
/// Most missing flushes are seen at once.
constexpr std::size_t kPositionsSpread = 400;
constexpr std::size_t kPositionsAfterAFlush = 30;
constexpr std::size_t kFlushesFollowed = 12;

/// Runs of digits of hexadecimal file names become one '#'.
std::string without_numbers(std::string leaf) {
  const std::size_t digits = leaf.find_first_not_of("0123456789abcdef");
  if (digits != std::string::npos && digits >= 8) leaf = "#" + leaf.substr(digits);
  return leaf;
}

/// The flushes of a trace by what they flush and when, "" for other steps: "open: #.log", and of a
/// directory by the names that it makes durable: "run: directory journal with #.log".
std::vector<std::string> places_of(const std::vector<DiskStep>& trace) {
  std::vector<std::string> out;
  std::map<std::string, std::set<std::string>> changed;  // names by directory
  for (const DiskStep& step : trace) {
    if (!step.directory.empty() && !step.is_flush()) {
      changed[step.directory].insert(
          without_numbers(step.new_name.empty() ? step.name : step.new_name));
    }
    std::string place;
    if (step.is_flush()) place = step.phase + ": " + without_numbers(leaf_of(step.path));
    if (step.kind == DiskStep::Kind::kSyncDirectory) {
      place = step.phase + ": directory " + leaf_of(step.path);
      const std::set<std::string> names = std::exchange(changed[step.path], {});
      if (!names.empty()) place += " with";
      for (const std::string& name : names) place += " " + name;
    }
    out.push_back(std::move(place));
  }
  return out;
}

/// Places whose missing flush these scenarios notice whatever turn the store's threads take.
const std::set<std::string>& always_noticed() {
  static const std::set<std::string> places = {
      "close: #.log",
      "close: index.db",
      "close: index.db-wal",
      "close: superblock",
      "create: FORMAT.new",
      "create: directory disk with store",
      "create: directory journal with #.log #.log.new",
      "create: directory store with FORMAT FORMAT.new",
      "create: index.db",
      "create: superblock.new",
      "lost index: #.log",
      "lost index: index.db",
      "open: #.log",
      "open: #.log.new",
      "open: #.seg",
      "open: directory journal with #.log #.log.new",
      "open: directory segments with #.seg",
      "open: index.db",
      "open: index.db-wal",
      "other journal size: #.log",
      "other journal size: directory journal with #.log #.log.new",
      "other journal size: superblock",
      "run: #.log",
      "run: #.log.new",
      "run: #.seg",
      "run: directory journal with #.log #.log.new",
      "run: directory segments with #.seg",
      "run: index.db",
      "run: index.db-wal"};
  return places;
}

/// The other places, and why the loss of just what they cover breaks no promise.
const std::map<std::string, std::string>& seldom_noticed() {
  static const char* const slot =
      "the older of two superblocks serves, and nothing it names was used again yet";
  static const char* const rebuilt = "an index without an end is made anew";
  static const char* const sqlite =
      "SQLite's own, of a file that has served by then or of a name that it made durable before";
  static const char* const early = "a file is flushed again before the first record in it counts";
  static const char* const killed =
      "what a killed process left counts only if the ring turns to the new file at once";
  static const std::map<std::string, std::string> places = {
      {"close: #.seg",
       "only footers: the records were flushed by their commit; without a footer "
       "they are found by scanning"},
      {"create: #.log.new", early},
      {"create: directory store with index.db-wal superblock superblock.new",
       "the creation has not returned: a store without a superblock is refused"},
      {"create: directory store", sqlite},
      {"create: directory store with index.db-journal index.db-wal", sqlite},
      {"create: directory store with index.db-wal", sqlite},
      {"create: directory store with index.db index.db-journal journal lock segments", sqlite},
      {"create: index.db-journal", rebuilt},
      {"create: index.db-wal", rebuilt},
      {"lost index: directory store", sqlite},
      {"lost index: directory store with index.db", rebuilt},
      {"lost index: directory store with index.db-journal", sqlite},
      {"lost index: directory store with index.db-journal index.db-wal", sqlite},
      {"lost index: directory store with index.db.rebuild", rebuilt},
      {"lost index: index.db-journal", rebuilt},
      {"lost index: index.db-wal", rebuilt},
      {"lost index: index.db.rebuild", rebuilt},
      {"lost index: superblock", slot},
      {"open: #.log.new", killed},
      {"open: directory journal", killed},
      {"open: directory store", sqlite},
      {"open: directory store with index.db-wal", sqlite},
      {"open: superblock", slot},
      {"other journal size: #.log.new", early},
      {"other journal size: directory journal with #.log",
       "the old files are gone or are no part of the new ring"},
      {"other journal size: directory store with index.db-wal", sqlite},
      {"run: directory store", sqlite},
      {"run: directory store with index.db-wal", sqlite},
      {"run: superblock", slot},
  };
  return places;
}

std::set<std::size_t> positions_for(const std::vector<std::string>& places,
                                    const std::string& place) {
  std::set<std::size_t> out;
  const std::size_t end = places.size();
  const std::size_t stride = std::max<std::size_t>(1, end / kPositionsSpread);
  for (std::size_t at = 1; at <= end; at += stride) out.insert(at);
  std::size_t followed = 0;
  for (std::size_t at = 0; at < end && followed < kFlushesFollowed; ++at) {
    if (places[at] != place) continue;
    ++followed;
    for (std::size_t after = at + 1; after <= std::min(end, at + kPositionsAfterAFlush); ++after) {
      out.insert(after);
    }
  }
  return out;
}

std::optional<Breach> breach_without(const CrashScenario& scenario, const std::string& place) {
  const CrashRecord& record = scenario.record;
  const std::vector<std::string> places = places_of(record.trace);
  if (std::count(places.begin(), places.end(), place) == 0) return std::nullopt;
  const auto skips = [&](std::size_t at) { return places[at] == place; };
  PowerCut power(record.start, record.trace, skips);
  std::mt19937_64 random(scenario.seed);
  for (const std::size_t position : positions_for(places, place)) {
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
  const std::vector<std::string> places = places_of(record.trace);
  std::set<std::string> out(places.begin(), places.end());
  out.erase("");
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
