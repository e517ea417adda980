// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/volume_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <cerrno>

#include "mountd/json.h"
#include "mountd/json.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::size_t kMaxRules = 1000, kMaxPatternBytes = 255, kRulesLimitBytes = 16 << 20;

VolumeRules::Rule rule_from(const Json& json) {
  return {json.at("pattern").get<std::string>(), json.at("options").get<OptionWords>()};
}

std::vector<VolumeRules::Rule> read_rules(Disk& disk, const std::string& path) {
  std::vector<VolumeRules::Rule> rules;
  if (!disk.exists(path)) return rules;
  const Bytes bytes = disk.read_file(path, kRulesLimitBytes);
  try {
    const Json file = Json::parse(as_text(bytes));
    for (const Json& json : file.at("rules")) rules.push_back(rule_from(json));
  } catch (const Json::exception& failure) {
    throw StoreError(EINVAL, path + " cannot be understood (" + failure.what() +
                                 "); mend it, or move it away to go on without rules");
  }
  return rules;
}

/// Words that say the same thing in two ways: who gives one leaves none of them open.
bool excludes(const std::string& a, const std::string& b) {
  static const std::vector<std::vector<std::string>> kSets{
      {"from", "snapshot"},
      {"profile", "ebstype", "iops", "perfmode"},
      {"squash", "uidmap", "gidmap"},
      {"ephemeral", "snapshot-on"},
  };
  return std::any_of(kSets.begin(), kSets.end(), [&](const auto& set) {
    return a != b && std::count(set.begin(), set.end(), a) != 0 &&
           std::count(set.begin(), set.end(), b) != 0;
  });
}

}  // namespace

VolumeRules::VolumeRules(Disk& disk, std::string path)
    : disk_(disk), path_(std::move(path)), rules_(read_rules(disk_, path_)) {}

std::vector<VolumeRules::Rule> VolumeRules::list() const {
  const MutexLock lock(mutex_);
  return rules_;
}

void VolumeRules::save(const std::vector<Rule>& rules) {
  Json list = Json::array();
  for (const Rule& rule : rules)
    list.push_back({{"pattern", rule.pattern}, {"options", rule.options}});
  const std::string text = Json{{"rules", list}}.dump(2, ' ', true, Json::error_handler_t::replace);
  disk_.replace_file(path_, as_bytes(text));
  rules_ = rules;
}

void VolumeRules::add(const Rule& rule) {
  if (rule.pattern.empty() || rule.pattern.size() > kMaxPatternBytes ||
      rule.pattern.find_first_of("/@") != std::string::npos)
    throw UserError(EINVAL, "the pattern '" + rule.pattern.substr(0, 64) +
                                "' fits no volume's name; write one such as 'ping3-*-vol'");
  if (rule.options.empty())
    throw UserError(EINVAL, "a rule needs an option, such as --from golden or -o size=5");
  parse_volume_options(rule.options);
  const MutexLock lock(mutex_);
  std::vector<Rule> rules = rules_;
  if (std::any_of(rules.begin(), rules.end(),
                  [&](const Rule& other) { return other.pattern == rule.pattern; }))
    throw UserError(EEXIST, "there is a rule for '" + rule.pattern +
                                "' already; remove it first (varve rule rm)");
  if (rules.size() >= kMaxRules)
    throw UserError(EINVAL, "there are 1000 rules already; remove some first");
  rules.push_back(rule);
  save(rules);
}

void VolumeRules::remove(const std::string& pattern) {
  const MutexLock lock(mutex_);
  std::vector<Rule> rules = rules_;
  if (std::erase_if(rules, [&](const Rule& rule) { return rule.pattern == pattern; }) == 0)
    throw UserError(ENOENT, "there is no rule for '" + pattern + "'; 'varve rule ls' lists them");
  save(rules);
}

OptionWords VolumeRules::complete(const std::string& name, const OptionWords& given) const {
  const MutexLock lock(mutex_);
  OptionWords all = given;
  for (const Rule& rule : rules_) {
    if (::fnmatch(rule.pattern.c_str(), name.c_str(), 0) != 0) continue;
    for (const auto& [word, value] : rule.options)
      if (std::none_of(given.begin(), given.end(), [&, asked = word](const auto& other) {
            return excludes(asked, other.first);
          }))
        all.emplace(word, value);
    break;
  }
  return all;
}

}  // namespace varve
