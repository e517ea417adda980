// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace varve {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

/// Writes one line "level component: message" to standard error, whole lines even from several
/// threads. Lines below the threshold (kInfo; VARVE_LOG=debug|info|warn|error sets it) cost a
/// comparison.
void log(LogLevel level, std::string_view component, std::string_view message);
bool log_enabled(LogLevel level);

inline void log_info(std::string_view component, std::string_view message) {
  log(LogLevel::kInfo, component, message);
}
inline void log_warn(std::string_view component, std::string_view message) {
  log(LogLevel::kWarn, component, message);
}
inline void log_error(std::string_view component, std::string_view message) {
  log(LogLevel::kError, component, message);
}

}  // namespace varve
