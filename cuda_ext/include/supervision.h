// What pictures of a head are compared with, plain C interface. gaussavatar/native/supervision.py has the formulae.
#pragma once

#include <cstdint>

#include "native_api.h"

extern "C" {

// Images are [batch][pixels][3], head and inside [batch][pixels], colors [batch][3]. Where chosen[b] is not zero, frame b
// and what is under its head have another colour behind it; the others are copied.
GA_EXPORT int ga_other_background(const float* frames, const float* under, const float* head, const uint8_t* chosen,
                                  const float* colors, int32_t batch, int64_t pixels, float* frames_out,
                                  float* under_out);

// sums[0]: of |face - head (1 - inside)|, sums[1]: of (1 - mouth) inside, over [pixels].
GA_EXPORT int ga_coverage(const float* face, const float* mouth, const float* head, const float* inside, int64_t pixels,
                          double* sums);
// The gradients of v[0] sums[0] + v[1] sums[1] for face and mouth.
GA_EXPORT int ga_coverage_backward(const float* face, const float* head, const float* inside, int64_t pixels,
                                   const float* v, float* v_face, float* v_mouth);
}
