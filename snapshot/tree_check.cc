// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree_check.h"

#include "snapshot/node.h"
#include "snapshot/record.h"
#include "store/base/error.h"

namespace varve {
namespace {

void decode_record(Kind kind, ByteView value) {
  switch (kind) {
    case Kind::kHeadInfo:
      HeadInfoRecord::decode(value);
      return;
    case Kind::kOrphan:
      if (!value.empty()) throw CorruptionError("an orphan record with content");
      return;
    case Kind::kInode:
      InodeRecord::decode(value);
      return;
    case Kind::kXattr:
      XattrRecord::decode(value);
      return;
    case Kind::kDirent:
      DirentRecord::decode(value);
      return;
    case Kind::kRegion:
      RegionRecord::decode(value);
      return;
    case Kind::kLinkref:
      LinkrefRecord::decode(value);
      return;
  }
  throw CorruptionError("a record of unknown kind");
}

}  // namespace

void TreeForm::check(const std::optional<Ptr>& root, const TreeProblem& problem) {
  if (!root || sound_.contains(root->digest)) return;
  std::shared_ptr<const Node> node;
  try {
    node = cache_.read(root->digest, Wait::kAllowed);
  } catch (const CorruptionError& error) {
    problem(kHeadIno, std::string("the root cannot be read: ") + error.what());
    return;
  }
  check_node(*root, *node, problem);
}

bool TreeForm::check_node(const Ptr& ptr, const Node& node, const TreeProblem& problem) {
  if (sound_.contains(ptr.digest)) return true;
  bool sound = true;
  if (node.is_leaf()) {
    sound = check_leaf(ptr, node, problem);
  } else {
    for (std::size_t i = 0; i < node.count(); ++i) {
      const Ptr& child = node.child(i);
      try {
        if (child.birth > ptr.birth) throw CorruptionError("it is younger than its parent");
        const std::shared_ptr<const Node> below = cache_.read(child.digest, Wait::kAllowed);
        check_child(node, i, *below);
        sound = check_node(child, *below, problem) && sound;
      } catch (const CorruptionError& error) {
        problem(node.key(i).ino, std::string("a node cannot be used: ") + error.what());
        sound = false;
      }
    }
  }
  if (sound) sound_.insert(ptr.digest);
  return sound;
}

bool TreeForm::check_leaf(const Ptr& ptr, const Node& leaf, const TreeProblem& problem) {
  bool sound = true;
  for (std::size_t i = 0; i < leaf.count(); ++i) {
    const Key& key = leaf.key(i);
    try {
      decode_record(key.kind, leaf.value(i));
      if (!may_hold_pointers(key.kind)) continue;
      visit_pointers(key.kind, leaf.value(i), [&](const Ptr& data) {
        if (data.birth > ptr.birth) throw CorruptionError("a pointer is younger than its node");
      });
    } catch (const CorruptionError& error) {
      problem(key.ino, std::string("a record cannot be used: ") + error.what());
      sound = false;
    }
  }
  return sound;
}

}  // namespace varve
