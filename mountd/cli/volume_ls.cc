// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/cli/template.h"
#include "mountd/size_text.h"

namespace varve::cli {
namespace {

constexpr std::array kVolumeLsOptions{
    Option{'q', "quiet", nullptr, "Print names only"},
    Option{'f', "filter", "FILTER", "dangling=true|false, label=NAME[=VALUE] or name=PART"},
    Option{0, "format", "TEMPLATE", "Print each volume by a template, such as {{.Name}}"},
    Option{0, "json", nullptr, "Print JSON"},
    Option{0, "trash", nullptr, "List removed volumes that can be restored"},
};

bool is_true(const std::string& text) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  throw UsageError("filter dangling=" + text + " is neither true nor false");
}

/// Neither mounted nor used by a container.
bool is_dangling(const Json& volume) {
  return volume["Mountpoint"].get<std::string>().empty() && !volume["Attached"].get<bool>() &&
         volume["Containers"].empty();
}

bool has_label(const Json& volume, const std::string& wanted) {
  const std::size_t equals = wanted.find('=');
  const Json& labels = volume["Labels"];
  const auto label = labels.find(wanted.substr(0, equals));
  return label != labels.end() &&
         (equals == std::string::npos || *label == wanted.substr(equals + 1));
}

bool volume_passes(const Json& volume, const Filter& filter) {
  if (filter.name == "dangling") return is_dangling(volume) == is_true(filter.value);
  if (filter.name == "label") return has_label(volume, filter.value);
  if (filter.name == "name")
    return volume["Name"].get<std::string>().find(filter.value) != std::string::npos;
  throw UsageError("filter " + filter.name + " is unknown; there are dangling, label and name");
}

/// Container ids as lists show them: twelve digits.
std::string short_ids(const Json& containers) {
  std::string text;
  for (const Json& id : containers)
    text += (text.empty() ? "" : ",") + id.get<std::string>().substr(0, 12);
  return text;
}

void print_table(const Json& volumes, bool trash) {
  Table table({"DRIVER", "VOLUME NAME", "SIZE", trash ? "REMOVED" : "CONTAINER"});
  for (const Json& volume : volumes)
    table.add({volume["Driver"], volume["Name"], quota_text(volume["Size"].get<std::uint64_t>()),
               trash ? volume["Trashed"].get<std::string>() : short_ids(volume["Containers"])});
  table.print();
}

int run_volume_ls(const Invocation& invocation) {
  const std::vector<Filter> wanted = filters(invocation);
  for (const Filter& filter : wanted)  // a mistake is an error in an empty store too
    volume_passes({{"Name", ""},
                   {"Mountpoint", ""},
                   {"Attached", false},
                   {"Containers", Json::array()},
                   {"Labels", Json::object()}},
                  filter);
  const bool trash = invocation.flag("trash");
  Service service(invocation);
  Json volumes = Json::array();
  for (Json& volume : service.call("GET", trash ? "/v1/volumes?trash=1" : "/v1/volumes")) {
    bool all = true;
    for (const Filter& filter : wanted) all = volume_passes(volume, filter) && all;
    if (all) volumes.push_back(std::move(volume));
  }
  if (const auto format = invocation.value("format")) {
    for (const Json& volume : volumes) print_line(render_template(*format, volume));
  } else if (invocation.flag("json")) {
    print_json(volumes);
  } else if (invocation.flag("quiet")) {
    for (const Json& volume : volumes) print_line(volume["Name"].get<std::string>());
  } else {
    print_table(volumes, trash);
  }
  return kOk;
}

}  // namespace

const Command kVolumeLs{"volume",         "ls", "", "List volumes", "",
                        kVolumeLsOptions, 0,    0,  run_volume_ls};

}  // namespace varve::cli
