// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one place that chooses libfuse's API. 3.12 is what Debian 12's 3.14 and our own 3.18 both
// offer; newer calls are used under #if FUSE_VERSION.
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
