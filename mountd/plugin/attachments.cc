// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/attachments.h"

#include <cstdlib>
#include <ctime>
#include <fstream>

#include "mountd/json.h"
#include "mountd/json.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

constexpr std::size_t kAttachmentsLimitBytes = 64 << 20;

}  // namespace

std::string Attachments::this_boot() {
  const char* given = std::getenv("VARVE_BOOT_ID");
  if (given != nullptr && *given != '\0') return given;
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

std::int64_t Attachments::now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

Attachments::Attachments(Disk& disk, std::string path, std::string boot_id)
    : disk_(disk), path_(std::move(path)), boot_id_(std::move(boot_id)) {
  load();
}

void Attachments::load() {
  if (!disk_.exists(path_)) return;
  const MutexLock lock(mutex_);
  try {
    const Bytes bytes = disk_.read_file(path_, kAttachmentsLimitBytes);
    const Json file = Json::parse(as_text(bytes));
    if (file.at("boot") != boot_id_) {
      log_info("plugin", "the host was started anew; mounts of containers before that are void");
      return;
    }
    for (const auto& [volume, holders] : file.at("volumes").items())
      for (const auto& [id, use] : holders.items())
        volumes_[volume][id] = {use.at("count").get<std::uint32_t>(),
                                use.at("since_ms").get<std::int64_t>()};
  } catch (const std::exception& failure) {
    // Only a power cut tears the file, and that was another boot.
    volumes_.clear();
    log_warn("plugin", path_ + " is dropped: " + failure.what());
  }
}

/// Without a flush: after a power cut the file is void.
void Attachments::save() {
  Json volumes = Json::object();
  for (const auto& [volume, holders] : volumes_)
    for (const auto& [id, use] : holders)
      volumes[volume][id] = {{"count", use.count}, {"since_ms", use.since_ms}};
  const std::string text = Json{{"boot", boot_id_}, {"volumes", std::move(volumes)}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
  const std::string next = path_ + ".new";
  disk_.remove(next);
  disk_.open(next, Disk::Mode::kCreateNew)->write_at(0, as_bytes(text));
  disk_.rename(next, path_);
}

void Attachments::add(const std::string& volume, const std::string& id) {
  const MutexLock lock(mutex_);
  Use& use = volumes_[volume][id];
  ++use.count;
  use.since_ms = now_ms();
  save();
}

bool Attachments::remove(const std::string& volume, const std::string& id) {
  const MutexLock lock(mutex_);
  const auto holders = volumes_.find(volume);
  if (holders == volumes_.end()) return false;
  const auto use = holders->second.find(id);
  if (use == holders->second.end()) return false;
  if (--use->second.count == 0) holders->second.erase(use);
  if (holders->second.empty()) volumes_.erase(holders);
  save();
  return true;
}

void Attachments::clear(const std::string& volume) {
  const MutexLock lock(mutex_);
  if (volumes_.erase(volume) != 0) save();
}

std::vector<Attachments::Holder> Attachments::holders(const std::string& volume) const {
  std::vector<Holder> list;
  const MutexLock lock(mutex_);
  const auto found = volumes_.find(volume);
  if (found == volumes_.end()) return list;
  for (const auto& [id, use] : found->second) list.push_back({id, use.count, use.since_ms});
  return list;
}

std::vector<std::string> Attachments::volumes() const {
  std::vector<std::string> names;
  const MutexLock lock(mutex_);
  for (const auto& [name, holders] : volumes_) names.push_back(name);
  return names;
}

}  // namespace varve
