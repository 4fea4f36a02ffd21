// The table of the vectorised kernels behind include/supervision.h.
#pragma once

#include <cstdint>

#include "dispatch.h"

namespace gaussavatar {

// Pixels [begin, end) of one frame.
struct Recolored {
  const float *frame, *under, *head, *color;
  float *frame_out, *under_out;
};

struct Coverage {
  const float *face, *mouth, *head, *inside;
};

struct SupervisionKernels {
  void (*recolor)(const Recolored& images, int64_t begin, int64_t end);
  void (*sums)(const Coverage& images, int64_t begin, int64_t end, double* sums);
  void (*backward)(const Coverage& images, const float* v, int64_t begin, int64_t end, float* v_face, float* v_mouth);
};

GA_DISPATCH(SupervisionKernels, supervision_kernels)

}  // namespace gaussavatar
