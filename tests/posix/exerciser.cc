// SPDX-License-Identifier: Apache-2.0
//
// Random operations on one file, compared with a copy of it in memory after each step that reads.
// The operations depend on the seed alone, so that a failure can be had again.
//
//   varve_exerciser [--ops N] [--seed S] [--max-size BYTES] [--hook CMD] [--closed-hook CMD]
//                   [--hook-every N] FILE
//
// --hook runs with the file open (a snapshot), --closed-hook with it closed (a remount); both
// between operations.

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLogLength = 80;
constexpr int kFullCompareEvery = 500;

struct Options {
  uint64_t ops = 20'000;
  uint64_t seed = 1;
  size_t max_size = 1 << 20;
  uint64_t hook_every = 2'000;
  std::string hook;
  std::string closed_hook;
  std::string file;
};

/// A file and what it should hold. One thread. Any difference ends the program with status 1.
class Exerciser {
 public:
  explicit Exerciser(Options options) : options_(std::move(options)), random_(options_.seed) {
    if (unlink(options_.file.c_str()) != 0 && errno != ENOENT) fail("unlink: %s", strerror(errno));
    open_all(O_CREAT | O_EXCL);
  }
  ~Exerciser() { close_all(); }
  Exerciser(const Exerciser&) = delete;
  Exerciser& operator=(const Exerciser&) = delete;

  void run() {
    for (step_ = 1; step_ <= options_.ops; ++step_) {
      one_operation();
      check_size();
      if (step_ % kFullCompareEvery == 0) compare_all();
      if (step_ % options_.hook_every == 0) run_hooks();
    }
    reopen();
    compare_all();
  }

  void report() const {
    std::printf("exerciser: seed %lu, %lu operations, final size %zu", options_.seed, options_.ops,
                model_.size());
    for (const std::string& name : unsupported_)
      std::printf(", %s is not supported here", name.c_str());
    std::printf("\n");
  }

 private:
  struct Range {
    size_t offset;
    size_t length;
  };

  // --- Randomness: the same numbers whatever the outcome of the operations.

  size_t below(size_t bound) { return bound == 0 ? 0 : static_cast<size_t>(random_() % bound); }

  /// Any range up to `limit`, often small, often at a page, chunk or region border.
  Range any_range(size_t limit) {
    static constexpr size_t kBorders[] = {512, kPage, 16 << 10, 128 << 10};
    size_t offset = below(limit);
    const size_t shape = below(8);
    if (shape < 4) {
      const size_t border = kBorders[shape];
      offset = offset / border * border + (below(3) == 0 ? below(7) : 0);
    }
    size_t length = 1 + below(below(3) == 0 ? limit : 3 * kPage);
    if (below(4) == 0) length = kBorders[below(4)];
    offset = std::min(offset, limit - 1);
    return {offset, std::min(length, limit - offset)};
  }

  std::vector<uint8_t> fresh_bytes(size_t length) {
    std::vector<uint8_t> bytes(length);
    const uint64_t kind = below(8);
    if (kind == 0) return bytes;  // zeros: must behave like data, may become a hole
    uint64_t word = random_();
    for (size_t i = 0; i < length; ++i) {
      if (kind > 2 && i % 8 == 0) word = word * 6364136223846793005ULL + 1442695040888963407ULL;
      bytes[i] = static_cast<uint8_t>(word >> (8 * (i % 8)));
    }
    return bytes;
  }

  // --- Failure and the log.

  [[gnu::format(printf, 2, 3)]] void note(const char* format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_.push_back(std::to_string(step_) + " " + text);
    if (log_.size() > kLogLength) log_.pop_front();
  }

  [[noreturn, gnu::format(printf, 2, 3)]] void fail(const char* format, ...) {
    std::fprintf(stderr, "the last operations:\n");
    for (const std::string& line : log_) std::fprintf(stderr, "  %s\n", line.c_str());
    va_list arguments;
    va_start(arguments, format);
    std::fprintf(stderr, "exerciser FAILED at operation %lu: ", step_);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fprintf(stderr,
                 "\nreplay: varve_exerciser --seed %lu --ops %lu --max-size %zu --hook-every %lu",
                 options_.seed, options_.ops, options_.max_size, options_.hook_every);
    if (!options_.hook.empty()) std::fprintf(stderr, " --hook '%s'", options_.hook.c_str());
    if (!options_.closed_hook.empty())
      std::fprintf(stderr, " --closed-hook '%s'", options_.closed_hook.c_str());
    std::fprintf(stderr, " %s\n", options_.file.c_str());
    std::exit(1);
  }

