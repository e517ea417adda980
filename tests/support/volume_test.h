// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "store/base/error.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_world.h"

namespace varve::test {

/// The errno that `body` fails with; 0 if it does not.
template <class Body>
int errno_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return 0;
}

/// One volume in memory with shorthands. At the end its records must not contradict themselves.
class VolumeTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_THAT(problems_of(world_.records()), testing::IsEmpty()); }

  AttachedVolume& volume() { return world_.volume(); }
  /// A later moment.
  Time tick() {
    ++world_.now.seconds;
    return world_.now;
  }
  Ino file(const std::string& name, Ino parent = kRootIno, std::uint32_t mode = 0644) {
    return volume().make_node(parent, name, S_IFREG | mode, 0, caller_).ino;
  }
  Ino directory(const std::string& name, Ino parent = kRootIno, std::uint32_t mode = 0755) {
    return volume().make_directory(parent, name, mode, caller_).ino;
  }
  Attributes stat(Ino ino) { return volume().getattr(ino); }
  /// Looks up without keeping the lookup.
  std::optional<Ino> find(const std::string& name, Ino parent = kRootIno) {
    const std::optional<Attributes> found = volume().lookup(parent, name);
    if (!found) return std::nullopt;
    volume().forget(found->ino, 1);
    return found->ino;
  }
  /// Takes all lookups back.
  void forget(Ino ino) { volume().forget(ino, 1u << 30); }
  bool exists(Ino ino) {
    return errno_of([&] { volume().getattr(ino); }) == 0;
  }
  std::vector<std::string> names(Ino parent = kRootIno) {
    std::vector<std::string> out;
    volume().read_directory(parent, 2, false, [&](const DirectoryEntry& entry) {
      out.emplace_back(entry.name);
      return true;
    });
    std::sort(out.begin(), out.end());
    return out;
  }
  void write(Ino ino, std::string_view text, std::uint64_t offset = 0) {
    volume().write(ino, offset, as_bytes(text), false);
  }
  std::string content(Ino ino) {
    Bytes out(stat(ino).size);
    volume().read(ino, 0, out);
    return std::string(as_text(out));
  }
  void set_xattr(Ino ino, const std::string& name, std::string_view value,
                 XattrMode mode = XattrMode::kAny) {
    volume().set_xattr(ino, name, as_bytes(value), mode, false);
  }
  std::optional<std::string> xattr(Ino ino, const std::string& name) {
    const std::optional<Bytes> value = volume().get_xattr(ino, name);
    if (!value) return std::nullopt;
    return std::string(as_text(*value));
  }

  VolumeWorld world_;
  Caller caller_{};
};

}  // namespace varve::test
