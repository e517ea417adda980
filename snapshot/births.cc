// SPDX-License-Identifier: Apache-2.0
#include "snapshot/births.h"

#include <string>

#include "snapshot/record.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

class BirthVisitor {
 public:
  BirthVisitor(NodeCache& cache, Txg lo, const std::function<void(const Ptr&)>& visit)
      : cache_(cache), lo_(lo), visit_(visit) {}

  void visit_node(const Ptr& ptr) {
    if (ptr.birth <= lo_) return;
    visit_(ptr);
    if (const std::shared_ptr<const Node> node = read(ptr)) visit_entries(*node);
  }

 private:
  std::shared_ptr<const Node> read(const Ptr& ptr) {
    try {
      return cache_.read(ptr.digest, Wait::kAllowed);
    } catch (const CorruptionError& error) {
      log_error("catalog",
                std::string("recount leaves out what is below a damaged node: ") + error.what());
      return nullptr;
    }
  }

  void visit_entries(const Node& node) {
    for (std::size_t i = 0; i < node.count(); ++i) {
      if (!node.is_leaf()) {
        visit_node(node.child(i));
      } else if (may_hold_pointers(node.key(i).kind)) {
        visit_pointers(node.key(i).kind, node.value(i), [&](const Ptr& ptr) {
          if (ptr.birth > lo_) visit_(ptr);
        });
      }
    }
  }

  NodeCache& cache_;
  const Txg lo_;
  const std::function<void(const Ptr&)>& visit_;
};

}  // namespace

void visit_births(NodeCache& cache, const std::optional<Ptr>& root, Txg lo,
                  const std::function<void(const Ptr&)>& visit) {
  if (root) BirthVisitor(cache, lo, visit).visit_node(*root);
}

}  // namespace varve
