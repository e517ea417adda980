// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/command.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr std::array kCommon{
    Option{0, "store", "PATH", "The store's directory (default: $VARVE_STORE, or the usual place)"},
    Option{0, "help", nullptr, "Print usage"},
};

const Option* find_long(std::span<const Option> options, std::string_view name) {
  for (const Option& option : options)
    if (option.name == name) return &option;
  return nullptr;
}

const Option* find_letter(std::span<const Option> options, char letter) {
  for (const Option& option : options)
    if (option.letter == letter) return &option;
  return nullptr;
}

std::string full_name(const Command& command) {
  const std::string group = command.group;
  return group.empty() ? command.name : group + " " + command.name;
}

/// Takes the words of one command apart.
class Parser {
 public:
  Parser(const Command* command, const std::vector<std::string>& words, std::size_t at,
         Invocation& out)
      : command_(command), words_(words), at_(at), out_(out) {}

  /// True if help was asked for.
  bool parse() {
    for (bool options_end = false; at_ < words_.size();) {
      const std::string& word = words_[at_++];
      if (!options_end && word == "--") {
        options_end = true;
      } else if (!options_end && word.size() > 2 && word.compare(0, 2, "--") == 0) {
        parse_long(word);
      } else if (!options_end && word.size() > 1 && word[0] == '-') {
        parse_letters(word);
      } else {
        out_.arguments.push_back(word);
      }
      if (help_) return true;
    }
    return false;
  }

 private:
  std::span<const Option> options() const { return command_->options; }

  void parse_long(const std::string& word) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Option* option = find_long(options(), name);
    if (option == nullptr) option = find_long(kCommon, name);
    if (option == nullptr) fail("option --" + name + " is unknown");
    if (option->value == nullptr) {
      if (equals != std::string::npos) fail("option --" + name + " takes no value");
      take(*option, {});
    } else {
      take(*option, equals != std::string::npos ? word.substr(equals + 1) : next("--" + name));
    }
  }

  void parse_letters(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const Option* option = find_letter(options(), word[i]);
      if (option == nullptr && word == "-h") {
        help_ = true;
        return;
      }
      if (option == nullptr) fail(std::string("option -") + word[i] + " is unknown");
      if (option->value == nullptr) {
        take(*option, {});
        continue;
      }
      take(*option, i + 1 < word.size() ? word.substr(i + 1) : next(word));
      return;
    }
  }

  std::string next(const std::string& option) {
    if (at_ >= words_.size()) fail("option " + option + " needs a value");
    return words_[at_++];
  }

  void take(const Option& option, std::string value) {
    if (std::strcmp(option.name, "help") == 0) help_ = true;
    if (std::strcmp(option.name, "store") == 0) out_.store = value;
    out_.add(option.name, std::move(value));
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw UsageError(what + "; see 'varve " + full_name(*command_) + " --help'");
  }

  const Command* command_;
  const std::vector<std::string>& words_;
  std::size_t at_;
  Invocation& out_;
  bool help_ = false;
};

bool is_group(std::span<const Command* const> table, std::string_view word) {
  for (const Command* command : table)
    if (command->group == word && !word.empty()) return true;
  return false;
}

const Command* find_command(std::span<const Command* const> table, std::string_view group,
                            std::string_view name) {
  for (const Command* command : table)
    if (command->group == group && command->name == name) return command;
  return nullptr;
}

std::string group_summary(std::string_view group) {
  if (group == "volume") return "Manage volumes";
  if (group == "snapshot") return "Manage snapshots of volumes";
  return "Manage the daemon that serves a store";
}

std::string row(const std::string& left, std::string_view right) {
  std::string text = "  " + left;
  text.append(left.size() < 25 ? 25 - left.size() : 1, ' ');
  return text.append(right) + "\n";
}

std::string option_rows(std::span<const Option> options) {
  std::string text;
  for (const Option& option : options) {
    if (*option.help == '\0') continue;
    std::string left = option.letter != 0 ? std::string("-") + option.letter + ", " : "    ";
    left += std::string("--") + option.name;
    if (option.value != nullptr) left += std::string(" ") + option.value;
    text += row(left, option.help);
  }
  return text;
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return kOk;
}

/// Options before the command: --store, --help, --version. Leaves `at` at the command's name.
std::optional<int> global_options(std::span<const Command* const> table,
                                  const std::vector<std::string>& words, std::size_t& at,
                                  Invocation& out) {
  while (at < words.size() && words[at].size() > 1 && words[at][0] == '-') {
    const std::string& word = words[at];
    if (word == "--help" || word == "-h") return print(program_help(table));
    if (word == "--version" || word == "-v") return print("varve " VARVE_VERSION "\n");
    if (word == "--store") {
      if (at + 1 >= words.size()) throw UsageError("option --store needs a value");
      out.store = words[at + 1];
      at += 2;
    } else if (word.compare(0, 8, "--store=") == 0) {
      out.store = word.substr(8);
      ++at;
    } else {
      throw UsageError("option " + word + " is unknown; see 'varve --help'");
    }
  }
  return std::nullopt;
}

