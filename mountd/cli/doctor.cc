// SPDX-License-Identifier: Apache-2.0
#include "mountd/doctor.h"

#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/store_location.h"

namespace varve::cli {
namespace {

constexpr std::array kDoctorOptions{
    Option{0, "json", nullptr, "Print JSON"},
};

const char* word_of(Finding::Level level) {
  switch (level) {
    case Finding::Level::kProblem:
      return "problem";
    case Finding::Level::kNote:
      return "note";
    default:
      return "good";
  }
}

void print_findings(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    const std::string word = word_of(finding.level);
    print_line(word + ":" + std::string(9 - word.size(), ' ') + escaped(finding.what));
    if (!finding.remedy.empty()) print_line(std::string(10, ' ') + escaped(finding.remedy));
  }
}

int run_doctor(const Invocation& invocation) {
  const std::vector<Finding> findings = examine_host(this_host(store_location(invocation.store)));
  if (invocation.flag("json")) {
    Json list = Json::array();
    for (const Finding& finding : findings)
      list.push_back(
          {{"level", word_of(finding.level)}, {"what", finding.what}, {"remedy", finding.remedy}});
    print_json(list);
  } else {
    print_findings(findings);
  }
  for (const Finding& finding : findings)
    if (finding.level == Finding::Level::kProblem) return kFailure;
  return kOk;
}

}  // namespace

const Command kDoctor{"",
                      "doctor",
                      "",
                      "Look for what would keep mounts or containers from working",
                      "Prints what it looked at, and what to do about each finding. The exit "
                      "status is 1 if something\n"
                      "will fail. Changes nothing.",
                      kDoctorOptions,
                      0,
                      0,
                      run_doctor};

}  // namespace varve::cli
