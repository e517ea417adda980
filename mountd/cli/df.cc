// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/size_text.h"

namespace varve::cli {
namespace {

constexpr std::array kDfOptions{
    Option{0, "json", nullptr, "Print JSON, sizes in bytes"},
};

std::string percent(std::uint64_t used, std::uint64_t size) {
  if (size == 0) return "-";
  return std::to_string(
             std::lround(100.0 * static_cast<double>(used) / static_cast<double>(size))) +
         "%";
}

void print_figures(const Json& figures) {
  Table table({"VOLUME", "SIZE", "USED", "AVAILABLE", "USE%", "INODES"});
  for (const Json& volume : figures["volumes"]) {
    const std::uint64_t size = volume["size"], used = volume["used"];
    table.add({volume["volume"], quota_text(size), size_text(used),
               size_text(volume["available"].get<std::uint64_t>()), percent(used, size),
               std::to_string(volume["inodes"].get<std::uint64_t>())});
  }
  table.print();
  const Json& store = figures["store"];
  const std::uint64_t held =
      store["segment_bytes"].get<std::uint64_t>() + store["journal_bytes"].get<std::uint64_t>();
  print_line("");
  print_line("Store " + store["path"].get<std::string>() + " takes " + size_text(held) + ", " +
             size_text(store["free_bytes"].get<std::uint64_t>()) + " of " +
             size_text(store["total_bytes"].get<std::uint64_t>()) + " are free");
}

int run_df(const Invocation& invocation) {
  Service service(invocation);
  Json figures;
  if (invocation.arguments.empty()) {
    figures = service.call("GET", "/v1/df");
  } else {
    for (const std::string& name : invocation.arguments) {
      Json one = service.call("GET", "/v1/df?volume=" + percent_encode(name));
      if (figures.is_null()) {
        figures = std::move(one);
      } else {
        figures["volumes"].push_back(one["volumes"][0]);
      }
    }
  }
  if (invocation.flag("json")) {
    print_json(figures);
  } else {
    print_figures(figures);
  }
  return kOk;
}

}  // namespace

const Command kDf{
    "",
    "df",
    "[VOLUME...]",
    "Show the space that volumes use",
    "USED counts the data of the files; what volumes and snapshots share is stored once.",
    kDfOptions,
    0,
    static_cast<std::size_t>(-1),
    run_df};

}  // namespace varve::cli
