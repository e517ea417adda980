// SPDX-License-Identifier: Apache-2.0
// write_load FILE SIZE_MIB SECONDS THREADS [RATE]: pwrites 4 KiB of random data at random aligned
// offsets of FILE.<thread>, RATE writes a second and thread (0: as fast as it goes). Prints one
// JSON object with the latencies in microseconds.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kBlock = 4096;

struct Load {
  std::string file;
  std::uint64_t blocks = 0;
  double seconds = 0;
  double rate = 0;
};

std::vector<double> run(const Load& load, unsigned thread) {
  const int fd = ::open((load.file + "." + std::to_string(thread)).c_str(), O_RDWR | O_CREAT, 0644);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(load.blocks * kBlock)) != 0) {
    std::perror(load.file.c_str());
    std::exit(1);
  }
  std::mt19937_64 random(thread + 1);
  std::vector<std::uint64_t> block(kBlock / sizeof(std::uint64_t));
  std::vector<double> latencies;
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(load.seconds);
  for (std::uint64_t i = 0;; ++i) {
    if (load.rate > 0) {
      std::this_thread::sleep_until(
          start + std::chrono::duration<double>(static_cast<double>(i) / load.rate));
    }
    const auto before = Clock::now();
    if (before >= end) break;
    for (std::uint64_t& word : block) word = random();
    const auto offset = static_cast<off_t>(random() % load.blocks * kBlock);
    const auto issued = Clock::now();
    if (::pwrite(fd, block.data(), kBlock, offset) != static_cast<ssize_t>(kBlock)) {
      std::perror("pwrite");
      std::exit(1);
    }
    latencies.push_back(std::chrono::duration<double, std::micro>(Clock::now() - issued).count());
  }
  ::close(fd);
  return latencies;
}

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: write_load FILE SIZE_MIB SECONDS THREADS [RATE]\n");
    return 2;
  }
  const Load load{argv[1], std::strtoull(argv[2], nullptr, 10) * 256, std::atof(argv[3]),
                  argc > 5 ? std::atof(argv[5]) : 0};
  const auto count = static_cast<unsigned>(std::atoi(argv[4]));
  std::vector<std::vector<double>> parts(count);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) {
    threads.emplace_back([&parts, &load, i] { parts[i] = run(load, i); });
  }
  std::vector<double> all;
  for (unsigned i = 0; i < count; ++i) {
    threads[i].join();
    all.insert(all.end(), parts[i].begin(), parts[i].end());
  }
  std::sort(all.begin(), all.end());
  std::printf(
      "{\"writes\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
      "\"max_us\": %.1f}\n",
      all.size(), quantile(all, 0.5), quantile(all, 0.99), quantile(all, 0.999),
      all.empty() ? 0.0 : all.back());
  return 0;
}
