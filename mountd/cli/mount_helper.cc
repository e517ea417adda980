// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/mount_volume.h"
#include "mountd/cli/output.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

/// mount(8)'s own exit statuses.
constexpr int kMountUsage = 1;
constexpr int kMountFailure = 32;

struct HelperWords {
  std::vector<std::string> positional;
  MountCall call;
  bool fake = false;
};

HelperWords parse(const std::vector<std::string>& words) {
  HelperWords parsed;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-') {
      parsed.positional.push_back(word);
      continue;
    }
    if (word == "-r") parsed.call.add_options("ro");
    if (word == "-f") parsed.fake = true;
    if (word[1] != 'o' && word[1] != 't' && word[1] != 'N')
      continue;  // -n, -s, -v, -w: nothing to do
    std::string value = word.substr(2);
    if (value.empty()) {
      if (i + 1 >= words.size()) throw UsageError("option " + word + " needs a value");
      value = words[++i];
    }
    if (word[1] == 'o') parsed.call.add_options(value);
  }
  if (parsed.positional.size() != 2)
    throw UsageError("usage: mount.fuse.varve VOLUME[@SNAPSHOT] DIR [-o OPTIONS]");
  parsed.call.target = parsed.positional[0];
  parsed.call.mount_point = parsed.positional[1];
  return parsed;
}

}  // namespace

int run_mount_helper(std::vector<std::string> words) {
  int status = kMountFailure;
  std::string sentence;
  try {
    const HelperWords parsed = parse(words);
    return parsed.fake ? kOk : mount_volume(Invocation{}, parsed.call);
  } catch (const UsageError& error) {
    sentence = error.what();
    status = kMountUsage;
  } catch (const std::exception& failure) {
    sentence = failure.what();
  }
  std::fprintf(stderr, "mount.varve: %s\n", escaped(sentence).c_str());
  return status;
}

}  // namespace varve::cli