  void must(bool success, const char* what) {
    if (!success) fail("%s: %s", what, strerror(errno));
  }

  /// True if the call went through; false, and noted once, where the filesystem has no such
  /// operation.
  bool supported(bool success, const char* what) {
    if (success) return true;
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
      unsupported_.insert(what);
      return false;
    }
    must(false, what);
    return false;
  }

  // --- The file.

  void open_all(int flags) {
    file_ = open(options_.file.c_str(), O_RDWR | O_CLOEXEC | flags, 0644);
    must(file_ >= 0, "open");
    append_ = open(options_.file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    must(append_ >= 0, "open O_APPEND");
    direct_ = open(options_.file.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
    if (direct_ < 0 && errno != EINVAL) must(false, "open O_DIRECT");
    if (direct_ < 0) unsupported_.insert("O_DIRECT");
  }

  void close_all() {
    for (int* descriptor : {&file_, &append_, &direct_}) {
      if (*descriptor >= 0) must(close(*descriptor) == 0, "close");
      *descriptor = -1;
    }
  }

  void reopen() {
    note("reopen");
    close_all();
    open_all(0);
    must(posix_fadvise(file_, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
  }

  void check_size() {
    struct stat status {};
    must(fstat(file_, &status) == 0, "fstat");
    if (static_cast<size_t>(status.st_size) != model_.size()) {
      fail("fstat says %zu bytes, expected %zu", static_cast<size_t>(status.st_size),
           model_.size());
    }
  }

  void grow_model(size_t size) {
    if (size > model_.size()) model_.resize(size, 0);
  }

  void put(Range range, const uint8_t* bytes) {
    grow_model(range.offset + range.length);
    std::copy(bytes, bytes + range.length, model_.begin() + static_cast<ptrdiff_t>(range.offset));
  }

  /// Zeroes what of `range` lies inside the file.
  void zero_model(Range range) {
    const size_t end = std::min(range.offset + range.length, model_.size());
    if (range.offset < end) {
      std::fill(model_.begin() + static_cast<ptrdiff_t>(range.offset),
                model_.begin() + static_cast<ptrdiff_t>(end), 0);
    }
  }

  void compare(Range range, const uint8_t* bytes, const char* how) {
    for (size_t i = 0; i < range.length; ++i) {
      if (bytes[i] == model_[range.offset + i]) continue;
      size_t different = 0;
      for (size_t j = i; j < range.length; ++j)
        different += bytes[j] != model_[range.offset + j] ? 1 : 0;
      fail("%s [%zu, +%zu): offset %zu (0x%zx) is %02x, expected %02x; %zu bytes differ", how,
           range.offset, range.length, range.offset + i, range.offset + i, bytes[i],
           model_[range.offset + i], different);
    }
  }

  void compare_all() {
    note("compare all");
    std::vector<uint8_t> bytes(model_.size() + kPage);
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got =
          pread(file_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
      must(got >= 0, "pread");
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    if (done != model_.size()) fail("read %zu bytes to the end, expected %zu", done, model_.size());
    compare({0, done}, bytes.data(), "whole file");
  }

  // --- The operations.

  using Operation = void (Exerciser::*)();

  void one_operation() {
    static constexpr std::pair<unsigned, Operation> kTable[] = {
        {14, &Exerciser::do_read},        {16, &Exerciser::do_write},
        {4, &Exerciser::do_vector_write}, {6, &Exerciser::do_append},
        {6, &Exerciser::do_map_read},     {8, &Exerciser::do_map_write},
        {5, &Exerciser::do_truncate},     {3, &Exerciser::do_grow},
        {5, &Exerciser::do_allocate},     {5, &Exerciser::do_punch},
        {4, &Exerciser::do_zero_range},   {5, &Exerciser::do_copy_range},
        {4, &Exerciser::do_seek},         {4, &Exerciser::do_direct_read},
        {4, &Exerciser::do_direct_write}, {2, &Exerciser::do_sync},
        {2, &Exerciser::do_reopen},       {1, &Exerciser::do_start_over},
    };
    unsigned total = 0;
    for (const auto& [weight, operation] : kTable) total += weight;
    size_t pick = below(total);
    for (const auto& [weight, operation] : kTable) {
      if (pick < weight) return (this->*operation)();
      pick -= weight;
    }
  }

  Range inside() {
    Range range = any_range(options_.max_size);
    if (model_.empty()) return {0, 0};
    range.offset = std::min(range.offset, model_.size() - 1);
    range.length = std::min(range.length, model_.size() - range.offset);
    return range;
  }

  void do_read() {
    const Range range = any_range(options_.max_size);
    note("pread %zu +%zu", range.offset, range.length);
    std::vector<uint8_t> bytes(range.length);
    const ssize_t got = pread(file_, bytes.data(), bytes.size(), static_cast<off_t>(range.offset));
    must(got >= 0, "pread");
    const size_t expected =
        range.offset >= model_.size() ? 0 : std::min(range.length, model_.size() - range.offset);
    if (static_cast<size_t>(got) != expected)
      fail("pread gave %zd bytes, expected %zu", got, expected);
    compare({range.offset, expected}, bytes.data(), "pread");
  }

  void do_write() {
    const Range range = any_range(options_.max_size);
    const std::vector<uint8_t> bytes = fresh_bytes(range.length);
    note("pwrite %zu +%zu", range.offset, range.length);
    write_fully(file_, range, bytes.data(), "pwrite");
  }

  void write_fully(int descriptor, Range range, const uint8_t* bytes, const char* what) {
    const ssize_t put_bytes =
        pwrite(descriptor, bytes, range.length, static_cast<off_t>(range.offset));
    must(put_bytes >= 0, what);
    if (static_cast<size_t>(put_bytes) != range.length)
      fail("%s took %zd of %zu", what, put_bytes, range.length);
    put(range, bytes);
  }

  void do_vector_write() {
    const Range range = any_range(options_.max_size);
    std::vector<uint8_t> bytes = fresh_bytes(range.length);
    const size_t cut = below(range.length + 1);
    note("pwritev %zu +%zu cut at %zu", range.offset, range.length, cut);
    const iovec parts[] = {{bytes.data(), cut}, {bytes.data() + cut, range.length - cut}};
    const ssize_t put_bytes = pwritev(file_, parts, 2, static_cast<off_t>(range.offset));
    must(put_bytes >= 0, "pwritev");
    if (static_cast<size_t>(put_bytes) != range.length)
      fail("pwritev took %zd of %zu", put_bytes, range.length);
    put(range, bytes.data());
  }

  void do_append() {
    const size_t room = options_.max_size - std::min(options_.max_size, model_.size());
    const std::vector<uint8_t> bytes = fresh_bytes(std::min(room, 1 + below(3 * kPage)));
    if (bytes.empty()) return;
    const Range range{model_.size(), bytes.size()};
    note("append at %zu +%zu", range.offset, range.length);
    const ssize_t put_bytes = write(append_, bytes.data(), bytes.size());
    must(put_bytes >= 0, "append");
    if (static_cast<size_t>(put_bytes) != range.length)
      fail("append took %zd of %zu", put_bytes, range.length);
    put(range, bytes.data());
  }

  /// Runs `body(address of range.offset, bytes mapped from there to the page end)` on a shared
  /// mapping.
  template <typename Body>
  void mapped(Range range, int protection, Body body) {
    const size_t start = range.offset / kPage * kPage;
    const size_t length = range.offset + range.length - start;
    void* address = mmap(nullptr, length, protection, MAP_SHARED, file_, static_cast<off_t>(start));
    must(address != MAP_FAILED, "mmap");
    body(static_cast<uint8_t*>(address) + (range.offset - start));
    if (below(4) == 0) must(msync(address, length, MS_SYNC) == 0, "msync");
    must(munmap(address, length) == 0, "munmap");
  }

  void do_map_read() {
    const Range range = inside();
    if (range.length == 0) return;
    note("mmap read %zu +%zu", range.offset, range.length);
    mapped(range, PROT_READ, [&](const uint8_t* bytes) {
      compare(range, bytes, "mmap read");
      const size_t end = range.offset + range.length;
      if (end != model_.size()) return;
      for (size_t i = end; i % kPage != 0; ++i) {
        if (bytes[i - range.offset] != 0)
          fail("mmap: byte %zu, past the end of the file, is not zero", i);
      }
    });
  }

  void do_map_write() {
    const Range range = inside();
    if (range.length == 0) return;
    const std::vector<uint8_t> fresh = fresh_bytes(range.length);
    note("mmap write %zu +%zu", range.offset, range.length);
    mapped(range, PROT_READ | PROT_WRITE,
           [&](uint8_t* bytes) { std::copy(fresh.begin(), fresh.end(), bytes); });
    put(range, fresh.data());
  }

  void resize(size_t size, bool by_path) {
    note("%s %zu -> %zu", by_path ? "truncate" : "ftruncate", model_.size(), size);
    const int result = by_path ? truncate(options_.file.c_str(), static_cast<off_t>(size))
                               : ftruncate(file_, static_cast<off_t>(size));
    must(result == 0, "truncate");
    model_.resize(size, 0);
  }

  void do_truncate() { resize(below(model_.size() + 1), below(2) == 0); }
  void do_grow() { resize(std::max(model_.size(), below(options_.max_size)), below(2) == 0); }

  void do_allocate() {
    const Range range = any_range(options_.max_size);
    const bool keep = below(2) == 0;
    note("fallocate%s %zu +%zu", keep ? " keep size" : "", range.offset, range.length);
    const int result =
        fallocate(file_, keep ? FALLOC_FL_KEEP_SIZE : 0, static_cast<off_t>(range.offset),
                  static_cast<off_t>(range.length));
    if (supported(result == 0, "fallocate") && !keep) grow_model(range.offset + range.length);
  }

  void do_punch() {
    const Range range = any_range(options_.max_size);
    note("punch hole %zu +%zu", range.offset, range.length);
    const int result =
        fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(range.offset), static_cast<off_t>(range.length));
    if (supported(result == 0, "punch hole")) zero_model(range);
  }

  void do_zero_range() {
    const Range range = any_range(options_.max_size);
    const bool keep = below(2) == 0;
    note("zero range%s %zu +%zu", keep ? " keep size" : "", range.offset, range.length);
    const int result =
        fallocate(file_, FALLOC_FL_ZERO_RANGE | (keep ? FALLOC_FL_KEEP_SIZE : 0),
                  static_cast<off_t>(range.offset), static_cast<off_t>(range.length));
    if (!supported(result == 0, "zero range")) return;
    if (!keep) grow_model(range.offset + range.length);
    zero_model(range);
  }

  void do_copy_range() {
    const Range from = inside();
    Range to = any_range(options_.max_size);
    const size_t length = std::min({from.length, options_.max_size - to.offset});
    const bool overlap = from.offset < to.offset + length && to.offset < from.offset + length;
    if (length == 0 || overlap) return;
    note("copy_file_range %zu -> %zu +%zu", from.offset, to.offset, length);
    const std::vector<uint8_t> bytes(model_.begin() + static_cast<ptrdiff_t>(from.offset),
                                     model_.begin() + static_cast<ptrdiff_t>(from.offset + length));
    off_t source = static_cast<off_t>(from.offset);
    off_t target = static_cast<off_t>(to.offset);
    size_t done = 0;
    while (done < length) {
      const ssize_t copied = copy_file_range(file_, &source, file_, &target, length - done, 0);
      if (done == 0 && copied < 0 && !supported(false, "copy_file_range")) return;
      must(copied >= 0, "copy_file_range");
      if (copied == 0) fail("copy_file_range stopped at %zu of %zu", done, length);
      done += static_cast<size_t>(copied);
    }
    put({to.offset, length}, bytes.data());
  }

  bool zero_between(size_t from, size_t to) const {
    return std::all_of(model_.begin() + static_cast<ptrdiff_t>(from),
                       model_.begin() + static_cast<ptrdiff_t>(to),
                       [](uint8_t byte) { return byte == 0; });
  }

  void do_seek() {
    const size_t start = below(model_.size() + kPage);
    note("seek data and hole from %zu", start);
    const off_t data = lseek(file_, static_cast<off_t>(start), SEEK_DATA);
    if (start >= model_.size()) {
      if (data != -1 || errno != ENXIO)
        fail("SEEK_DATA past the end gave %ld, errno %d", data, errno);
      return;
    }
    if (data < 0 && errno != ENXIO) must(false, "SEEK_DATA");
    const size_t data_start = data < 0 ? model_.size() : static_cast<size_t>(data);
    if (data_start < start || data_start > model_.size()) fail("SEEK_DATA gave %zu", data_start);
    if (!zero_between(start, data_start))
      fail("SEEK_DATA skips data between %zu and %zu", start, data_start);
    const off_t hole = lseek(file_, static_cast<off_t>(start), SEEK_HOLE);
    must(hole >= 0, "SEEK_HOLE");
    const size_t hole_start = static_cast<size_t>(hole);
    if (hole_start < start || hole_start > model_.size()) fail("SEEK_HOLE gave %zu", hole_start);
    if (data_start > start && hole_start != start)
      fail("%zu is in a hole for SEEK_DATA, not for SEEK_HOLE", start);
  }

  struct FreeDeleter {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  using AlignedBytes = std::unique_ptr<uint8_t[], FreeDeleter>;

  AlignedBytes aligned_bytes(size_t length) {
    return AlignedBytes(static_cast<uint8_t*>(std::aligned_alloc(kPage, length)));
  }

  Range aligned_range() {
    Range range = any_range(options_.max_size);
    range.offset = range.offset / kPage * kPage;
    range.length =
        std::max(kPage, std::min(range.length, options_.max_size - range.offset) / kPage * kPage);
    return range;
  }

  void do_direct_read() {
    const Range range = aligned_range();
    if (direct_ < 0) return;
    note("direct read %zu +%zu", range.offset, range.length);
    const AlignedBytes bytes = aligned_bytes(range.length);
    const ssize_t got = pread(direct_, bytes.get(), range.length, static_cast<off_t>(range.offset));
    must(got >= 0, "direct read");
    const size_t expected =
        range.offset >= model_.size() ? 0 : std::min(range.length, model_.size() - range.offset);
    if (static_cast<size_t>(got) != expected)
      fail("direct read gave %zd bytes, expected %zu", got, expected);
    compare({range.offset, expected}, bytes.get(), "direct read");
  }

  void do_direct_write() {
    const Range range = aligned_range();
    const std::vector<uint8_t> fresh = fresh_bytes(range.length);
    if (direct_ < 0) return;
    note("direct write %zu +%zu", range.offset, range.length);
    const AlignedBytes bytes = aligned_bytes(range.length);
    std::copy(fresh.begin(), fresh.end(), bytes.get());
    write_fully(direct_, range, bytes.get(), "direct write");
  }

  void do_sync() {
    const bool data_only = below(2) == 0;
    note(data_only ? "fdatasync" : "fsync");
    must((data_only ? fdatasync(file_) : fsync(file_)) == 0, "fsync");
  }

  void do_reopen() { reopen(); }

  void do_start_over() {
    note("open O_TRUNC");
    const int descriptor = open(options_.file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    must(descriptor >= 0, "open O_TRUNC");
    must(close(descriptor) == 0, "close");
    model_.clear();
  }

  // --- Hooks.

  void run_hooks() {
    if (!options_.hook.empty()) run_command(options_.hook);
    if (!options_.closed_hook.empty()) {
      close_all();
      run_command(options_.closed_hook);
      open_all(0);
    }
    if (!options_.hook.empty() || !options_.closed_hook.empty()) compare_all();
  }

  void run_command(const std::string& command) {
    note("hook");
    setenv("VARVE_EXERCISER_STEP", std::to_string(step_).c_str(), 1);
    const int status = std::system(command.c_str());
    if (status != 0)
      fail("the hook ended with status %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  }

  Options options_;
  std::mt19937_64 random_;
  uint64_t step_ = 0;
  int file_ = -1;
  int append_ = -1;
  int direct_ = -1;
  std::vector<uint8_t> model_;
  std::deque<std::string> log_;
  std::set<std::string> unsupported_;
};

[[noreturn]] void usage() {
  std::fprintf(stderr,
               "usage: varve_exerciser [--ops N] [--seed S] [--max-size BYTES] [--hook CMD]\n"
               "                       [--closed-hook CMD] [--hook-every N] FILE\n");
  std::exit(2);
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    if (name.substr(0, 2) != "--") {
      if (!options.file.empty()) usage();
      options.file = name;
      continue;
    }
    if (++i == count) usage();
    const char* value = arguments[i];
    if (name == "--ops") {
      options.ops = std::strtoull(value, nullptr, 0);
    } else if (name == "--seed") {
      options.seed = std::strtoull(value, nullptr, 0);
    } else if (name == "--max-size") {
      options.max_size =
          std::max<size_t>(2 * kPage, std::strtoull(value, nullptr, 0) / kPage * kPage);
    } else if (name == "--hook") {
      options.hook = value;
    } else if (name == "--closed-hook") {
      options.closed_hook = value;
    } else if (name == "--hook-every") {
      options.hook_every = std::max<uint64_t>(1, std::strtoull(value, nullptr, 0));
    } else {
      usage();
    }
  }
  if (options.file.empty()) usage();
  return options;
}

}  // namespace

int main(int count, char** arguments) {
  Exerciser exerciser(parse(count, arguments));
  exerciser.run();
  exerciser.report();
  return 0;
}