void check_argument_count(const Command& command, std::size_t count) {
  const char* what = count < command.min_arguments   ? "needs more arguments"
                     : count > command.max_arguments ? "takes fewer arguments"
                                                     : nullptr;
  if (what == nullptr) return;
  throw UsageError("'varve " + full_name(command) + "' " + what + "; usage: varve " +
                   full_name(command) + " [OPTIONS] " + command.arguments);
}

int run_words(std::span<const Command* const> table, std::vector<std::string> words) {
  Invocation invocation;
  std::size_t at = 0;
  if (const auto status = global_options(table, words, at, invocation)) return *status;
  if (at < words.size() && words[at] == "help") {
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
    words.push_back("--help");
    if (at + 1 == words.size()) return print(program_help(table));
  }
  if (at >= words.size()) {
    std::fputs(program_help(table).c_str(), stderr);
    return kUsage;
  }
  std::string group;
  if (is_group(table, words[at])) {
    group = words[at++];
    if (at >= words.size()) {
      std::fputs(group_help(table, group).c_str(), stderr);
      return kUsage;
    }
    if (words[at] == "--help" || words[at] == "-h") return print(group_help(table, group));
  }
  invocation.command = find_command(table, group, words[at]);
  if (invocation.command == nullptr)
    throw UsageError("'" + (group.empty() ? "" : group + " ") + words[at] +
                     "' is not a varve command; see 'varve " + (group.empty() ? "" : group + " ") +
                     "--help'");
  if (Parser(invocation.command, words, at + 1, invocation).parse())
    return print(command_help(*invocation.command));
  check_argument_count(*invocation.command, invocation.arguments.size());
  return invocation.command->run(invocation);
}

}  // namespace

const std::span<const Option> kCommonOptions{kCommon};

bool Invocation::flag(std::string_view name) const { return value(name).has_value(); }

std::optional<std::string> Invocation::value(std::string_view name) const {
  std::optional<std::string> found;
  for (const auto& [option, text] : options_)
    if (option == name) found = text;
  return found;
}

std::vector<std::string> Invocation::values(std::string_view name) const {
  std::vector<std::string> found;
  for (const auto& [option, text] : options_)
    if (option == name) found.push_back(text);
  return found;
}

std::map<std::string, std::string> Invocation::labels(std::string_view name) const {
  std::map<std::string, std::string> labels;
  for (const std::string& text : values(name)) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError("label '" + text + "' is not NAME=VALUE");
    labels[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return labels;
}

std::optional<unsigned> Invocation::number(std::string_view name, unsigned max) const {
  const auto text = value(name);
  if (!text) return std::nullopt;
  unsigned number = 0;
  const auto result = std::from_chars(text->data(), text->data() + text->size(), number);
  if (result.ec != std::errc{} || result.ptr != text->data() + text->size() || number > max)
    throw UsageError("--" + std::string(name) + " " + *text + " is not a whole number from 0 to " +
                     std::to_string(max));
  return number;
}

std::string program_help(std::span<const Command* const> table) {
  std::string text =
      "\nUsage:  varve [--store PATH] COMMAND\n\n"
      "Versioned volumes for containers: snapshots, clones and rollbacks of file systems\n\n"
      "Options:\n" +
      option_rows(kCommon) + row("-v, --version", "Print the version") + "\nManagement commands:\n";
  std::string last;
  for (const Command* command : table) {
    if (*command->group == '\0' || last == command->group) continue;
    last = command->group;
    text += row(last, group_summary(last));
  }
  text += "\nCommands:\n";
  for (const Command* command : table)
    if (*command->group == '\0') text += row(command->name, command->summary);
  return text + "\nRun 'varve COMMAND --help' for more information on a command\n";
}

std::string group_help(std::span<const Command* const> table, std::string_view group) {
  const std::string name(group);
  std::string text = "\nUsage:  varve " + name + " [OPTIONS] [COMMAND]\n\n" + group_summary(group) +
                     "\n\nCommands:\n";
  for (const Command* command : table)
    if (command->group == group) text += row(command->name, command->summary);
  return text + "\nRun 'varve " + name + " COMMAND --help' for more information on a command\n\n" +
         row("--help", "Print usage");
}

std::string command_help(const Command& command) {
  std::string text = "\nUsage:  varve " + full_name(command) + " [OPTIONS]";
  if (*command.arguments != '\0') text += std::string(" ") + command.arguments;
  text += std::string("\n\n") + command.summary + "\n";
  if (*command.details != '\0') text += std::string("\n") + command.details + "\n";
  return text + "\nOptions:\n" + option_rows(command.options) + option_rows(kCommon);
}

int run_command_line(std::span<const Command* const> table, std::vector<std::string> words) {
  int status = kFailure;
  std::string sentence;
  try {
    status = run_words(table, std::move(words));
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      sentence = "the output cannot be written";
      status = kFailure;
    }
  } catch (const UsageError& error) {
    sentence = error.what();
    status = kUsage;
  } catch (const Error& error) {
    sentence = error.what();
    status = status_of_errno(error.code());
  } catch (const std::exception& failure) {
    sentence = std::string("internal error: ") + failure.what();
  }
  if (!sentence.empty()) {
    std::fflush(stdout);
    std::fprintf(stderr, "varve: %s\n", escaped(sentence).c_str());
  }
  return status;
}

}  // namespace varve::cli
