// Lossless packing of pictures of bytes, plain C interface. gaussavatar/native/packing.py has the format in words, and
// its twin.
#pragma once

#include <cstdint>

#include "native_api.h"

namespace gaussavatar {

constexpr int kBlock = 16;             // samples that share a width
constexpr int kGroup = 4;              // blocks that share a code
constexpr int kSameBlock = 9;          // in place of a width: the samples of the picture beside
enum GroupCode { kStill, kMixed, kSameGroup };

}  // namespace gaussavatar

extern "C" {

// Packs image [height][width][channels]; beside, of the same shape or null, is what it may say "the same" of. packed has
// room for `room` bytes, and *size receives how many were used. GA_BAD_ARGUMENT: room for less than the worst case,
// which is channels * (4 + ceil(groups / 4) + 66 * groups) + 8, groups = height * ceil(width / 64).
GA_EXPORT int ga_pack(const uint8_t* image, const uint8_t* beside, int32_t height, int32_t width, int32_t channels,
                      int64_t room, uint8_t* packed, int64_t* size);

// The image that was packed into size bytes; of channel `only` alone, [height][width], where that is not below zero.
// GA_BAD_ARGUMENT: the bytes are not of such a picture. Nothing is read or written beyond what was given.
GA_EXPORT int ga_unpack(const uint8_t* packed, int64_t size, const uint8_t* beside, int32_t height, int32_t width,
                        int32_t channels, int32_t only, uint8_t* image);
}
