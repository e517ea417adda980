// SPDX-License-Identifier: Apache-2.0
// A whole volume, and a whole catalog, whose records somebody else wrote: every digest is right,
// and what the records say need not make sense. No operation may do more than fail.
#include <sys/stat.h>

#include <map>
#include <typeinfo>

#include "snapshot/catalog_rows.h"
#include "snapshot/node_cache.h"
#include "snapshot/tree_edit.h"
#include "tests/fuzz/all_targets.h"
#include "tests/fuzz/check.h"
#include "tests/support/repository_world.h"
#include "tests/support/volume_world.h"

namespace varve::fuzz {
namespace {

using Records = std::map<Key, Bytes>;

/// Objects that exist in every store of these targets, so that pointers in seeds lead somewhere.
std::vector<Bytes> known_objects() {
  return {Bytes(kBlockBytes, std::byte{'a'}), Bytes(kRegionBytes, std::byte{'b'}),
          Bytes(2000, std::byte{'c'})};
}

/// One record of an input: ino u8 | kind u8 | sub u64 | length u16 | value.
void put_record(Bytes& out, const Key& key, const Bytes& value) {
  ByteWriter writer(out);
  writer.u8(static_cast<std::uint8_t>(to_integer(key.ino)));
  writer.u8(static_cast<std::uint8_t>(key.kind));
  writer.u64(key.sub);
  writer.u16(static_cast<std::uint16_t>(value.size()));
  writer.raw(value);
}

/// The count u8 and the records that `in` begins with.
Records take_records(Input& in) {
  Records out;
  for (unsigned count = in.u8(); count > 0 && !in.done(); --count) {
    Key key;
    key.ino = Ino{in.u8()};
    key.kind = Kind{static_cast<std::uint8_t>(in.u8() % 7)};
    key.sub = in.u64();
    out[key] = to_bytes(in.bytes(in.u16() % (kMaxValueBytes + 1)));
  }
  return out;
}

/// Puts the tree of `records` and the known objects into `batch`.
std::optional<Ptr> put_tree(Objects& objects, ObjectsBatch& batch, const Records& records) {
  for (const Bytes& object : known_objects()) batch.put(object, ObjectKind::kData);
  NodeCache cache(objects, 1 << 20);
  std::vector<Change> changes;
  for (const auto& [key, value] : records) changes.push_back({key, value});
  return edit_tree(cache, batch, std::nullopt, changes,
                   {1, 0, test::VolumeWorld::kSmallNodes, nullptr});
}

/// Runs `body`; whatever it refuses in a documented way is well.
void attempt(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error&) {
  } catch (const std::logic_error& strict) {
    // The store in memory refuses releases without a birth this way; the real one counts on.
    if (typeid(strict) != typeid(std::logic_error)) throw;
  }
}

// ---- operations on a volume
// ----------------------------------------------------------------------

class Explorer {
 public:
  Explorer(Volume& volume, Input& in) : volume_(volume), in_(in) {}

  void look_everywhere() {
    constexpr std::uint64_t kInodes = 12;
    for (std::uint64_t ino = 0; ino <= kInodes; ++ino) look_at(Ino{ino});
    attempt([&] { volume_.statfs(); });
  }

  void run_script() {
    constexpr int kStepsMax = 24;
    for (int step = 0; step < kStepsMax && !in_.done(); ++step) attempt([&] { change(); });
  }

