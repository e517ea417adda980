// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/command.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <set>
#include <sstream>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/template.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

using Words = std::vector<std::string>;

/// What the test's own command saw last.
Invocation seen;
int record(const Invocation& invocation) {
  seen = invocation;
  return kOk;
}
/// A daemon of another version gives another kind of reply.
int misunderstand(const Invocation&) { return Json::parse("[1]")["volume"].get<int>(); }
int refuse(const Invocation&) { throw UserError(ENOENT, "there is no such thing"); }

constexpr std::array kTestOptions{
    Option{'n', "name", "NAME", "A name"},
    Option{'q', "quiet", nullptr, "Say little"},
    Option{0, "label", "NAME=VALUE", "A label"},
    Option{0, "count", "N", "A number"},
};
const Command kTest{"", "test", "[A [B]]", "Test", "", kTestOptions, 0, 2, record};
const Command kGrouped{"group", "one", "A", "One", "", {}, 1, 1, record};
const Command kRefuse{"group", "refuse", "", "Refuse", "", {}, 0, 0, refuse};
const Command kMisunderstand{"group", "misunderstand", "", "Fail", "", {}, 0, 0, misunderstand};
const std::array<const Command*, 4> kTable{&kTest, &kGrouped, &kRefuse, &kMisunderstand};

struct Outcome {
  int status = 0;
  std::string out, err;
};

Outcome run(Words words) {
  seen = {};
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome result;
  result.status = run_command_line(kTable, std::move(words));
  result.out = ::testing::internal::GetCapturedStdout();
  result.err = ::testing::internal::GetCapturedStderr();
  return result;
}

TEST(CommandLine, OptionsAreTakenInEveryForm) {
  EXPECT_EQ(run({"test", "--name", "x"}).status, kOk);
  EXPECT_EQ(seen.value("name"), "x");
  EXPECT_EQ(run({"test", "--name=x=y"}).status, kOk);
  EXPECT_EQ(seen.value("name"), "x=y");
  EXPECT_EQ(run({"test", "-n", "x", "-q"}).status, kOk);
  EXPECT_EQ(seen.value("name"), "x");
  EXPECT_TRUE(seen.flag("quiet"));
  EXPECT_EQ(run({"test", "-qnx"}).status, kOk);
  EXPECT_EQ(seen.value("name"), "x");
  EXPECT_TRUE(seen.flag("quiet"));
  EXPECT_EQ(run({"test", "--name="}).status, kOk);
  EXPECT_EQ(seen.value("name"), "");
}

TEST(CommandLine, TheLastOfASingleOptionCountsAndLabelsGather) {
  run({"test", "--name", "a", "--name", "b", "--label", "x=1", "--label", "y=2=3"});
  EXPECT_EQ(seen.value("name"), "b");
  EXPECT_EQ(seen.labels(), (std::map<std::string, std::string>{{"x", "1"}, {"y", "2=3"}}));
}

TEST(CommandLine, ArgumentsMayStandAnywhere) {
  run({"test", "a", "-q", "b"});
  EXPECT_EQ(seen.arguments, Words({"a", "b"}));
  run({"test", "--", "-q", "--name"});
  EXPECT_EQ(seen.arguments, Words({"-q", "--name"}));
  run({"test", "-"});
  EXPECT_EQ(seen.arguments, Words({"-"}));
}

TEST(CommandLine, TheStoreIsTakenBeforeAndAfterTheCommand) {
  run({"--store", "/a", "test"});
  EXPECT_EQ(seen.store, "/a");
  run({"--store=/a", "test"});
  EXPECT_EQ(seen.store, "/a");
  run({"test", "--store", "/b"});
  EXPECT_EQ(seen.store, "/b");
  run({"test"});
  EXPECT_EQ(seen.store, std::nullopt);
}

TEST(CommandLine, MistakesAreOneLineAndStatus2) {
  const std::vector<Words> mistakes{
      {"tset"},
      {"group", "two"},
      {"test", "--nmae", "x"},
      {"test", "-x"},
      {"test", "--name"},
      {"test", "-n"},
      {"test", "--quiet=yes"},
      {"test", "a", "b", "c"},
      {"group", "one"},
      {"group", "one", "a", "b"},
      {"--bogus", "test"},
      {"--store"},
      {""},
  };
  for (const Words& words : mistakes) {
    SCOPED_TRACE(words[0]);
    const Outcome result = run(words);
    EXPECT_EQ(result.status, kUsage);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.substr(0, 7), "varve: ");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    EXPECT_EQ(seen.command, nullptr);
  }
}

