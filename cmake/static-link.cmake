# SPDX-License-Identifier: Apache-2.0
# varve_link_statically(TARGET): links the program with static archives of everything, the C
# library included. The archives come with the -dev packages that the build needs anyway.
include(CheckCXXSourceCompiles)

function(varve_link_statically target)
  set(CMAKE_REQUIRED_FLAGS "-static -no-pie")
  set(CMAKE_REQUIRED_LIBRARIES -lsqlite3 -lcrypto -lzstd -lboost_filesystem -lpthread -ldl -lm)
  check_cxx_source_compiles("int main() { return 0; }" VARVE_STATIC_ARCHIVES)
  if(NOT VARVE_STATIC_ARCHIVES)
    message(STATUS "static archives are incomplete: varve is linked dynamically and starts slower")
    return()
  endif()
  target_link_options(${target} PRIVATE -static -no-pie)
  set_target_properties(${target} PROPERTIES LINK_SEARCH_START_STATIC ON LINK_SEARCH_END_STATIC ON)
endfunction()
