// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "store/base/bytes.h"

namespace varve {

/// How a record's payload is made from its content; a byte of the format.
enum class Codec : std::uint8_t { kRaw = 0, kZstd = 1 };

/// True if a sample of `content` looks random, so that compressing it would waste time: bytes that
/// are spread evenly. Repetitions over a distance are not noticed.
bool looks_incompressible(ByteView content);

/// Appends the payload of `content` to `out` and says how it was made: compressed with zstd at
/// `level` (0: never) if that saves at least an eighth part: less is not worth decoding. After
/// a content for which it did not, a sample of the next one decides whether it is tried.
/// Thread-safe; one zstd context a thread.
Codec encode_payload(ByteView content, int level, Bytes& out);

/// The content of exactly `data_bytes` (1 ..= kMaxObjectBytes) that `payload` holds. Trusts
/// nothing: throws CorruptionError for an unknown codec, a wrong size, or bytes that zstd refuses.
Bytes decode_payload(Codec codec, ByteView payload, std::size_t data_bytes);

}  // namespace varve
