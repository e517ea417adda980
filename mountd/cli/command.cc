// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr std::size_t kStoreOption = 0;
constexpr std::array kCommon{
    Option{0, "store", "PATH", "The store's directory (default: $VARVE_STORE, or the usual place)"},
    Option{0, "help", nullptr, "Print usage"},
};
constexpr std::array kVersionOption{Option{'v', "version", nullptr, "Print the version"}};

std::string full_name(const Command& command) {
  const std::string group = command.group;
  return group.empty() ? command.name : group + " " + command.name;
}

/// "-n,--name" as CLI11 wants it.
std::string names_of(const Option& option) {
  std::string names = option.letter != 0 ? std::string("-") + option.letter + "," : "";
  return names.append("--").append(option.name);
}

/// CLI11 takes the next word as the value of "--name=": an empty value becomes a word of its own.
/// It wants the words in reverse.
std::vector<std::string> words_for_parser(std::span<const std::string> words) {
  std::vector<std::string> out;
  bool options_end = false;
  for (const std::string& word : words) {
    options_end = options_end || word == "--";
    if (!options_end && word.starts_with("--") && word.find('=') == word.size() - 1) {
      out.push_back(word.substr(0, word.size() - 1));
      out.emplace_back();
    } else {
      out.push_back(word);
    }
  }
  std::reverse(out.begin(), out.end());
  return out;
}

/// Reads words against options by CLI11, which builds only what the command at hand needs.
class Parser {
 public:
  Parser() { app_.set_help_flag(); }

  void add(std::span<const Option> options) {
    for (const Option& option : options) {
      if (option.value == nullptr)
        app_.add_flag(names_of(option))->disable_flag_override();
      else
        app_.add_option(names_of(option), values_[option.name])->allow_extra_args(false);
      options_.push_back(&option);
    }
  }
  void add_help(const char* names) { app_.add_flag(names)->disable_flag_override(); }
  /// At most `count` arguments are taken; CLI11 wants to know each.
  void take_arguments(std::size_t count) {
    arguments_.resize(count);
    for (std::size_t i = 0; i < count; ++i)
      app_.add_option("argument" + std::to_string(i), arguments_[i]);
  }
  /// The words from the first that is no option on are left; see rest().
  void stop_at_first_argument() { app_.prefix_command(); }
  std::vector<std::string> rest() const { return app_.remaining(); }

  /// UsageError for what the options do not allow. `hint` is where to read on.
  void parse(std::span<const std::string> words, const std::string& hint) {
    try {
      app_.parse(words_for_parser(words));
    } catch (const CLI::ExtrasError&) {
      throw UsageError("option " + app_.remaining().front() + " is unknown; see '" + hint + "'");
    } catch (const CLI::ArgumentMismatch& error) {
      throw UsageError(problem(error) + "; see '" + hint + "'");
    } catch (const CLI::ParseError& error) {
      throw UsageError(std::string(error.what()) + "; see '" + hint + "'");
    }
  }

  bool has(const std::string& name) const { return app_.count("--" + name) != 0; }

  /// Hands what was given to `out`, in the order of the options.
  void give(Invocation& out) const {
    for (std::size_t i = 0; i < arguments_.size(); ++i)
      if (app_.count("argument" + std::to_string(i)) != 0) out.arguments.push_back(arguments_[i]);
    for (const Option* option : options_) {
      if (option->value == nullptr) {
        if (has(option->name)) out.add(option->name, {});
        continue;
      }
      for (const std::string& value : values_.at(option->name)) out.add(option->name, value);
      if (option == &kCommon[kStoreOption] && has(option->name))
        out.store = values_.at(option->name).back();
    }
  }

 private:
  /// An option without its value, or a flag with one. The message begins with the option's name.
  std::string problem(const CLI::ArgumentMismatch& error) const {
    const std::string said = error.what();
    const std::string name = said.substr(0, said.find_first_of(": "));
    for (const Option* option : options_)
      if (option->value == nullptr && name == option->name)
        return "option --" + name + " takes no value";
    return "option " + name + " needs a value";
  }

  CLI::App app_;
  std::vector<const Option*> options_;
  std::vector<std::string> arguments_;
  std::map<std::string, std::vector<std::string>> values_;
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
  if (group == "rule") return "Manage what new volumes get by their names";
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

/// Options before the command: --store, --help, --version. Leaves `words` without them.
std::optional<int> global_options(std::span<const Command* const> table,
                                  std::vector<std::string>& words, Invocation& out) {
  Parser parser;
  parser.add({&kCommon[kStoreOption], 1});
  parser.add(kVersionOption);
  parser.add_help("-h,--help");
  parser.stop_at_first_argument();
  parser.parse(words, "varve --help");
  if (parser.has("help")) return print(program_help(table));
  if (parser.has("version")) return print("varve " VARVE_VERSION "\n");
  parser.give(out);
  words = parser.rest();
  if (!words.empty() && words[0].size() > 1 && words[0][0] == '-')
    throw UsageError("option " + words[0] + " is unknown; see 'varve --help'");
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

bool has_letter(const Command& command, char letter) {
  return std::any_of(command.options.begin(), command.options.end(),
                     [&](const Option& option) { return option.letter == letter; });
}

int run_words_of(const Command& command, std::span<const std::string> words,
                 Invocation& invocation) {
  Parser parser;
  parser.add(command.options);
  parser.add({&kCommon[kStoreOption], 1});
  parser.add_help(has_letter(command, 'h') ? "--help" : "-h,--help");
  parser.take_arguments(words.size());
  parser.parse(words, "varve " + full_name(command) + " --help");
  if (parser.has("help")) return print(command_help(command));
  parser.give(invocation);
  check_argument_count(command, invocation.arguments.size());
  invocation.command = &command;
  return command.run(invocation);
}

int run_words(std::span<const Command* const> table, std::vector<std::string> words) {
  Invocation invocation;
  if (const auto status = global_options(table, words, invocation)) return *status;
  if (!words.empty() && words[0] == "help") {
    words.erase(words.begin());
    if (words.empty()) return print(program_help(table));
    words.push_back("--help");
  }
  if (words.empty()) {
    std::fputs(program_help(table).c_str(), stderr);
    return kUsage;
  }
  std::string group;
  std::size_t at = 0;
  if (is_group(table, words[at])) {
    group = words[at++];
    if (at >= words.size()) {
      std::fputs(group_help(table, group).c_str(), stderr);
      return kUsage;
    }
    if (words[at] == "--help" || words[at] == "-h") return print(group_help(table, group));
  }
  const Command* command = find_command(table, group, words[at]);
  if (command == nullptr)
    throw UsageError("'" + (group.empty() ? "" : group + " ") + words[at] +
                     "' is not a varve command; see 'varve " + (group.empty() ? "" : group + " ") +
                     "--help'");
  return run_words_of(*command, std::span<const std::string>(words).subspan(at + 1), invocation);
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
  } catch (const Json::exception& failure) {
    sentence = std::string(
                   "what the daemon says is not understood; it may be of another version, end it "
                   "and start this one (varve daemon stop): ") +
               failure.what();
    status = kUnsupported;
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
