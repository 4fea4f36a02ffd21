// Image losses of one band of rows, and the table of their vectorised kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dispatch.h"

namespace gaussavatar {

constexpr int kRowPadding = 32;  // zero floats around a row, so that a window never leaves its buffer
constexpr int kRing = 16;        // rows kept of every intermediate image

// Rows [y0, y1) of one frame. Images are [height][width][3], weight is [height][width].
struct LossBand {
  const float *pred, *target, *weight;
  int width, height, y0, y1;
  float l1_scale, ssim_scale;  // what a unit of weight times |pred - target|, or times 1 - SSIM, of one channel adds
  float* gradient;             // dloss/dpred, or null
  float* map;                  // the SSIM itself, or null
};

// Floats of scratch memory that a band of this width needs.
inline size_t loss_scratch(int width) {
  const size_t row = static_cast<size_t>(3 * width + 15) / 16 * 16 + 2 * kRowPadding;
  return row * (kRing * 7 + 4 * 4 + 4 + 4);
}

struct LossKernels {
  double (*sum)(const float* values, int64_t count);
  // Returns the band's loss.
  double (*photometric)(const LossBand& band, float* scratch);
};

GA_DISPATCH(LossKernels, loss_kernels)

}  // namespace gaussavatar
