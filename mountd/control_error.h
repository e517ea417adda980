// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace varve {

/// How a failure's errno looks to programs: the "code" of a JSON error and the HTTP status. The
/// command line turns the word into its exit status (cli/exit_status.h).
const char* error_word(int code);
int http_status(int code);

}  // namespace varve
