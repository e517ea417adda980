// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/template.h"

#include <sstream>
#include <vector>

#include "mountd/cli/command.h"

namespace varve::cli {
namespace {

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string plain(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "";
  return dump(value);
}

const Json& member(const Json& value, const std::string& key, std::string_view action) {
  if (!value.is_object() || !value.contains(key)) {
    std::string known;
    if (value.is_object())
      for (const auto& [name, ignored] : value.items()) known += (known.empty() ? "" : ", ") + name;
    throw UsageError("the template {{" + std::string(action) + "}} names an unknown field '" + key +
                     "'" + (known.empty() ? "" : "; there are " + known));
  }
  return value[key];
}

/// ".A.B" below `value`; "." is `value` itself.
const Json& field(const Json& value, const std::string& path, std::string_view action) {
  if (path.empty() || path[0] != '.')
    throw UsageError("the template {{" + std::string(action) +
                     "}} is not understood; write "
                     "{{.Field}}, {{json .Field}} or {{index .Field \"key\"}}");
  const Json* found = &value;
  std::istringstream parts(path.substr(1));
  for (std::string part; std::getline(parts, part, '.');) found = &member(*found, part, action);
  return *found;
}

std::string unquoted(const std::string& text, std::string_view action) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"')
    throw UsageError("the template {{" + std::string(action) + "}} needs a key in double quotes");
  return text.substr(1, text.size() - 2);
}

std::string evaluate(std::string_view action, const Json& value) {
  std::istringstream stream{std::string(action)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  if (words.size() == 1) return plain(field(value, words[0], action));
  if (words.size() == 2 && words[0] == "json") return dump(field(value, words[1], action));
  if (words.size() == 3 && words[0] == "index") {
    const Json& object = field(value, words[1], action);
    const std::string key = unquoted(words[2], action);
    // Go's index of a map without the key is the empty value.
    return object.is_object() && !object.contains(key) ? "" : plain(member(object, key, action));
  }
  return plain(field(value, "", action));
}

std::string with_escapes(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 'n' || text[i + 1] == 't')) {
      out += text[++i] == 'n' ? '\n' : '\t';
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::string render_template(std::string_view text, const Json& value) {
  std::string out;
  while (!text.empty()) {
    const std::size_t open = text.find("{{");
    out += with_escapes(text.substr(0, open));
    if (open == std::string_view::npos) break;
    const std::size_t close = text.find("}}", open);
    if (close == std::string_view::npos)
      throw UsageError("the template has {{ without }}: " + std::string(text.substr(open)));
    out += evaluate(text.substr(open + 2, close - open - 2), value);
    text.remove_prefix(close + 2);
  }
  return out;
}

}  // namespace varve::cli
