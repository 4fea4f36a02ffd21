// Rows of packed pictures, and the table of the kernels that make and read them.
#pragma once

#include <cstdint>

#include "dispatch.h"

namespace gaussavatar {

// What is left of a channel's bytes, and the number of the group that comes next.
struct Packed {
  const uint8_t *codes, *from, *end;
  int64_t number;
};

// Rows of a channel are padded to whole groups: `width` is a multiple of 64.
struct PackingKernels {
  // Of one row of a picture, a channel less its base (the channel itself: none), without padding.
  void (*take)(const uint8_t* row, int pixels, int channels, int channel, int base, uint8_t* out);
  // A picture's row from those of its channels, of three the outer ones less the middle one.
  void (*weave)(const uint8_t* const* rows, int pixels, int channels, uint8_t* out);
  // What prediction leaves of a row, as numbers from zero on; room for width + 1 differences.
  void (*left_over)(const uint8_t* row, const uint8_t* above, int64_t width, uint8_t* differences, uint8_t* numbers);
  // The next row; `other` is that of the picture beside, or null. False where the bytes are not those of a row.
  bool (*next)(Packed& packed, const uint8_t* above, const uint8_t* other, int64_t width, uint8_t* out);
};

GA_DISPATCH(PackingKernels, packing_kernels)

}  // namespace gaussavatar