TEST(CommandLine, FailuresAreOneLineWithTheirStatus) {
  const Outcome result = run({"group", "refuse"});
  EXPECT_EQ(result.status, kNotFound);
  EXPECT_EQ(result.err, "varve: there is no such thing\n");
  const Outcome other = run({"group", "misunderstand"});
  EXPECT_EQ(other.status, kUnsupported);
  EXPECT_EQ(other.err.find("varve: what the daemon says is not understood"), 0u) << other.err;
  EXPECT_EQ(std::count(other.err.begin(), other.err.end(), '\n'), 1);
}

TEST(CommandLine, HelpIsAnAnswerAndItsAbsenceAMistake) {
  for (const Words& words : {Words{"--help"}, Words{"-h"}, Words{"help"}, Words{"group", "--help"},
                             Words{"help", "group"}, Words{"test", "--help"}, Words{"test", "-h"},
                             Words{"help", "group", "one"}}) {
    SCOPED_TRACE(words[0] + words.back());
    const Outcome result = run(words);
    EXPECT_EQ(result.status, kOk);
    EXPECT_NE(result.out.find("Usage:  varve"), std::string::npos);
    EXPECT_EQ(result.err, "");
  }
  for (const Words& words : {Words{}, Words{"group"}}) {
    const Outcome result = run(words);
    EXPECT_EQ(result.status, kUsage);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find("Usage:  varve"), std::string::npos);
  }
}

TEST(CommandLine, GroupHelpHasTheKnownShape) {
  const std::string help = group_help(all_commands(), "volume");
  EXPECT_EQ(help.find("\nUsage:  varve volume [OPTIONS] [COMMAND]\n\nManage volumes\n\nCommands:\n"
                      "  create                   Create a volume\n"
                      "  inspect                  Return low-level information on a volume\n"
                      "  ls                       List volumes\n"
                      "  rm                       Remove a volume\n"),
            0u);
  EXPECT_NE(help.find("\nRun 'varve volume COMMAND --help' for more information on a command\n"),
            std::string::npos);
}

TEST(CommandLine, NumbersAndLabelsThatDoNotParseAreMistakes) {
  Invocation invocation;
  for (const char* text : {"", "x", "-1", "1.5", "101", "99999999999999999999"}) {
    SCOPED_TRACE(text);
    invocation.add("count", text);
    EXPECT_THROW(invocation.number("count", 100), UsageError);
  }
  invocation.add("count", "100");
  EXPECT_EQ(invocation.number("count", 100), 100u);
  invocation.add("label", "novalue");
  EXPECT_THROW(invocation.labels(), UsageError);
}

TEST(CommandLine, LettersAndNamesOfEachCommandAreUnique) {
  for (const Command* command : all_commands()) {
    std::set<std::string> names;
    std::set<char> letters;
    SCOPED_TRACE(command->name);
    for (const Option& option : command->options) {
      EXPECT_TRUE(names.insert(option.name).second) << option.name;
      if (option.letter == 0) continue;
      EXPECT_TRUE(letters.insert(option.letter).second) << option.letter;
    }
  }
}

std::string source_file(const std::string& path) {
  std::ifstream file(std::string(VARVE_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Roff without its escapes: what a reader sees.
std::string man_page() {
  std::string text = source_file("docs/varve.1"), plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "\\f") == 0) {
      i += 2;
    } else if (text[i] != '\\') {
      plain += text[i];
    }
  }
  return plain;
}

/// The part of the man page about one command.
std::string man_section(const std::string& page, const Command& command) {
  const std::string name =
      (*command.group != '\0' ? std::string(command.group) + " " : "") + command.name;
  const std::size_t begin = page.find("\n.SS \"varve " + name + " [OPTIONS]");
  EXPECT_NE(begin, std::string::npos) << name << " is not in varve.1";
  return begin == std::string::npos ? "" : page.substr(begin, page.find("\n.S", begin + 1) - begin);
}

TEST(ManPage, HasEveryOptionOfEveryCommandAndNoOther) {
  const std::string page = man_page();
  for (const Command* command : all_commands()) {
    const std::string section = man_section(page, *command);
    std::size_t described = 0;
    for (const Option& option : command->options) {
      if (*option.help == '\0') continue;
      ++described;
      std::string line = option.letter != 0 ? std::string("-") + option.letter + ", " : "";
      line += std::string("--") + option.name;
      if (option.value != nullptr) line += std::string(" ") + option.value;
      EXPECT_NE(section.find(".TP\n" + line + "\n" + option.help), std::string::npos)
          << command->group << " " << command->name << ": " << line;
    }
    std::size_t found = 0;
    for (std::size_t at = 0; (at = section.find("\n.TP\n-", at + 1)) != std::string::npos;) ++found;
    EXPECT_EQ(found, described) << command->group << " " << command->name;
    EXPECT_NE(section.find(command->summary), std::string::npos) << command->name;
    EXPECT_NE(section.find(command->arguments), std::string::npos) << command->name;
  }
  std::size_t sections = 0;
  for (std::size_t at = 0; (at = page.find("\n.SS \"varve ", at + 1)) != std::string::npos;)
    ++sections;
  EXPECT_EQ(sections, all_commands().size());
}

