// Steps of an optimiser on the CPU, plain C interface.
#pragma once

#include <cstdint>

#include "native_api.h"

extern "C" {

// What of Adam's step is the same for all numbers: see gaussavatar/native/descent.py.
typedef struct {
  double step_size;    // learning rate over the correction of the mean
  double root_scale;   // one over the root of the correction of the square
  double keep_mean, keep_square, epsilon;
} GaAdam;

// One step of Adam, in place, along the gradient sum over r of rows[r][i] columns[r][j] of a matrix [height][width]:
// rows is [rank][height], columns [rank][width]; mean and square, as large as the matrix, are the moments.
GA_EXPORT int ga_outer_adam(const float* rows, const float* columns, int32_t rank, int32_t height, int64_t width,
                            const GaAdam* adam, float* matrix, float* mean, float* square);
}
