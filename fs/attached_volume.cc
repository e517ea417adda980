// SPDX-License-Identifier: Apache-2.0
#include "fs/attached_volume.h"

#include <cerrno>
#include <ctime>
#include <utility>

#include "store/base/error.h"

namespace varve {
namespace {

AttachedVolumeSetup with_defaults(AttachedVolumeSetup setup) {
  VARVE_CHECK(setup.head != nullptr);
  Store& store = setup.head->store();
  if (!setup.clock) setup.clock = system_time;
  if (!setup.admit) setup.admit = [&store](std::uint64_t bytes) { store.admit(bytes); };
  if (!setup.figures) setup.figures = [&store] { return store.figures(); };
  return setup;
}

}  // namespace

Time system_time() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec, static_cast<std::uint32_t>(now.tv_nsec)};
}

AttachedVolume::AttachedVolume(AttachedVolumeSetup setup)
    : setup_(with_defaults(std::move(setup))),
      head_(*setup_.head),
      lookups_(setup_.resumed),
      orphans_left_(!head_.read_only()) {
  if (setup_.resumed) hold_orphans();
}

AttachedVolume::~AttachedVolume() = default;

void AttachedVolume::admit(std::uint64_t bytes) {
  if (head_.read_only()) throw PosixError(EROFS);
  setup_.admit(bytes);
}

void AttachedVolume::fsync(Ino) {
  // The journal is one for all inodes: everything acknowledged before is in it already.
  sync();
}

void AttachedVolume::sync() {
  if (!head_.read_only()) head_.store().journal().flush();
}

}  // namespace varve
