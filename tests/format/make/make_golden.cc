// SPDX-License-Identifier: Apache-2.0
//
//   varve_make_golden write STORE    makes the golden store, and dies with its last changes in the
//   journal varve_make_golden close STORE    opens it and closes it in order varve_make_golden show
//   STORE     prints its manifest (and opens it, so give it a copy)
//
// make.sh packs what these leave. To be run once for each version of the format.
#include <unistd.h>

#include <cstdio>
#include <string>

#include "store/base/error.h"
#include "tests/format/golden_store.h"

namespace {

using varve::Repository;

std::unique_ptr<Repository> open(const std::string& path, bool create) {
  return Repository::open(varve::Disk::host(), path, create, varve::test::golden_options());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc == 3 ? argv[1] : "";
  try {
    if (what == "write") {
      const auto repository = open(argv[2], true);
      const auto volume = varve::test::fill_golden(*repository);
      ::_exit(0);
    }
    if (what != "close" && what != "show") return 2;
    const auto repository = open(argv[2], false);
    if (what == "show") std::fputs(varve::test::manifest_of(*repository).c_str(), stdout);
    repository->close();
    return 0;
  } catch (const varve::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
