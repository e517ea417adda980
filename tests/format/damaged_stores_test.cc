// SPDX-License-Identifier: Apache-2.0
// One damage after the other is done to a golden store. Each must end in the documented exit status
// and one sentence that names what is wrong, or in a store that shows all it did before.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "mountd/cli/exit_status.h"
#include "store/base/error.h"
#include "store/segment_format.h"
#include "tests/format/golden_store.h"
#include "tests/support/repository_world.h"

namespace varve::test {
namespace {

namespace fs = std::filesystem;
using cli::kDamaged;
using cli::kOk;

struct Damage {
  const char* name;
  const char* golden;
  std::function<void(const std::string& store)> apply;
  int status;         ///< of `varve volume ls`
  const char* words;  ///< in its sentence; of kOk: what it prints
};

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}
std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void replace_text(const std::string& path, const std::string& from, const std::string& to) {
  std::string text = read_text(path);
  const std::size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos);
  write_text(path, text.replace(at, from.size(), to));
}
void zero(const std::string& path, std::size_t offset, std::size_t size) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file << std::string(size, '\0');
}
std::vector<std::string> files_in(const std::string& directory) {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(directory)) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}
void flip_everywhere(const std::string& path, std::size_t from) {
  std::string bytes = read_text(path);
  for (std::size_t at = from; at < bytes.size(); at += 97) bytes[at] ^= 0x20;
  write_text(path, bytes);
}
/// Index files are of the process that is gone as well.
void remove_index(const std::string& store) {
  for (const std::string& path : files_in(store))
    if (path.find("index.db") != std::string::npos) fs::remove(path);
}

constexpr const char* kClean = "format-1-clean";
constexpr const char* kCrashed = "format-1-crashed";