 private:
  void look_at(Ino ino) {
    attempt([&] { volume_.getattr(ino); });
    attempt([&] { volume_.readlink(ino); });
    attempt([&] { list(ino); });
    attempt([&] {
      Bytes out(70'000);
      VARVE_CHECK(volume_.read(ino, 0, out) <= out.size());
    });
    attempt([&] {
      Bytes out(100);
      volume_.read(ino, kRegionBytes - 50, out);
    });
    attempt([&] { volume_.seek(ino, 0, SeekWhat::kHole); });
    attempt([&] { volume_.seek(ino, 1, SeekWhat::kData); });
    attempt([&] {
      for (const std::string& name : volume_.list_xattrs(ino)) volume_.get_xattr(ino, name);
    });
    attempt([&] { volume_.get_xattr(ino, "system.posix_acl_access"); });
  }

  void list(Ino ino) {
    std::size_t seen = 0;
    volume_.read_directory(ino, 0, true, [&](const DirectoryEntry& entry) {
      names_.emplace_back(entry.name);
      if (entry.attributes != nullptr) ++looked_up_[entry.ino];
      return ++seen < 64;
    });
  }

  /// A name that was listed, or one of the script's.
  std::string name() {
    const std::uint8_t choice = in_.u8();
    if (choice < 64 && !names_.empty()) return names_[choice % names_.size()];
    return "n" + std::to_string(choice);
  }
  Ino ino() { return Ino{in_.u8() % 16u}; }

  void change() {
    const Caller caller{1000, 1000, 022};
    const unsigned what = in_.u8() % 18;
    const Ino a = ino();
    const std::uint64_t offset = in_.u16() * std::uint64_t{97};
    switch (what) {
      case 0:
        return void(volume_.lookup(a, name()));
      case 1:
        return void(volume_.make_node(a, name(), S_IFREG | 04755, 0, caller));
      case 2:
        return void(volume_.make_directory(a, name(), 02755, caller));
      case 3:
        return void(volume_.make_symlink(a, name(), "target", caller));
      case 4:
        return void(volume_.make_temporary(a, 0600, caller));
      case 5:
        return void(volume_.link(ino(), a, name()));
      case 6:
        return volume_.unlink(a, name());
      case 7:
        return volume_.rmdir(a, name());
      case 8:
        return rename(a);
      case 9:
        return volume_.write(a, offset, Bytes(in_.u16(), std::byte{'w'}), true);
      case 10:
        return void(volume_.allocate(a, AllocateMode{in_.u8() % 5}, offset, in_.u16() + 1));
      case 11:
        return void(volume_.copy_range(a, offset, ino(), in_.u16(), 300'000));
      case 12:
        return volume_.set_xattr(a, "user.n", Bytes(in_.u8()), XattrMode::kAny, false);
      case 13:
        return volume_.remove_xattr(a, "user.n");
      case 14:
        return set_attributes(a);
      case 15:
        return volume_.fsync(a);
      case 16:
        return list(a);
      default:
        return volume_.forget(a, 1);
    }
  }

  void rename(Ino from) {
    const Ino to = ino();
    const std::string old_name = name();
    volume_.rename(from, old_name, to, name(), RenameMode{in_.u8() % 3});
  }

  void set_attributes(Ino ino) {
    SetAttributes wanted;
    const unsigned which = in_.u8();
    if ((which & 1) != 0) wanted.size = in_.u32();
    if ((which & 2) != 0) wanted.mode = in_.u16() & 07777;
    if ((which & 4) != 0) wanted.uid = in_.u8();
    volume_.setattr(ino, wanted, {});
  }

  Volume& volume_;
  Input& in_;
  std::vector<std::string> names_;
  std::map<Ino, std::uint64_t> looked_up_;
};

}  // namespace

void volume(ByteView input) {
  Input in(input);
  const Records records = take_records(in);
  // VolumeWorld opens what a store holds; the tree of its own making is replaced.
  test::VolumeWorld world;
  attempt([&] {
    auto batch = world.store().begin();
    const std::optional<Ptr> root = put_tree(world.store().objects(), *batch, records);
    Bytes bytes;
    ByteWriter out(bytes);
    if (root) root->encode(out);
    world.store().commit(std::move(batch), bytes, world.store().journal().end());
    world.roll_back(root);
    Explorer explorer(world.volume(), in);
    explorer.look_everywhere();
    explorer.run_script();
    explorer.look_everywhere();
    world.commit();
    world.volume().drop_lookups();
    for (int step = 0; step < 32 && world.volume().free_orphans_step(); ++step) {
    }
    world.commit();
  });
}

std::vector<Bytes> volume_seeds() {
  test::VolumeWorld world;
  AttachedVolume& volume = world.volume();
  const Caller caller;
  const Ino directory = volume.make_directory(kRootIno, "directory", 0755, caller).ino;
  const Ino file = volume.make_node(directory, "file", S_IFREG | 0644, 0, caller).ino;
  const std::vector<Bytes> objects = known_objects();
  volume.write(file, 0, objects[0], false);
  volume.write(file, kRegionBytes, objects[1], false);
  const Ino small = volume.make_node(kRootIno, "small", S_IFREG | 0600, 0, caller).ino;
  volume.write(small, 0, as_bytes("inline"), false);
  volume.link(small, directory, "again");
  volume.set_xattr(small, "user.n", as_bytes("value"), XattrMode::kAny, false);
  volume.set_xattr(small, "user.long", objects[2], XattrMode::kAny, false);
  volume.make_symlink(kRootIno, "link", "directory/file", caller);
  volume.unlink(kRootIno, "link");
  volume.make_symlink(kRootIno, "link", "small", caller);
  volume.make_node(directory, "pipe", S_IFIFO | 0600, 0, caller);
  world.commit();
  Bytes seed;
  const auto records = world.records();
  seed.push_back(static_cast<std::byte>(records.size()));
  for (const auto& [key, value] : records) put_record(seed, key, value);
  std::vector<Bytes> out{seed};
  // And each kind of change once, on inodes and names that are there.
  for (unsigned what = 0; what < 18; what += 6) {
    Bytes with_script = seed;
    for (unsigned step = what; step < what + 6; ++step) {
      for (const unsigned byte : {step, 2u, 10u, 0u, 3u, 1u, 2u, 0u}) {
        with_script.push_back(static_cast<std::byte>(byte));
      }
    }
    out.push_back(with_script);
  }
  return out;
}

// ---- the catalog
// ---------------------------------------------------------------------------------

namespace {

/// What a daemon and its users do with a store that they have just opened.
void use(Repository& repository) {
  for (const VolumeInfo& info : repository.volumes()) {
    const std::string& name = info.row.name;
    attempt([&] { repository.volume(name); });
    attempt([&] {
      const std::shared_ptr<Volume> volume = repository.attach(name);
      volume->getattr(kRootIno);
      test::write_file(*volume, "new", as_bytes("content"));
    });
    attempt([&] { repository.create_snapshot(name, "cut", {}); });
    attempt([&] { repository.commit(); });
    attempt([&] { repository.diff(name + "@cut", name); });
    attempt([&] { repository.set_labels(name, {{"a", "b"}}); });
  }
  for (const SnapshotRow& row : repository.snapshots("")) {
    attempt([&] { repository.attach_snapshot(row.name)->getattr(kRootIno); });
    Repository::CreateVolume clone;
    clone.name = "clone";
    attempt([&] { repository.clone_volume(clone, row.name); });
    attempt([&] { repository.remove_snapshot(row.name); });
  }
  for (const VolumeInfo& info : repository.volumes()) {
    attempt([&] { repository.remove_volume(info.row.name); });
  }
  for (const VolumeInfo& info : repository.trash()) {
    attempt([&] { repository.restore_volume(info.row.name); });
  }
  attempt([&] { repository.purge_trash(INT64_MAX); });
  attempt([&] {
    for (int step = 0; step < 64 && repository.step(); ++step) {
    }
  });
}

}  // namespace

void catalog(ByteView input) {
  Input in(input);
  Records rows;
  for (auto& [key, value] : take_records(in)) rows[{key.ino, Kind::kHeadInfo, key.sub}] = value;
  auto store = std::make_unique<test::MemoryStore>();
  attempt([&] {
    auto batch = store->begin();
    const std::optional<Ptr> root = put_tree(store->objects(), *batch, rows);
    store->commit(std::move(batch), root ? encode_root(*root) : Bytes{}, store->journal().end());
    RepositoryOptions options = test::RepositoryWorld::default_options();
    options.clock = [] { return Time{1'700'000'000, 0}; };
    RepositoryImpl repository(std::move(store), options);
    use(repository);
  });
}

std::vector<Bytes> catalog_seeds() {
  test::RepositoryWorld world;
  Repository::CreateVolume request;
  request.name = "shop";
  request.labels = {{"team", "web"}};
  world->create_volume(request);
  world->create_snapshot("shop", "first", {});
  world->create_snapshot("shop", "second", {{"k", "v"}});
  request.name = "trial";
  world->clone_volume(request, "shop@first");
  request.name = "gone";
  world->create_volume(request);
  world->remove_volume("gone");
  world->commit();
  Records rows;
  NodeCache cache(world.store().objects(), 1 << 20);
  Tree(cache, decode_root(world.store().root()))
      .scan({}, {Ino{UINT64_MAX}, Kind::kLinkref, UINT64_MAX}, Wait::kAllowed,
            [&](const Key& key, ByteView value) {
              rows[key] = to_bytes(value);
              return true;
            });
  Bytes seed{static_cast<std::byte>(rows.size())};
  for (const auto& [key, value] : rows) put_record(seed, key, value);
  return {seed};
}

}  // namespace varve::fuzz
