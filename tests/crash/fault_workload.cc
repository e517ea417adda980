// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/fault_workload.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "store/base/error.h"

namespace varve::test {

namespace {

constexpr const char* kVolume = "v";

void add_files(FaultState& out, const std::string& name, Volume& volume) {
  out[name];
  std::vector<std::pair<std::string, Ino>> files;
  volume.read_directory(kRootIno, 0, false, [&](const DirectoryEntry& entry) {
    if (entry.name != "." && entry.name != "..") files.emplace_back(entry.name, entry.ino);
    return true;
  });
  for (const auto& [file, ino] : files) {
    Bytes content(volume.getattr(ino).size);
    content.resize(volume.read(ino, 0, content));
    out[name + "/" + file] = std::string(as_text(content));
  }
}

/// Everything below `from` is below `to` as well.
void copy_below(FaultState& state, const std::string& from, const std::string& to) {
  FaultState added;
  for (const auto& [name, content] : state) {
    if (name == from) added[to];
    if (name.starts_with(from + "/")) added[to + name.substr(from.size())] = content;
  }
  state.merge(added);
}

void remove_below(FaultState& state, const std::string& name) {
  std::erase_if(state, [&](const auto& entry) {
    return entry.first == name || entry.first.starts_with(name + "/");
  });
}

}  // namespace

FaultState fault_state_of(Repository& repository) {
  FaultState out;
  for (const VolumeInfo& info : repository.volumes()) {
    add_files(out, info.row.name, *repository.attach(info.row.name));
    for (const SnapshotRow& row : repository.snapshots(info.row.name)) {
      // A rollback keeps what was there before under a name with the time in it.
      const bool kept = row.name.starts_with("before-rollback");
      const std::string name = info.row.name + "@" + (kept ? "kept" : row.name);
      add_files(out, name, *repository.attach_snapshot(info.row.name + "@" + row.name));
    }
  }
  return out;
}

FaultState volumes_of(const FaultState& state) {
  FaultState out = state;
  std::erase_if(out, [](const auto& entry) { return entry.first.find('@') != std::string::npos; });
  return out;
}

FaultState volumes_of(Repository& repository) {
  FaultState out;
  for (const VolumeInfo& info : repository.volumes()) {
    add_files(out, info.row.name, *repository.attach(info.row.name));
  }
  return out;
}

std::set<FaultState> FaultWorkload::after_power_cut() const {
  std::set<FaultState> out;
  for (std::size_t at = durable_; at < history_.size(); ++at) {
    out.insert(history_[at].begin(), history_[at].end());
  }
  return out;
}

bool FaultWorkload::attempt(const Step& step) {
  // What a store that has stopped refuses has not happened, and neither has what has no name to
  // happen to. Without this the states that are possible would double with each such step.
  const bool stopped = repository_.figures().read_only;
  std::set<FaultState> next;
  for (FaultState state : history_.back()) {
    if (step.expect) step.expect(state);
    next.insert(std::move(state));
  }
  try {
    step.act();
    history_.push_back(std::move(next));
    if (step.durable) durable_ = history_.size() - 1;
    return true;
  } catch (const Error& error) {
    failures_.push_back(error.code());
    if (stopped || error.code() == ENOENT || error.code() == EEXIST) next.clear();
    next.insert(history_.back().begin(), history_.back().end());
    history_.push_back(std::move(next));
    return false;
  }
}

Volume& FaultWorkload::volume() {
  if (!volume_) volume_ = repository_.attach(kVolume);
  return *volume_;
}

void FaultWorkload::write(const std::string& file, std::size_t size, char letter) {
  const std::string path = std::string(kVolume) + "/" + file;
  attempt({[&] {
             const auto found = volume().lookup(kRootIno, file);
             if (found) return volume().forget(found->ino, 1);
             volume().forget(volume().make_node(kRootIno, file, S_IFREG | 0644, 0, {}).ino, 1);
           },
           [&](FaultState& state) {
             if (state.contains(kVolume)) state[path];
           }});
  // A file of which it is not known that it is there can be written to all the same, or cannot.
  attempt({[&] {
             const auto found = volume().lookup(kRootIno, file);
             if (!found) throw PosixError(ENOENT);
             volume().write(found->ino, 0, as_bytes(std::string(size, letter)), false);
             volume().forget(found->ino, 1);
           },
           [&](FaultState& state) {
             const auto at = state.find(path);
             if (at == state.end()) return;
             at->second.resize(std::max(at->second.size(), size));
             std::fill_n(at->second.begin(), size, letter);
           }});
}

void FaultWorkload::remove(const std::string& file) {
  attempt({[&] { volume().unlink(kRootIno, file); },
           [&](FaultState& state) { state.erase(std::string(kVolume) + "/" + file); }});
}

void FaultWorkload::rename(const std::string& from, const std::string& to) {
  attempt({[&] { volume().rename(kRootIno, from, kRootIno, to, RenameMode::kReplace); },
           [&](FaultState& state) {
             auto node = state.extract(std::string(kVolume) + "/" + from);
             if (!node.empty()) state[std::string(kVolume) + "/" + to] = node.mapped();
           }});
}

void FaultWorkload::fsync() {
  attempt({[&] { volume().fsync(kRootIno); }, {}, true});
}

void FaultWorkload::snapshot(const std::string& name) {
  attempt(
      {[&] { repository_.create_snapshot(kVolume, name, {}); },
       [&](FaultState& state) { copy_below(state, kVolume, std::string(kVolume) + "@" + name); },
       true});
}

void FaultWorkload::drop_snapshot(const std::string& name) {
  const std::string reference = std::string(kVolume) + "@" + name;
  attempt({[&] { repository_.remove_snapshot(reference); },
           [&](FaultState& state) { remove_below(state, reference); }, true});
}

void FaultWorkload::clone(const std::string& snapshot, const std::string& name) {
  const std::string reference = std::string(kVolume) + "@" + snapshot;
  Repository::CreateVolume request;
  request.name = name;
  attempt({[&] { repository_.clone_volume(request, reference); },
           [&](FaultState& state) { copy_below(state, reference, name); }, true});
}

void FaultWorkload::roll_back(const std::string& snapshot) {
  const std::string reference = std::string(kVolume) + "@" + snapshot;
  // The first half may happen alone.
  const bool done = attempt(
      {[&] { repository_.rollback(kVolume, reference, {}); },
       [&](FaultState& state) { copy_below(state, kVolume, std::string(kVolume) + "@kept"); },
       true});
  std::set<FaultState> next;
  for (FaultState state : history_.back()) {
    if (!done) next.insert(state);
    if (!state.contains(std::string(kVolume) + "@kept")) continue;
    remove_below(state, kVolume);
    copy_below(state, reference, kVolume);
    next.insert(std::move(state));
  }
  history_.back() = std::move(next);
}

void FaultWorkload::background() {
  for (int i = 0; i < 4; ++i) attempt({[&] { repository_.step(); }, {}});
}

void FaultWorkload::detach() { volume_.reset(); }

void FaultWorkload::run() {
  Repository::CreateVolume request;
  request.name = kVolume;
  attempt({[&] { repository_.create_volume(request); }, [&](FaultState& state) { state[kVolume]; },
           true});
  write("a", 200, 'a');
  write("b", 20'000, 'b');
  fsync();
  write("c", 150'000, 'c');
  rename("b", "d");
  snapshot("one");
  background();
  write("a", 40'000, 'A');
  remove("c");
  attempt({[&] { repository_.commit(); }, {}, true});
  write("e", 300, 'e');
  fsync();
  snapshot("two");
  clone("one", "w");
  detach();
  drop_snapshot("one");
  background();
  write("f", 90'000, 'f');
  roll_back("two");
  write("g", 5000, 'g');
  fsync();
  attempt({[&] { repository_.commit(); }, {}, true});
  background();
  write("h", 100, 'h');
  detach();
}

int FaultWorkload::change_once_more() {
  const std::size_t before = failures_.size();
  write("last", 10, 'l');
  fsync();
  detach();
  return failures_.size() == before ? 0 : failures_.back();
}

}  // namespace varve::test