TEST(ManPage, AndTheGuideHaveTheExitStatuses) {
  const std::string page = man_page(), guide = source_file("docs/cli.md");
  for (const ExitMeaning& entry : kExitMeanings) {
    const std::string number = std::to_string(entry.status), meaning(entry.meaning);
    EXPECT_NE(page.find(".B " + number + "\n" + meaning + "."), std::string::npos) << number;
    EXPECT_NE(guide.find("| " + number + " | " + meaning + " |"), std::string::npos) << number;
  }
}

TEST(Guide, NamesEveryCommand) {
  const std::string guide = source_file("docs/cli.md");
  for (const Command* command : all_commands()) {
    const std::string name =
        (*command->group != '\0' ? std::string(command->group) + " " : "") + command->name;
    EXPECT_TRUE(guide.find("varve " + name) != std::string::npos ||
                guide.find("`" + name) != std::string::npos)
        << name;
  }
}

TEST(ExitStatus, FollowsTheErrno) {
  EXPECT_EQ(status_of_errno(ENOENT), kNotFound);
  EXPECT_EQ(status_of_errno(EEXIST), kConflict);
  EXPECT_EQ(status_of_errno(EBUSY), kConflict);
  EXPECT_EQ(status_of_errno(EINVAL), kUsage);
  EXPECT_EQ(status_of_errno(EIO), kDamaged);
  EXPECT_EQ(status_of_errno(EACCES), kPermission);
  EXPECT_EQ(status_of_errno(ENOSPC), kNoSpace);
  EXPECT_EQ(status_of_errno(EPIPE), kUnreachable);
  EXPECT_EQ(status_of_errno(ENOTSUP), kUnsupported);
  EXPECT_EQ(status_of_errno(EXDEV), kFailure);
}

TEST(Table, ColumnsAreAtLeastTwentyWideAndThreeApart) {
  Table table({"DRIVER", "VOLUME NAME", "SIZE"});
  table.add({"varve", std::string(64, 'a'), ""});
  EXPECT_EQ(table.text(), "DRIVER              VOLUME NAME" + std::string(64 + 3 - 11, ' ') +
                              "SIZE\n" + "varve               " + std::string(64, 'a') + "\n");
}

TEST(Output, NamesAreOneLine) {
  EXPECT_EQ(escaped("a b\xc3\xa9"), "a b\xc3\xa9");
  EXPECT_EQ(escaped("a\nb\tc\\d\x01\x7f"), "a\\nb\\tc\\\\d\\001\\177");
}

TEST(Output, KeysThatComeFirstComeFirst) {
  const nlohmann::json object{{"A", 1}, {"Name", "x"}, {"Driver", "varve"}};
  EXPECT_EQ(ordered(object, {"Name", "Driver"}).dump(), R"({"Name":"x","Driver":"varve","A":1})");
}

TEST(Template, RendersFieldsAndJson) {
  const nlohmann::json volume{
      {"Name", "vol1"}, {"Size", 5}, {"Labels", {{"size", "10"}, {"a b", "c"}}}};
  EXPECT_EQ(render_template("{{.Name}}: {{ .Size }}", volume), "vol1: 5");
  EXPECT_EQ(render_template("{{.Labels.size}}", volume), "10");
  EXPECT_EQ(render_template("{{json .Labels}}", volume), R"({"a b":"c","size":"10"})");
  EXPECT_EQ(render_template("{{json .Name}}", volume), "\"vol1\"");
  EXPECT_EQ(render_template(R"({{index .Labels "size"}})", volume), "10");
  EXPECT_EQ(render_template(R"({{index .Labels "none"}}.)", volume), ".");
  EXPECT_EQ(render_template(R"(a\tb\nc\d)", volume), "a\tb\nc\\d");
  EXPECT_EQ(render_template("plain", volume), "plain");
  EXPECT_EQ(render_template("", volume), "");
}

TEST(Template, MistakesNameTheTemplate) {
  const nlohmann::json volume{{"Name", "vol1"}};
  for (const char* text : {"{{.None}}", "{{.Name.More}}", "{{Name}}", "{{range .Name}}", "{{",
                           "{{}}", "{{index .Name size}}", "{{.Name"}) {
    SCOPED_TRACE(text);
    EXPECT_THROW(render_template(text, volume), UsageError);
  }
}

}  // namespace
}  // namespace varve::cli
