// SPDX-License-Identifier: Apache-2.0
#include "snapshot/ownership.h"

namespace varve {

const OwnershipRules& OwnershipRules::standard() {
  static const OwnershipRules rules;
  return rules;
}

}  // namespace varve
