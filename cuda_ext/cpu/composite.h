// Layers over each other, pixel by pixel, and the table of their vectorised kernels.
#pragma once

#include <cstdint>

#include "dispatch.h"

namespace gaussavatar {

// Images are [pixels][3], alphas [pixels]; premultiplied.
struct Layers {
  const float *face, *face_alpha, *mouth, *mouth_alpha, *under;
};

struct LayerGradients {
  float *face_alpha, *mouth, *mouth_alpha, *under;  // under may be null
};

struct CompositeKernels {
  void (*forward)(const Layers& layers, int64_t begin, int64_t end, float* image);
  void (*backward)(const Layers& layers, const float* v_image, int64_t begin, int64_t end, const LayerGradients& out);
};

GA_DISPATCH(CompositeKernels, composite_kernels)

}  // namespace gaussavatar
