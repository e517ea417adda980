// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/volume_creation.h"

#include <unistd.h>

#include <cerrno>

#include "mountd/size_text.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

void change_root(Repository& repository, const std::string& name, const VolumeOptions& options) {
  if (!options.mode && !options.uid && !options.gid) return;
  SetAttributes change;
  change.mode = options.mode;
  change.uid = options.uid;
  change.gid = options.gid;
  const std::shared_ptr<Volume> volume = repository.attach(name);
  volume->setattr(kRootIno, change, {});
  volume->sync();
}

VolumeInfo make_clone(Repository& repository, LiveMounts* mounts,
                      const Repository::CreateVolume& creation, const VolumeOptions& options) {
  // The present state of a mounted volume is also in the kernel. A snapshot has no dirty pages.
  if (options.source->find('@') == std::string::npos && mounts != nullptr)
    mounts->flush(*options.source);
  Repository::CreateVolume request = creation;
  request.quota_bytes = options.size_bytes.value_or(0);
  const VolumeInfo info = repository.clone_volume(request, *options.source);
  // For clone_volume 0 keeps the source's quota; a 0 that was asked for means no limit.
  if (options.size_bytes && *options.size_bytes == 0) repository.set_quota(info.row.name, 0);
  change_root(repository, info.row.name, options);
  return info;
}

VolumeInfo make_volume(Repository& repository, LiveMounts* mounts,
                       const Repository::CreateVolume& creation, const VolumeOptions& options) {
  if (options.source) return make_clone(repository, mounts, creation, options);
  Repository::CreateVolume request = creation;
  request.quota_bytes = options.size_bytes.value_or(kDefaultQuotaBytes);
  request.root_mode = options.mode.value_or(0755);
  // The root directory of a user's own store belongs to the user.
  request.root_uid = options.uid.value_or(::geteuid());
  request.root_gid = options.gid.value_or(::getegid());
  return repository.create_volume(request);
}

/// True if `source`, "VOLUME@SNAPSHOT", is what "VOLUME", "SNAPSHOT" or all of it names.
bool is_source(const std::string& source, const std::string& wanted) {
  const std::size_t at = source.find('@');
  return source == wanted || source.substr(0, at) == wanted ||
         (at != std::string::npos && source.substr(at + 1) == wanted);
}

[[noreturn]] void refuse_difference(const std::string& volume, const std::string& word,
                                    const std::string& wanted, const std::string& present) {
  throw UserError(EEXIST, "volume " + volume + " exists with " +
                              (present.empty() ? "no option " + word : word + "=" + present) +
                              ", not " + word + "=" + wanted +
                              "; leave the option out, or choose another name");
}

}  // namespace

VolumeInfo create_volume_as(Repository& repository, LiveMounts* mounts, const std::string& name,
                            const VolumeOptions& options) {
  Repository::CreateVolume creation;
  creation.name = name;
  creation.labels = option_labels(options);
  creation.labels.insert(options.labels.begin(), options.labels.end());
  const VolumeInfo info = make_volume(repository, mounts, creation, options);
  try {
    if (options.ephemeral) repository.create_snapshot(info.row.name, kInitialSnapshot, {});
    if (options.protect) repository.set_protect(info.row.name, true);
  } catch (...) {
    try {
      repository.remove_volume(info.row.name, Repository::WithSnapshots::kToo);
    } catch (const Error& error) {
      log_warn("plugin", "a volume that was half made stays: " + std::string(error.what()));
    }
    throw;
  }
  return repository.volume(info.row.name);
}

void expect_same_options(const VolumeInfo& info, const VolumeOptions& wanted) {
  const VolumeRow& row = info.row;
  const OptionWords kept = kept_words(row.labels);
  for (const auto& [word, value] : option_labels(wanted)) {
    const std::string name = word.substr(std::string_view(kOptionLabelPrefix).size());
    const auto present = kept.find(name);
    if (present == kept.end()) refuse_difference(row.name, name, value, "");
    if (present->second != value) refuse_difference(row.name, name, value, present->second);
  }
  if (wanted.size_bytes && *wanted.size_bytes != info.quota_bytes)
    refuse_difference(row.name, "size", quota_text(*wanted.size_bytes),
                      quota_text(info.quota_bytes));
  if (wanted.source && !is_source(row.source, *wanted.source))
    refuse_difference(row.name, "from", *wanted.source, row.source);
  if (wanted.protect && !row.protect) refuse_difference(row.name, "protect", "true", "");
  for (const auto& [key, value] : wanted.labels) {
    const auto present = row.labels.find(key);
    if (present == row.labels.end() || present->second != value)
      refuse_difference(row.name, "label." + key, value,
                        present == row.labels.end() ? "" : present->second);
  }
}

}  // namespace varve
