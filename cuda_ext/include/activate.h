// Raw Gaussian parameters plus motion to activated ones, and back; mirrors gaussavatar/native/abi.py.
#pragma once

#include <stdint.h>

#include "native_api.h"

extern "C" {

// The first `moving` of `count` Gaussians move. motion is [batch][moving][width]; offset[c] is where channel c
// (position, rotation, scale, color, opacity) starts in it, or -1; unit[c] scales it.
typedef struct {
  const float *means, *quats, *log_scales, *logits, *colors;  // [count][3|4|3|1|3]
  const float* motion;                                        // may be null when moving is 0
  int32_t batch, count, moving, width;
  int32_t offset[5];
  float unit[5];
} GaRaw;

typedef struct {
  float *means, *quats, *scales, *opacities, *colors;  // [batch][count][...]
} GaActivated;

GA_EXPORT int ga_activate(const GaRaw* raw, const GaActivated* out);
// grad holds the gradients of the activated values; raw_grad receives their sum over the batch, motion_grad
// [batch][moving][width] the motion's. values are what ga_activate gave.
GA_EXPORT int ga_activate_backward(const GaRaw* raw, const GaActivated* values, const GaActivated* grad,
                                   const GaActivated* raw_grad, float* motion_grad);
}
