// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace varve::cli {

/// One option of a command. Everything here is constant data: starting the program builds nothing.
struct Option {
  char letter;        ///< 0: none
  const char* name;   ///< without the dashes
  const char* value;  ///< what stands after it in the help; null: a flag
  const char* help;   ///< empty: not shown (for the program's own use)
};

class Invocation;

/// One command; each has a file of its own in this folder.
struct Command {
  const char* group;  ///< "volume", "snapshot", "daemon", or "" for a command of one word
  const char* name;
  const char* arguments;  ///< as the help shows them: "VOLUME DIR"
  const char* summary;    ///< one line without a full stop
  const char* details;    ///< more lines for the command's own help; may be empty
  std::span<const Option> options;
  std::size_t min_arguments;
  std::size_t max_arguments;
  int (*run)(const Invocation&);  ///< returns the exit status; throws Error
};

/// The command line is not as the help says; the exit status is kUsage.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One parsed command line.
class Invocation {
 public:
  const Command* command = nullptr;
  std::vector<std::string> arguments;
  std::optional<std::string> store;  ///< --store

  bool flag(std::string_view name) const;
  /// The last one given.
  std::optional<std::string> value(std::string_view name) const;
  std::vector<std::string> values(std::string_view name) const;
  /// "k=v" options as a map. UsageError without '='.
  std::map<std::string, std::string> labels(std::string_view name = "label") const;
  /// A whole number from 0 to `max`. UsageError otherwise.
  std::optional<unsigned> number(std::string_view name, unsigned max) const;

  void add(std::string_view name, std::string value) {
    options_.emplace_back(name, std::move(value));
  }

 private:
  std::vector<std::pair<std::string, std::string>> options_;
};

/// Options that every command takes.
extern const std::span<const Option> kCommonOptions;

/// Parses `words` (without the program's name) against the table and runs the command; prints help
/// where it is asked for. Errors are printed as one line "varve: sentence". Returns the exit
/// status.
int run_command_line(std::span<const Command* const> table, std::vector<std::string> words);

/// The text of `varve --help`, of a group's, and of a command's help.
std::string program_help(std::span<const Command* const> table);
std::string group_help(std::span<const Command* const> table, std::string_view group);
std::string command_help(const Command& command);

}  // namespace varve::cli
