// SPDX-License-Identifier: Apache-2.0
// make_files DIR COUNT [SIZE]: COUNT files of SIZE bytes (default 100), 1,000 a directory, each
// with its own content. Prints files per second.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

void make_file(const std::string& path, long number, std::string& content) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) fail(path);
  std::snprintf(content.data(), 24, "%020ld", number);
  if (::write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    fail(path);
  }
  if (::close(fd) != 0) fail(path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: make_files DIR COUNT [SIZE]\n");
    return 2;
  }
  const std::string root = argv[1];
  const long count = std::atol(argv[2]);
  std::string content(argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 100, 'x');
  if (content.size() < 24) content.resize(24);
  const auto start = std::chrono::steady_clock::now();
  std::string directory;
  for (long i = 0; i < count; ++i) {
    if (i % 1000 == 0) {
      directory = root + "/d" + std::to_string(i / 1000);
      if (::mkdir(directory.c_str(), 0755) != 0) fail(directory);
    }
    make_file(directory + "/f" + std::to_string(i), i, content);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%.0f\n", static_cast<double>(count) / took.count());
  return 0;
}
