// SPDX-License-Identifier: Apache-2.0
// Damage: scrub and what it found; what a removal would free.
#include "mountd/control_api_call.h"
#include "store/base/error.h"

namespace varve {
namespace {

const char* part_word(FileFinding::Part part) {
  switch (part) {
    case FileFinding::Part::kSuperblock:
      return "superblock";
    case FileFinding::Part::kJournal:
      return "journal";
    case FileFinding::Part::kIndex:
      return "index";
    case FileFinding::Part::kSegment:
      return "segment";
  }
  return "file";
}

const char* state_word(const ScrubProgress& progress) {
  if (progress.running) return "running";
  if (!progress.failure.empty()) return "failed";
  if (!progress.ever_run) return "never";
  return progress.state.finished ? "finished" : "interrupted";
}

Json describe_damage(const DamagedFile& file) {
  Json ranges = Json::array();
  for (const DamagedFile::Range& range : file.ranges) {
    ranges.push_back({{"offset", range.offset}, {"size", range.size}});
  }
  Json out{{"volume", file.volume},
           {"trashed", file.trashed},
           {"present", file.in_present},
           {"snapshots", file.snapshots},
           {"inode", to_integer(file.ino)},
           {"damage", file.what == DamagedFile::What::kContent ? "content" : "metadata"},
           {"ranges", std::move(ranges)}};
  put_path(out, "path", file.path);
  return out;
}

Json describe_scrub(const ScrubProgress& progress) {
  const ScrubState& state = progress.state;
  Json findings = Json::array();
  for (const FileFinding& finding : progress.findings) {
    findings.push_back(
        {{"part", part_word(finding.part)}, {"what", finding.what}, {"mended", finding.mended}});
  }
  return {{"state", state_word(progress)},
          {"failure", progress.failure},
          {"percent", state.done_ten_thousandths() / 100.0},
          {"rate", progress.rate_bytes},
          {"started", progress.ever_run ? Json(time_text(state.started_ns)) : Json(nullptr)},
          {"finished", state.finished ? Json(time_text(state.finished_ns)) : Json(nullptr)},
          {"objects", state.objects},
          {"bytes", state.bytes},
          {"repaired", state.repaired},
          {"mended", state.mended},
          {"unrepaired", state.unrepaired},
          {"findings", std::move(findings)}};
}

}  // namespace

Json ControlApi::start_scrub(const Call& call) {
  repository_.start_scrub(call.size("rate").value_or(0));
  return describe_scrub(repository_.scrub_progress());
}

Json ControlApi::stop_scrub(const Call&) {
  repository_.stop_scrub();
  return describe_scrub(repository_.scrub_progress());
}

Json ControlApi::scrub_status(const Call& call) {
  Json out = describe_scrub(repository_.scrub_progress());
  if (call.parameter("files") != "1") return out;
  Json files = Json::array();
  for (const DamagedFile& file : repository_.damaged_files()) {
    files.push_back(describe_damage(file));
  }
  out["files"] = std::move(files);
  return out;
}

Json ControlApi::removal_space(const Call& call) {
  const auto list = call.body.find("snapshots");
  if (list == call.body.end() || !list->is_array() || list->empty())
    throw UserError(EINVAL, "field 'snapshots' must be an array of names");
  std::vector<std::string> references;
  for (const Json& name : *list) {
    if (!name.is_string()) throw UserError(EINVAL, "field 'snapshots' must be an array of names");
    references.push_back(name.get<std::string>());
    check_reference(references.back());
  }
  const RemovalSpace space = repository_.removal_space(references);
  return {{"bytes", space.bytes}, {"objects", space.objects}, {"kept", space.kept}};
}

}  // namespace varve
