// Motion that is linear in a few weights, and the Gaussians that it activates, on a CUDA device; gaussavatar/native/abi.py
// mirrors it. Pointers are to the device's memory; calls return when the work is in the stream, not when it is done.
#pragma once

#include <stdint.h>

#include "activate.h"

// Partial sums of a weight's gradient, which are added up in their order: the same on every run.
#define GA_BLEND_PARTS 256

extern "C" {

// weights [batch][shapes], basis [shapes][moving][width].
typedef struct {
  const float *weights, *basis;
  int32_t shapes;
} GaBlend;

// Whether kernels of this build run on the device: GA_NOT_AVAILABLE where they do not, or the driver is too old.
GA_EXPORT int ga_cuda_usable(int32_t device);

// raw->motion is not read. motion [batch][moving][width] receives weights @ basis.
GA_EXPORT int ga_cuda_blendshapes(const GaRaw* raw, const GaBlend* blend, const GaActivated* out, float* motion,
                                  int32_t device, void* stream);

// raw->motion and values are what the forward call gave, grad and motion_grad_in the gradients of both (the latter may
// be null). raw_grad receives the sum over the batch, basis_grad and weights_grad are shaped as basis and weights.
// Scratch: motion_grad [batch][moving][width], partials [batch][shapes][GA_BLEND_PARTS].
GA_EXPORT int ga_cuda_blendshapes_backward(const GaRaw* raw, const GaBlend* blend, const GaActivated* values,
                                           const GaActivated* grad, const float* motion_grad_in,
                                           const GaActivated* raw_grad, float* motion_grad, float* basis_grad,
                                           float* weights_grad, float* partials, int32_t device, void* stream);
}
