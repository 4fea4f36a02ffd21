// Takes steps of an optimiser in pieces of columns whose factors fit the cache: see descent.h.
#include "../include/descent.h"

#include "descent_rows.h"
#include "status.h"
#include "threads.h"

namespace {

constexpr int64_t kColumns = 2048;

}  // namespace

int ga_outer_adam(const float* rows, const float* columns, int32_t rank, int32_t height, int64_t width,
                  const GaAdam* adam, float* matrix, float* mean, float* square) {
  using namespace gaussavatar;
  if (rank < 0 || height < 0 || width < 0) return GA_BAD_ARGUMENT;
  return guarded([&] {
    const DescentKernels& kernels = current_descent_kernels();
    parallel_pieces(width, kColumns, [&](int64_t begin, int64_t end) {
      kernels.outer_adam({rows, columns, matrix, mean, square, rank, height, width, begin, end}, *adam);
    });
  });
}
