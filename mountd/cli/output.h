// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mountd/json.h"
#include "mountd/cli/command.h"

namespace varve::cli {

/// Columns of text, each at least 20 wide and 3 apart, as `docker volume ls` aligns them.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// Indented by four, with a newline; bytes that are not UTF-8 become U+FFFD.
void print_json(const Json& value);
void print_json(const nlohmann::ordered_json& value);
void print_line(std::string_view line);
/// "varve: warning: sentence" on standard error.
void print_warning(std::string_view sentence);

/// `text` with control bytes and backslashes as \n, \t, \\ or \ooo, so that a name is one line.
std::string escaped(std::string_view text);

/// The bytes of a path in a reply: JSON holds those of a path that is not UTF-8 in hex.
std::string json_path(const Json& object, const std::string& field);

/// `object` with the keys of `first` in front, in that order.
nlohmann::ordered_json ordered(const Json& object, const std::vector<std::string>& first);

/// Runs `action` for each argument. A failure is printed and the others still run; returns the exit
/// status of the first failure.
int for_each_argument(const Invocation& invocation,
                      const std::function<void(const std::string&)>& action);

/// A --filter of the form name=value. UsageError when there is no '='.
struct Filter {
  std::string name;
  std::string value;
};
std::vector<Filter> filters(const Invocation& invocation);

}  // namespace varve::cli
