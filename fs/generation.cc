// SPDX-License-Identifier: Apache-2.0
#include "fs/generation.h"

#include <utility>

#include "fs/commit_builder.h"
#include "snapshot/tree_edit.h"
#include "store/base/error.h"

namespace varve {
namespace {

EditContext context_of(Catalog::Change& change, NodeId head, Txg txg) {
  EditContext out;
  out.txg = txg;
  out.parent_txg = change.parent_txg(head);
  return out;
}

void stage_snapshot(Catalog::Change& change, Catalog& catalog, const SnapshotCut& cut) {
  if (catalog.snapshot(cut.volume, cut.name)) return;
  SnapshotRow row = change.create_snapshot(cut.volume, cut.name, cut.created_ns);
  if (cut.labels.empty()) return;
  row.labels = cut.labels;
  change.update_snapshot(row);
}

}  // namespace

void stage_generation(Catalog::Change& change, Catalog& catalog, Store& store, NodeCache& cache,
                      const Generation& generation, std::size_t threads) {
  VolumeRow row = change.volume(generation.volume).value();
  const std::optional<Ptr>& before = generation.base->tree.root();
  VARVE_CHECK(change.node(row.head).root == before);
  const Txg txg = change.next_txg(row.head);
  const std::vector<Change> changes =
      CommitBuilder({*generation.overlay, generation.base->tree, store.objects(), change.batch(),
                     txg, threads, profile_of(row.labels)})
          .build();
  const std::optional<Ptr> root =
      edit_tree(cache, change.batch(), before, changes, context_of(change, row.head, txg));
  if (root != before) change.set_root(row.head, root);
  row.committed_lsn = generation.cut_lsn;
  change.update_volume(row);
  if (generation.cut) stage_snapshot(change, catalog, *generation.cut);
}

std::shared_ptr<const Base> pinned_base(Store& store, NodeCache& cache,
                                        const std::optional<Ptr>& root) {
  return std::make_shared<const Base>(Base{Tree(cache, root), store.pin()});
}

void edit_head_info(Catalog::Change& change, NodeCache& cache, NodeId head,
                    const std::function<void(HeadInfoRecord&)>& edit) {
  const std::optional<Ptr> before = change.node(head).root;
  HeadInfoRecord info = head_info_of(cache, before);
  edit(info);
  const std::vector<Change> changes{{kHeadInfoKey, info.encode()}};
  const Txg txg = change.next_txg(head);
  const std::optional<Ptr> root =
      edit_tree(cache, change.batch(), before, changes, context_of(change, head, txg));
  if (root != before) change.set_root(head, root);
}

HeadInfoRecord head_info_of(NodeCache& cache, const std::optional<Ptr>& root) {
  const std::optional<Bytes> bytes = Tree(cache, root).find(kHeadInfoKey, Wait::kAllowed);
  return bytes ? HeadInfoRecord::decode(*bytes) : HeadInfoRecord{};
}

}  // namespace varve
