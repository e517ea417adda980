// SPDX-License-Identifier: Apache-2.0
#include "store/codec.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include "store/base/error.h"
#include "store/objects.h"

namespace varve {

namespace {

constexpr std::size_t kSampleSlices = 4;
constexpr std::size_t kSliceBytes = 1024;
/// Shorter contents cost less to compress than a wrong guess about them.
constexpr std::size_t kSampleFromBytes = 8 * kSampleSlices * kSliceBytes / 2;

ZSTD_CCtx* compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                                  &ZSTD_freeCCtx);
  if (!context) throw StoreError(ENOMEM, "zstd: no compression context");
  return context.get();
}

ZSTD_DCtx* decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                                  &ZSTD_freeDCtx);
  if (!context) throw StoreError(ENOMEM, "zstd: no decompression context");
  return context.get();
}

/// The most that a payload may take: less than an eighth saved is not worth decoding.
std::size_t most_bytes(std::size_t content_bytes) { return content_bytes - content_bytes / 8 - 1; }

/// True if slices from all over the content are worth compressing.
bool sample_pays(ByteView content, int level) {
  const std::size_t slice = std::max(kSliceBytes, content.size() / (8 * kSampleSlices));
  const std::size_t step = (content.size() - slice) / (kSampleSlices - 1);
  thread_local Bytes sample;
  thread_local Bytes compressed;
  sample.clear();
  for (std::size_t at = 0; sample.size() < kSampleSlices * slice; at += step) {
    const ByteView part = content.subspan(at, slice);
    sample.insert(sample.end(), part.begin(), part.end());
  }
  compressed.resize(most_bytes(sample.size()));
  const std::size_t size = ZSTD_compressCCtx(compressor(), compressed.data(), compressed.size(),
                                             sample.data(), sample.size(), level);
  return ZSTD_isError(size) == 0;
}

bool try_zstd(ByteView content, int level, Bytes& out) {
  // What was tried last did not become smaller: the same file's next content may not either.
  thread_local bool in_vain = false;
  if (in_vain && content.size() >= kSampleFromBytes && !sample_pays(content, level)) return false;
  const std::size_t start = out.size();
  const std::size_t limit = most_bytes(content.size());
  out.resize(start + limit);
  const std::size_t size = ZSTD_compressCCtx(compressor(), out.data() + start, limit,
                                             content.data(), content.size(), level);
  // An error here is "does not fit into the limit": not worth it.
  const bool fits = ZSTD_isError(size) == 0;
  out.resize(fits ? start + size : start);
  in_vain = !fits;
  return fits;
}

}  // namespace

bool looks_incompressible(ByteView content) {
  if (content.size() < kSampleFromBytes) return false;
  std::array<std::uint32_t, 256> histogram{};
  const std::size_t step = (content.size() - kSliceBytes) / (kSampleSlices - 1);
  for (std::size_t slice = 0; slice < kSampleSlices; ++slice) {
    for (const std::byte byte : content.subspan(slice * step, kSliceBytes)) {
      ++histogram[static_cast<std::size_t>(byte)];
    }
  }
  // n random bytes give n²/256 + n pairs of equal ones. Below twice as many, the frequencies of the
  // bytes have an entropy of 7 bits and more: they alone save less than the eighth that is wanted.
  std::uint64_t pairs = 0;
  for (const std::uint64_t count : histogram) pairs += count * count;
  constexpr std::uint64_t kSamples = kSampleSlices * kSliceBytes;
  constexpr std::uint64_t kRandomPairs = kSamples * kSamples / 256 + kSamples;
  return pairs < 2 * kRandomPairs;
}

Codec encode_payload(ByteView content, int level, Bytes& out) {
  constexpr std::size_t kWorthTrying = 64;
  if (level != 0 && content.size() >= kWorthTrying && !looks_incompressible(content) &&
      try_zstd(content, level, out)) {
    return Codec::kZstd;
  }
  out.insert(out.end(), content.begin(), content.end());
  return Codec::kRaw;
}

Bytes decode_payload(Codec codec, ByteView payload, std::size_t data_bytes) {
  if (data_bytes == 0 || data_bytes > kMaxObjectBytes) {
    throw CorruptionError("payload: impossible content size " + std::to_string(data_bytes));
  }
  if (codec == Codec::kRaw) {
    if (payload.size() != data_bytes) throw CorruptionError("payload: sizes disagree");
    return Bytes(payload.begin(), payload.end());
  }
  if (codec != Codec::kZstd) {
    throw CorruptionError("payload: unknown codec " + std::to_string(static_cast<int>(codec)));
  }
  Bytes content(data_bytes);
  const std::size_t size = ZSTD_decompressDCtx(decompressor(), content.data(), content.size(),
                                               payload.data(), payload.size());
  if (ZSTD_isError(size) != 0) {
    throw CorruptionError(std::string("payload: zstd: ") + ZSTD_getErrorName(size));
  }
  if (size != data_bytes) throw CorruptionError("payload: sizes disagree");
  return content;
}

}  // namespace varve
