// Adam along a sum of outer products, once per instruction set. The gradient is never written: a step moves six floats
// per number of the matrix, and the factors stay in the cache.
#include "descent_rows.h"
#include "simd.h"

namespace gaussavatar {
namespace GA_ISA {
namespace {

struct Constants {
  float step_size, root_scale, keep_mean, take_mean, keep_square, take_square, epsilon;
};

// The gradient of kLanes columns from `at` on, in row `row`.
GA_INLINE Vec gradient(const DescentPiece& piece, int row, int64_t at) {
  Vec sum(0.0f);
  for (int r = 0; r < piece.rank; ++r)
    sum = fma(Vec(piece.rows[static_cast<int64_t>(r) * piece.height + row]), load(piece.columns + r * piece.width + at), sum);
  return sum;
}

GA_INLINE void step(Vec gradient, const Constants& c, float* value, float* mean, float* square) {
  const Vec m = fma(Vec(c.keep_mean), load(mean), Vec(c.take_mean) * gradient);
  const Vec v = fma(Vec(c.keep_square), load(square), Vec(c.take_square) * gradient * gradient);
  store(mean, m);
  store(square, v);
  const Vec root = fma(square_root(v), Vec(c.root_scale), Vec(c.epsilon));
  store(value, negated_fma(Vec(c.step_size), m / root, load(value)));
}

// The last columns, fewer than a vector has lanes.
void rest(const DescentPiece& piece, int row, int64_t at, const Constants& c) {
  float columns[kLanes] = {}, value[kLanes] = {}, mean[kLanes] = {}, square[kLanes] = {};
  const int64_t from = static_cast<int64_t>(row) * piece.width + at;
  const int count = static_cast<int>(piece.end - at);
  for (int i = 0; i < count; ++i)
    value[i] = piece.matrix[from + i], mean[i] = piece.mean[from + i], square[i] = piece.square[from + i];
  Vec sum(0.0f);
  for (int r = 0; r < piece.rank; ++r) {
    for (int i = 0; i < count; ++i) columns[i] = piece.columns[r * piece.width + at + i];
    sum = fma(Vec(piece.rows[static_cast<int64_t>(r) * piece.height + row]), load(columns), sum);
  }
  step(sum, c, value, mean, square);
  for (int i = 0; i < count; ++i)
    piece.matrix[from + i] = value[i], piece.mean[from + i] = mean[i], piece.square[from + i] = square[i];
}

void outer_adam(const DescentPiece& piece, const GaAdam& adam) {
  const Constants c = {
      static_cast<float>(adam.step_size),       static_cast<float>(adam.root_scale),
      static_cast<float>(adam.keep_mean),       static_cast<float>(1 - adam.keep_mean),
      static_cast<float>(adam.keep_square),     static_cast<float>(1 - adam.keep_square),
      static_cast<float>(adam.epsilon),
  };
  for (int row = 0; row < piece.height; ++row) {
    const int64_t from = static_cast<int64_t>(row) * piece.width;
    int64_t at = piece.begin;
    for (; at + kLanes <= piece.end; at += kLanes)
      step(gradient(piece, row, at), c, piece.matrix + from + at, piece.mean + from + at, piece.square + from + at);
    if (at < piece.end) rest(piece, row, at, c);
  }
}

}  // namespace

extern const DescentKernels descent_kernels;
const DescentKernels descent_kernels = {outer_adam};

}  // namespace GA_ISA
}  // namespace gaussavatar
