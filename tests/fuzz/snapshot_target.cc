// SPDX-License-Identifier: Apache-2.0
// Tree nodes, records and rows: the digest says that they are what was written, not who wrote them.
#include <sys/stat.h>

#include "snapshot/catalog_rows.h"
#include "snapshot/node.h"
#include "snapshot/record.h"
#include "store/digest.h"
#include "tests/fuzz/all_targets.h"
#include "tests/fuzz/check.h"

namespace varve::fuzz {
namespace {

Ptr test_ptr(std::string_view content, Txg birth) {
  return {digest_of(as_bytes(content)), 120, static_cast<std::uint32_t>(content.size()), birth};
}

/// What decodes is what its own encoding decodes to.
template <class Decode>
void round_trip(const Decode& decode, ByteView input) {
  const Bytes once = decode(input);
  VARVE_CHECK(decode(once) == once);
}

}  // namespace

// ---- nodes
// ---------------------------------------------------------------------------------------

void node(ByteView input) {
  accepted([&] {
    const auto node = Node::decode(std::make_shared<const Bytes>(to_bytes(input)));
    VARVE_CHECK(node->count() > 0);
    NodeEncoder encoder(node->level());
    for (std::size_t i = 0; i < node->count(); ++i) {
      VARVE_CHECK(node->find(node->key(i)) == i);
      if (node->is_leaf()) {
        encoder.add(node->key(i), node->value(i));
        accepted([&] { visit_pointers(node->key(i).kind, node->value(i), [](const Ptr&) {}); });
      } else {
        encoder.add(node->key(i), node->child(i));
      }
    }
    const auto again = Node::decode(std::make_shared<const Bytes>(encoder.finish()));
    VARVE_CHECK(again->count() == node->count() && again->last_key() == node->last_key());
  });
}

std::vector<Bytes> node_seeds() {
  NodeEncoder leaf(0);
  leaf.add({Ino{1}, Kind::kInode, 0}, as_bytes("a value"));
  leaf.add({Ino{1}, Kind::kDirent, 512}, as_bytes("another"));
  leaf.add({Ino{2}, Kind::kRegion, 0}, ByteView{});
  NodeEncoder inner(1);
  inner.add({Ino{1}, Kind::kInode, 0}, test_ptr("left", 3));
  inner.add({Ino{9}, Kind::kDirent, 1024}, test_ptr("right", 4));
  return {leaf.finish(), inner.finish()};
}

// ---- records
// -------------------------------------------------------------------------------------

void record(ByteView input) {
  Input in(input);
  const Kind kind{static_cast<std::uint8_t>(in.u8() % 7)};
  const ByteView value = in.rest();
  accepted([&] { visit_pointers(kind, value, [](const Ptr&) {}); });
  accepted([&] {
    switch (kind) {
      case Kind::kInode:
        return round_trip([](ByteView v) { return InodeRecord::decode(v).encode(); }, value);
      case Kind::kXattr:
        return round_trip([](ByteView v) { return XattrRecord::decode(v).encode(); }, value);
      case Kind::kDirent:
        return round_trip([](ByteView v) { return DirentRecord::decode(v).encode(); }, value);
      case Kind::kRegion:
        return round_trip([](ByteView v) { return RegionRecord::decode(v).encode(); }, value);
      case Kind::kLinkref:
        return round_trip([](ByteView v) { return LinkrefRecord::decode(v).encode(); }, value);
      case Kind::kHeadInfo:
        return round_trip([](ByteView v) { return HeadInfoRecord::decode(v).encode(); }, value);
      case Kind::kOrphan:
        return;
    }
  });
}

std::vector<Bytes> record_seeds() {
  const auto of = [](Kind kind, const Bytes& bytes) {
    return chosen(static_cast<unsigned>(kind), bytes);
  };
  InodeRecord inode;
  inode.mode = S_IFREG | 0644;
  inode.nlink = 1;
  inode.size = 5;
  inode.parent = kRootIno;
  inode.content.value = to_bytes("hello");
  InodeRecord big = inode;
  big.content.value = test_ptr("a long symlink", 2);
  RegionRecord region;
  region.base = test_ptr("base", 3);
  region.blocks[2] = test_ptr("override", 4);
  region.holes = 1;
  HeadInfoRecord info;
  info.inodes = 3;
  info.quota_bytes = 1'000'000;
  return {of(Kind::kInode, inode.encode()),
          of(Kind::kInode, big.encode()),
          of(Kind::kDirent, DirentRecord{Ino{2}, S_IFREG, "name"}.encode()),
          of(Kind::kXattr, XattrRecord{"user.x", Blob{to_bytes("value")}}.encode()),
          of(Kind::kXattr, XattrRecord{"user.x", Blob{test_ptr("long", 2)}}.encode()),
          of(Kind::kLinkref, LinkrefRecord{Ino{4}, 512}.encode()),
          of(Kind::kRegion, region.encode()),
          of(Kind::kHeadInfo, info.encode())};
}

// ---- rows of the catalog
// -------------------------------------------------------------------------

void catalog_row(ByteView input) {
  Input in(input);
  const unsigned type = in.u8() % 7;
  const ByteView value = in.rest();
  accepted([&] {
    switch (type) {
      case 0:
        return round_trip([](ByteView v) { return encode_root(decode_root(v)); }, value);
      case 1:
        return round_trip([](ByteView v) { return encode_row(decode_counters(v)); }, value);
      case 2:
        return round_trip([](ByteView v) { return encode_row(decode_family(FamilyId{1}, v)); },
                          value);
      case 3:
        return round_trip([](ByteView v) { return encode_row(decode_node(NodeId{1}, v)); }, value);
      case 4:
        return round_trip([](ByteView v) { return encode_row(decode_volume(VolumeId{1}, v)); },
                          value);
      case 5:
        return round_trip([](ByteView v) { return encode_row(decode_snapshot(NodeId{1}, v)); },
                          value);
      default:
        return round_trip([](ByteView v) { return encode_row(decode_deletion(DeletionId{1}, v)); },
                          value);
    }
  });
}

std::vector<Bytes> catalog_row_seeds() {
  LineageNode node;
  node.id = NodeId{1};
  node.family = FamilyId{1};
  node.parent = NodeId{2};
  node.txg = 7;
  node.root = test_ptr("root", 6);
  VolumeRow volume;
  volume.id = VolumeId{1};
  volume.name = "shop";
  volume.head = NodeId{1};
  volume.source = "other@snapshot";
  volume.labels = {{"team", "web"}};
  SnapshotRow snapshot;
  snapshot.node = NodeId{1};
  snapshot.volume = VolumeId{1};
  snapshot.name = "nightly";
  snapshot.labels = {{"varve.taken", "live"}};
  DeletionRow deletion;
  deletion.id = DeletionId{1};
  deletion.root = test_ptr("root", 6);
  deletion.compare = test_ptr("child", 8);
  deletion.child = NodeId{3};
  deletion.cursor = DeletionCursor{1, {Ino{4}, Kind::kRegion, 2}, 1};
  return {chosen(0, encode_root(test_ptr("catalog", 1))),
          chosen(1, encode_row(CountersRow{4, 5, 6, 7})),
          chosen(2, encode_row(FamilyRow{FamilyId{1}, 9, 0})),
          chosen(3, encode_row(node)),
          chosen(4, encode_row(volume)),
          chosen(5, encode_row(snapshot)),
          chosen(6, encode_row(deletion))};
}

}  // namespace varve::fuzz
