// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace varve {

/// Base of every failure: a sentence for people and an errno for programs.
class Error : public std::runtime_error {
 public:
  Error(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
  /// The errno that a system call reports for this failure; never 0.
  int code() const { return code_; }

 private:
  int code_;
};

/// The caller asked for something that POSIX refuses (ENOENT, ENOTEMPTY, EACCES ...).
class PosixError : public Error {
 public:
  explicit PosixError(int code);
  PosixError(int code, const std::string& what) : Error(code, what) {}
};

/// The store could not do its work (EIO, ENOSPC, EROFS after a failed sync ...).
class StoreError : public Error {
 public:
  using Error::Error;
};

/// Bytes are not what they claim to be. The errno is EIO.
class CorruptionError : public StoreError {
 public:
  explicit CorruptionError(const std::string& what);
};

/// A user's request is refused: bad name, unknown volume, duplicate, busy. The sentence names
/// the object and the remedy and is shown to the user as it is.
class UserError : public Error {
 public:
  using Error::Error;
};

/// The text of errno `code`, such as "No space left on device". Thread-safe.
std::string errno_text(int code);

/// Throws StoreError(errno, "what: text of errno").
[[noreturn]] void throw_errno(const std::string& what);

/// Reports the broken invariant on standard error and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace varve

/// Aborts when an invariant of the program is broken, in every build type.
#define VARVE_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::varve::check_failed(#condition, __FILE__, __LINE__))
