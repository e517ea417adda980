// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/output.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "mountd/cli/exit_status.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr std::size_t kColumnWidth = 20;
constexpr std::size_t kColumnGap = 3;

template <class Value>
void print_indented(const Value& value) {
  print_line(value.dump(4, ' ', false, Value::error_handler_t::replace));
}

}  // namespace

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()), kColumnWidth);
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size() + kColumnGap);
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size(), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

void Table::print() const { std::fputs(text().c_str(), stdout); }

void print_json(const Json& value) { print_indented(value); }
void print_json(const nlohmann::ordered_json& value) { print_indented(value); }

void print_line(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

void print_warning(std::string_view sentence) {
  std::fflush(stdout);
  std::fprintf(stderr, "varve: warning: %.*s\n", static_cast<int>(sentence.size()),
               sentence.data());
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      std::array<char, 8> octal{};
      std::snprintf(octal.data(), octal.size(), "\\%03o", byte);
      out += octal.data();
    } else {
      out += c;
    }
  }
  return out;
}

std::string json_path(const Json& object, const std::string& field) {
  const auto hex = object.find(field + "_hex");
  if (hex == object.end()) return object[field];
  const std::string digits = *hex;
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

nlohmann::ordered_json ordered(const Json& object, const std::vector<std::string>& first) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const std::string& key : first)
    if (object.contains(key)) out[key] = object[key];
  for (const auto& [key, value] : object.items())
    if (!out.contains(key)) out[key] = value;
  return out;
}

int for_each_argument(const Invocation& invocation,
                      const std::function<void(const std::string&)>& action) {
  int status = kOk;
  for (const std::string& argument : invocation.arguments) {
    try {
      action(argument);
    } catch (const Error& error) {
      std::fflush(stdout);
      std::fprintf(stderr, "varve: %s\n", escaped(error.what()).c_str());
      if (status == kOk) status = status_of_errno(error.code());
    }
  }
  return status;
}

std::vector<Filter> filters(const Invocation& invocation) {
  std::vector<Filter> list;
  for (const std::string& text : invocation.values("filter")) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) throw UsageError("filter '" + text + "' is not NAME=VALUE");
    list.push_back({text.substr(0, equals), text.substr(equals + 1)});
  }
  return list;
}

}  // namespace varve::cli
