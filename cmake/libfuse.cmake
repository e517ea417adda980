# SPDX-License-Identifier: Apache-2.0
#
# Defines the target `varve::fuse`: libfuse >= 3.17 if it can be had, the system's otherwise.
#
#   VARVE_SYSTEM_LIBFUSE   take the system's library whatever its version
#   VARVE_LIBFUSE_VERSION  (result) the version taken
#   VARVE_LIBFUSE_PREFIX   (result, cached) where our own build lies; empty when the system's is taken
#
# Our own build (cmake/build-libfuse.sh) is static, has libfuse's custom I/O hook and io_uring, and defines
# VARVE_FUSE_STATIC=1. Sources choose FUSE_USE_VERSION themselves.

include_guard(GLOBAL)
include(CheckCXXSourceRuns)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

option(VARVE_SYSTEM_LIBFUSE "Use the system's libfuse3 whatever its version" OFF)

# True in `result` if the system's libfuse (3.17 or later) takes I/O functions from us: a build option, off by default.
function(varve_system_libfuse_has_custom_io result)
  set(CMAKE_REQUIRED_LIBRARIES PkgConfig::VARVE_FUSE3)
  set(CMAKE_REQUIRED_QUIET ON)
  check_cxx_source_runs("
    #define FUSE_USE_VERSION 317
    #include <fuse_lowlevel.h>
    int main(int, char** argv) {
      fuse_args arguments = FUSE_ARGS_INIT(1, argv);
      fuse_lowlevel_ops operations{};
      fuse_session* session = fuse_session_new(&arguments, &operations, sizeof operations, nullptr);
      fuse_custom_io io{};
      io.read = [](int, void*, size_t, void*) -> ssize_t { return 0; };
      io.writev = [](int, iovec*, int, void*) -> ssize_t { return 0; };
      return session == nullptr || fuse_session_custom_io(session, &io, sizeof io, 0) != 0;
    }" VARVE_SYSTEM_LIBFUSE_CUSTOM_IO)
  set(${result} ${VARVE_SYSTEM_LIBFUSE_CUSTOM_IO} PARENT_SCOPE)
endfunction()

# Builds libfuse, or finds it in the cache; leaves the prefix, or nothing, in `result`.
function(varve_build_libfuse result)
  execute_process(
    COMMAND bash "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/build-libfuse.sh"
    OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE status TIMEOUT 1200)
  if(NOT status EQUAL 0 OR NOT EXISTS "${prefix}/lib/libfuse3.a")
    set(prefix "")
  endif()
  set(${result} "${prefix}" PARENT_SCOPE)
endfunction()

# `name` as a static library where the archive is installed, as a shared one otherwise.
function(varve_prefer_static result name)
  find_library(VARVE_${name}_LIBRARY NAMES lib${name}.a ${name})
  mark_as_advanced(VARVE_${name}_LIBRARY)
  if(VARVE_${name}_LIBRARY)
    set(${result} "${VARVE_${name}_LIBRARY}" PARENT_SCOPE)
  else()
    set(${result} ${name} PARENT_SCOPE)
  endif()
endfunction()

pkg_check_modules(VARVE_FUSE3 QUIET IMPORTED_TARGET GLOBAL fuse3)
add_library(varve_fuse_interface INTERFACE)
add_library(varve::fuse ALIAS varve_fuse_interface)

set(varve_use_system_libfuse ${VARVE_SYSTEM_LIBFUSE})
if(NOT VARVE_SYSTEM_LIBFUSE AND VARVE_FUSE3_FOUND AND VARVE_FUSE3_VERSION VERSION_GREATER_EQUAL 3.17)
  varve_system_libfuse_has_custom_io(varve_use_system_libfuse)
endif()

if(NOT varve_use_system_libfuse AND NOT EXISTS "${VARVE_LIBFUSE_PREFIX}/lib/libfuse3.a")
  varve_build_libfuse(varve_libfuse_built)
  set(VARVE_LIBFUSE_PREFIX "${varve_libfuse_built}" CACHE INTERNAL "Prefix of our own libfuse" FORCE)
  if(NOT VARVE_LIBFUSE_PREFIX AND VARVE_FUSE3_FOUND)
    message(WARNING "No libfuse >= 3.17 could be built, so the system's ${VARVE_FUSE3_VERSION} is used. "
      "Below 3.17 small writes are up to 17 times slower (no HANDLE_KILLPRIV_V2), below 3.18 there is no io_uring. "
      "Configure again with the package mirror in reach to get it; -DVARVE_SYSTEM_LIBFUSE=ON silences this.")
  endif()
endif()

if(NOT varve_use_system_libfuse AND VARVE_LIBFUSE_PREFIX)
  file(STRINGS "${VARVE_LIBFUSE_PREFIX}/version" VARVE_LIBFUSE_VERSION LIMIT_COUNT 1)
  varve_prefer_static(varve_uring uring)
  varve_prefer_static(varve_numa numa)
  target_include_directories(varve_fuse_interface SYSTEM INTERFACE
    "${VARVE_LIBFUSE_PREFIX}/include" "${VARVE_LIBFUSE_PREFIX}/include/fuse3")
  target_compile_definitions(varve_fuse_interface INTERFACE VARVE_FUSE_STATIC=1)
  target_link_libraries(varve_fuse_interface INTERFACE
    "${VARVE_LIBFUSE_PREFIX}/lib/libfuse3.a" "${varve_uring}" "${varve_numa}" Threads::Threads ${CMAKE_DL_LIBS})
elseif(VARVE_FUSE3_FOUND)
  set(VARVE_LIBFUSE_VERSION "${VARVE_FUSE3_VERSION}")
  target_link_libraries(varve_fuse_interface INTERFACE PkgConfig::VARVE_FUSE3 Threads::Threads)
else()
  message(FATAL_ERROR "libfuse3 is missing and cannot be built here. Install libfuse3-dev, "
    "or run: . cmake/packages.sh && install_packages build")
endif()
message(STATUS "libfuse ${VARVE_LIBFUSE_VERSION}")
