// SPDX-License-Identifier: Apache-2.0
#include "store/base/about_to_wait.h"

namespace varve {
namespace {

thread_local WaitListener* listener_of_thread = nullptr;

}  // namespace

void listen_to_waits(WaitListener* listener) noexcept { listener_of_thread = listener; }

bool about_to_wait() noexcept {
  return listener_of_thread != nullptr && listener_of_thread->about_to_wait();
}

}  // namespace varve
