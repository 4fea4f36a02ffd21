// Pieces of a matrix that takes a step, and the table of the kernels that take it.
#pragma once

#include <cstdint>

#include "../include/descent.h"
#include "dispatch.h"

namespace gaussavatar {

// Columns [begin, end) of all rows of a matrix and of its gradient's factors.
struct DescentPiece {
  const float *rows, *columns;
  float *matrix, *mean, *square;
  int rank, height;
  int64_t width, begin, end;
};

struct DescentKernels {
  void (*outer_adam)(const DescentPiece& piece, const GaAdam& adam);
};

GA_DISPATCH(DescentKernels, descent_kernels)

}  // namespace gaussavatar
