// SPDX-License-Identifier: Apache-2.0
//
//   varve_fuzz_seeds DIRECTORY TARGET     writes DIRECTORY/seed-N, from the encoders
//   varve_fuzz_seeds --list               prints the names of the targets
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "tests/fuzz/targets.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
    for (const varve::fuzz::Target& target : varve::fuzz::targets()) std::puts(target.name);
    return 0;
  }
  const varve::fuzz::Target* target = argc == 3 ? varve::fuzz::find_target(argv[2]) : nullptr;
  if (target == nullptr) {
    std::fprintf(stderr, "usage: varve_fuzz_seeds DIRECTORY TARGET | --list\n");
    return 2;
  }
  int number = 0;
  for (const varve::Bytes& seed : target->seeds()) {
    const std::string path = std::string(argv[1]) + "/seed-" + std::to_string(number++);
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed.data()),
               static_cast<std::streamsize>(seed.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "%s cannot be written\n", path.c_str());
      return 1;
    }
  }
  return 0;
}
