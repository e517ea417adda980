// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

namespace varve {

/// What the control API, the plugin and the command line speak.
using Json = nlohmann::json;

}  // namespace varve
