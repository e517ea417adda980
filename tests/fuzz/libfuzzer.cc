// SPDX-License-Identifier: Apache-2.0
// What libFuzzer calls. The variable VARVE_FUZZ_TARGET chooses the target: libFuzzer starts itself
// again for merging and minimising, with its own words on the command line.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.h"

namespace {

const varve::fuzz::Target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("VARVE_FUZZ_TARGET");
  chosen = varve::fuzz::find_target(name == nullptr ? "" : name);
  if (chosen != nullptr) return 0;
  std::fprintf(stderr, "VARVE_FUZZ_TARGET must be one of:");
  for (const varve::fuzz::Target& target : varve::fuzz::targets()) {
    std::fprintf(stderr, " %s", target.name);
  }
  std::fprintf(stderr, "\n");
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
