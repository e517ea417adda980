// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "mountd/control_api_call.h"
#include "store/base/error.h"

namespace varve {

VolumeRules& ControlApi::rules() {
  if (hooks_.rules == nullptr) throw UserError(ENOSYS, "rules are not kept here");
  return *hooks_.rules;
}

Json ControlApi::list_rules(const Call&) {
  Json list = Json::array();
  for (const VolumeRules::Rule& rule : rules().list())
    list.push_back({{"Pattern", rule.pattern}, {"Options", rule.options}});
  return list;
}

Json ControlApi::add_rule(const Call& call) {
  const VolumeRules::Rule rule{call.required_text("pattern"), call.words("options")};
  rules().add(rule);
  return {{"Pattern", rule.pattern}, {"Options", rule.options}};
}

Json ControlApi::remove_rule(const Call& call) {
  const std::string pattern = call.required_text("pattern");
  rules().remove(pattern);
  return {{"Pattern", pattern}};
}

}  // namespace varve
