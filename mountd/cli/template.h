// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "mountd/json.h"

namespace varve::cli {

/// Renders the part of Go's template language that lists need: text, {{.Field}}, {{.Field.Field}},
/// {{.}}, {{json .Field}} and {{index .Field "key"}}. \n and \t in the text are a line's end and a
/// tab. UsageError for anything else and for a field that `value` does not have.
std::string render_template(std::string_view text, const Json& value);

}  // namespace varve::cli
