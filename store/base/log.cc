// SPDX-License-Identifier: Apache-2.0
#include "store/base/log.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

namespace varve {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"debug", "info", "warn", "error"};

LogLevel threshold_from_environment() {
  const char* wanted = std::getenv("VARVE_LOG");
  for (std::size_t i = 0; wanted != nullptr && i < kNames.size(); ++i) {
    if (kNames[i] == wanted) return static_cast<LogLevel>(i);
  }
  return LogLevel::kInfo;
}

}  // namespace

bool log_enabled(LogLevel level) {
  static const LogLevel threshold = threshold_from_environment();
  return level >= threshold;
}

void log(LogLevel level, std::string_view component, std::string_view message) {
  if (!log_enabled(level)) return;
  std::string line;
  line.append(kNames[static_cast<std::size_t>(level)]).append(" ");
  line.append(component).append(": ").append(message).append("\n");
  // One write a line, so that lines of several threads do not mix. Nothing can be done about a
  // log that cannot be written.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace varve