const std::vector<Damage>& damages() {
  static const std::vector<Damage> all = {
      {"Nothing", kClean, [](const std::string&) {}, kOk, "base"},
      {"NothingCrashed", kCrashed, [](const std::string&) {}, kOk, "base"},

      // FORMAT
      {"FormatMissing", kClean, [](const std::string& s) { fs::remove(s + "/FORMAT"); },
       cli::kConflict, "FORMAT"},
      {"FormatEmpty", kClean, [](const std::string& s) { write_text(s + "/FORMAT", ""); }, kDamaged,
       "FORMAT"},
      {"FormatGarbage", kClean,
       [](const std::string& s) { write_text(s + "/FORMAT", std::string(600, '\xee')); }, kDamaged,
       "FORMAT"},
      {"FormatTruncated", kClean, [](const std::string& s) { fs::resize_file(s + "/FORMAT", 40); },
       kDamaged, "FORMAT"},
      {"FormatHuge", kClean, [](const std::string& s) { fs::resize_file(s + "/FORMAT", 1 << 30); },
       kDamaged, "FORMAT"},
      {"FormatNewer", kClean,
       [](const std::string& s) { replace_text(s + "/FORMAT", "format: 1", "format: 2"); },
       cli::kUnsupported, "format 2"},
      {"FormatUnknownFeature", kClean,
       [](const std::string& s) { replace_text(s + "/FORMAT", "incompat:", "incompat: xyz"); },
       cli::kUnsupported, "'xyz'"},
      {"FormatUnknownHint", kClean,
       [](const std::string& s) { replace_text(s + "/FORMAT", "\ncompat:", "\ncompat: xyz"); }, kOk,
       "base"},
      {"FormatOfAnotherStore", kClean,
       [](const std::string& s) {
         std::string text = read_text(s + "/FORMAT");
         const std::size_t at = text.find("id: ") + 4;
         text[at] = text[at] == '0' ? '1' : '0';
         write_text(s + "/FORMAT", text);
       },
       kDamaged, "superblock"},
      {"FormatIsAFifo", kClean,
       [](const std::string& s) {
         fs::remove(s + "/FORMAT");
         ::mkfifo((s + "/FORMAT").c_str(), 0600);
       },
       cli::kUsage, "FORMAT"},
      {"FormatIsALink", kClean,
       [](const std::string& s) {
         fs::rename(s + "/FORMAT", s + "/elsewhere");
         fs::create_symlink("elsewhere", s + "/FORMAT");
       },
       cli::kFailure, "FORMAT"},

      // superblock
      {"SuperblockMissing", kClean, [](const std::string& s) { fs::remove(s + "/superblock"); },
       kDamaged, "superblock"},
      {"SuperblockZeros", kClean, [](const std::string& s) { zero(s + "/superblock", 0, 8192); },
       kDamaged, "superblock"},
      {"SuperblockTruncated", kClean,
       [](const std::string& s) { fs::resize_file(s + "/superblock", 100); }, kDamaged,
       "superblock"},
      {"SuperblockFirstLost", kClean,
       [](const std::string& s) { zero(s + "/superblock", 0, 4096); }, kOk, "base"},
      {"SuperblockSecondLost", kClean,
       [](const std::string& s) { zero(s + "/superblock", 4096, 4096); }, kOk, "base"},

      // journal
      {"JournalDirectoryMissing", kCrashed,
       [](const std::string& s) { fs::remove_all(s + "/journal"); }, kDamaged, "journal"},
      {"JournalFileMissing", kCrashed,
       [](const std::string& s) { fs::remove(files_in(s + "/journal").front()); }, kDamaged,
       "drop-damaged-journal"},
      {"JournalFileTruncated", kCrashed,
       [](const std::string& s) { fs::resize_file(files_in(s + "/journal").front(), 5000); },
       kDamaged, "drop-damaged-journal"},
      {"JournalMiddle", kCrashed,
       [](const std::string& s) {
         // The last file's records before byte 57344 are trimmed, those up to 86112 were flushed.
         for (const std::string& file : files_in(s + "/journal")) zero(file, 61440, 8192);
       },
       kDamaged, "drop-damaged-journal"},
      {"JournalZeros", kCrashed,
       [](const std::string& s) {
         for (const std::string& file : files_in(s + "/journal"))
           zero(file, 0, fs::file_size(file));
       },
       kDamaged, "drop-damaged-journal"},
      {"JournalIsALink", kCrashed,
       [](const std::string& s) {
         fs::rename(s + "/journal", s + "/elsewhere");
         fs::create_directory_symlink("elsewhere", s + "/journal");
       },
       cli::kPermission, "symbolic link"},
      {"JournalForeignFiles", kCrashed,
       [](const std::string& s) {
         write_text(s + "/journal/README", "not ours");
         write_text(s + "/journal/0000000000000099.log.tmp", "not ours either");
       },
       kOk, "base"},

      // index: everything in it is somewhere else too
      {"IndexMissing", kClean, remove_index, kOk, "base"},
      {"IndexGarbage", kCrashed,
       [](const std::string& s) {
         remove_index(s);
         write_text(s + "/index.db", std::string(40'000, 'x'));
       },
       kOk, "base"},
      {"IndexFlipped", kClean, [](const std::string& s) { flip_everywhere(s + "/index.db", 100); },
       kOk, "base"},
      {"IndexTruncated", kClean,
       [](const std::string& s) { fs::resize_file(s + "/index.db", 5000); }, kOk, "base"},
      {"IndexIsALink", kClean,
       [](const std::string& s) {
         fs::rename(s + "/index.db", s + "/elsewhere");
         fs::create_symlink("elsewhere", s + "/index.db");
       },
       cli::kPermission, "symbolic link"},

      // segments
      {"SegmentsMissing", kClean, [](const std::string& s) { fs::remove_all(s + "/segments"); },
       kDamaged, ""},
      {"SegmentsEmpty", kClean,
       [](const std::string& s) {
         for (const std::string& file : files_in(s + "/segments")) fs::resize_file(file, 0);
       },
       kDamaged, ""},
      {"SegmentsFlipped", kClean,
       [](const std::string& s) {
         for (const std::string& file : files_in(s + "/segments")) flip_everywhere(file, 64);
       },
       kDamaged, ""},
      {"SegmentsForeignFiles", kClean,
       [](const std::string& s) {
         write_text(s + "/segments/README", "not ours");
         write_text(s + "/notes.txt", "not ours");
       },
       kOk, "base"},
      {"SegmentIsADirectory", kClean,
       [](const std::string& s) { fs::create_directory(s + "/segments/00000000000000ff.seg"); },
       cli::kUsage, "not a regular file"},

      // the directory itself
      {"WritableForAll", kClean, [](const std::string& s) { fs::permissions(s, fs::perms::all); },
       cli::kPermission, "everybody"},
      {"LockIsADirectory", kClean,
       [](const std::string& s) {
         fs::remove(s + "/lock");
         fs::create_directory(s + "/lock");
       },
       cli::kFailure, "lock"},
      {"StoreIsAFile", kClean,
       [](const std::string& s) {
         fs::remove_all(s);
         write_text(s, "a file");
       },
       cli::kUsage, "store"},
  };
  return all;
}

class DamagedStore : public testing::TestWithParam<Damage> {};

TEST_P(DamagedStore, IsAClearErrorOrShowsEverything) {
  const Damage& damage = GetParam();
  const UnpackedGolden golden(damage.golden);
  damage.apply(golden.path());
  const ProgramResult result =
      run_program({VARVE_PROGRAM, "--store", golden.path(), "volume", "ls", "-q"});
  EXPECT_EQ(result.status, damage.status) << result.output;
  EXPECT_NE(result.output.find(damage.words), std::string::npos) << result.output;
  if (damage.status == kOk) return;
  // One sentence; what the log says before it is the store's.
  const std::size_t sentence = result.output.find("varve: ");
  ASSERT_NE(sentence, std::string::npos) << result.output;
  EXPECT_EQ(result.output.find('\n', sentence), result.output.size() - 1) << result.output;
}

INSTANTIATE_TEST_SUITE_P(All, DamagedStore, testing::ValuesIn(damages()),
                         [](const auto& entry) { return std::string(entry.param.name); });

/// Damage to the bytes of one file is EIO for that file, and nothing else is lost.
TEST(DamagedSegment, IsAnErrorForWhatItHeldAlone) {
  const UnpackedGolden golden(kClean);
  // "renamed again" holds noise, which is stored as it is: find it and flip a bit.
  const Bytes noise = pattern(40'000, 1);
  const std::string wanted(as_text(ByteView(noise).subspan(0, 64)));
  int found = 0;
  for (const std::string& file : files_in(golden.path() + "/segments")) {
    std::string bytes = read_text(file);
    const std::size_t at = bytes.find(wanted);
    if (at == std::string::npos) continue;
    ++found;
    bytes[at + 10] ^= 1;
    write_text(file, bytes);
  }
  ASSERT_GT(found, 0);
  const auto repository = Repository::open(Disk::host(), golden.path(), false, golden_options());
  {
    const std::shared_ptr<Volume> volume = repository->attach("base");
    const Ino ino = volume->lookup(kRootIno, "renamed again")->ino;
    Bytes out(100);
    EXPECT_EQ(failure_of([&] { volume->read(ino, 0, out); }).first, EIO);
    EXPECT_EQ(read_file(*volume, "overridden").size(), 131'072u);
    EXPECT_EQ(volume->readlink(volume->lookup(kRootIno, "symlink")->ino), "dir/small");
  }
  repository->close();
}

}  // namespace
}  // namespace varve::test
