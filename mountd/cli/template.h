// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace varve::cli {

/// Renders the part of Go's template language that lists need: text, {{.Field}}, {{.Field.Field}},
/// {{.}}, {{json .Field}} and {{index .Field "key"}}. \n and \t in the text are a line's end and a
/// tab. UsageError for anything else and for a field that `value` does not have.
std::string render_template(std::string_view text, const nlohmann::json& value);

}  // namespace varve::cli
