// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mountd/plugin/volume_options.h"
#include "store/base/disk.h"
#include "store/base/mutex.h"

namespace varve {

/// Options that new volumes get by their name, such as those of one service's tasks. Kept in a file
/// of the store, durable when a call returns. Safe to share between threads.
class VolumeRules {
 public:
  struct Rule {
    std::string pattern;  ///< as the shell matches names: * ? [...]
    OptionWords options;
  };

  /// Reads the file at `path`; absent is no rules. StoreError when it cannot be understood.
  VolumeRules(Disk& disk, std::string path);

  /// In the order of adding, which is the order of asking.
  std::vector<Rule> list() const;
  /// UserError: EEXIST for a pattern that has a rule, EINVAL for an empty or overlong pattern, no
  /// options, options that do not go together, and more than 1000 rules.
  void add(const Rule& rule);
  /// UserError(ENOENT) for a pattern without a rule.
  void remove(const std::string& pattern);

  /// `given` with the options of the first rule that fits `name` in the places that it leaves open.
  OptionWords complete(const std::string& name, const OptionWords& given) const;

 private:
  void save(const std::vector<Rule>& rules) REQUIRES(mutex_);

  Disk& disk_;
  const std::string path_;
  mutable Mutex mutex_;
  std::vector<Rule> rules_ GUARDED_BY(mutex_);
};

}  // namespace varve
