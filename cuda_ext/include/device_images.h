// Image losses and layers on a CUDA device; gaussavatar/native/abi.py mirrors it. Pointers are to the device's memory;
// calls return when the work is in the stream, not when it is done, and allocate nothing. What the results are:
// ga_photometric, ga_ssim and ga_composite_* in native_api.h.
#pragma once

#include <stdint.h>

#include "native_api.h"

// Rows of an image that a thread of a vertical pass takes: it reads GA_LOSS_ROWS + 10 of them.
#define GA_LOSS_ROWS 4

extern "C" {

// Images [batch][height][width][3], of at most INT32_MAX numbers, and weight [batch][height][width]. partials [2][parts]
// with parts = batch * ceil(height / GA_LOSS_ROWS) * 3 width receives what adds up to the errors and to the weights, each
// over the three channels. means [batch][height][width][3][4] is scratch, aligned to 16 bytes; null leaves SSIM out.
// derivatives [3][batch][height][width][3] receives what the backward call needs of SSIM; null: no gradient is wanted.
GA_EXPORT int ga_cuda_photometric(const float* pred, const float* target, const float* weight, int32_t batch,
                                  int32_t height, int32_t width, float dssim_weight, float* means, float* derivatives,
                                  float* partials, int32_t device, void* stream);

// sums [2] of the partials give the loss.
GA_EXPORT int ga_cuda_photometric_loss(const float* sums, float* loss, int32_t device, void* stream);

// gradient = v_loss dloss/dpred. scratch is shaped as derivatives; both null leave SSIM out.
GA_EXPORT int ga_cuda_photometric_backward(const float* pred, const float* target, const float* weight, int32_t batch,
                                           int32_t height, int32_t width, const float* derivatives, const float* sums,
                                           const float* v_loss, float* scratch, float* gradient, int32_t device,
                                           void* stream);

GA_EXPORT int ga_cuda_ssim(const float* pred, const float* target, int32_t batch, int32_t height, int32_t width,
                           float* means, float* map, int32_t device, void* stream);

GA_EXPORT int ga_cuda_composite(const float* face, const float* face_alpha, const float* mouth,
                                const float* mouth_alpha, const float* under, int64_t pixels, float* image,
                                int32_t device, void* stream);
GA_EXPORT int ga_cuda_composite_backward(const float* v_image, const float* face_alpha, const float* mouth,
                                         const float* mouth_alpha, const float* under, int64_t pixels,
                                         float* v_face_alpha, float* v_mouth, float* v_mouth_alpha, float* v_under,
                                         int32_t device, void* stream);
}
