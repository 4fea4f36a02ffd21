// Other backgrounds and how far alphas cover what they should, pixel by pixel; once per instruction set.
#include "supervision_rows.h"

#include "simd.h"

namespace gaussavatar {
namespace GA_ISA {
namespace {

void recolor(const Recolored& images, int64_t begin, int64_t end) {
  const float *frame = images.frame, *under = images.under, *head = images.head;
  float *frame_out = images.frame_out, *under_out = images.under_out;
  const float red = images.color[0], green = images.color[1], blue = images.color[2];
  for (int64_t i = begin; i < end; ++i) {
    const float through = 1.0f - head[i];
    const int64_t at = 3 * i;
    frame_out[at] = frame[at] + through * (red - under[at]);
    frame_out[at + 1] = frame[at + 1] + through * (green - under[at + 1]);
    frame_out[at + 2] = frame[at + 2] + through * (blue - under[at + 2]);
    under_out[at] = red, under_out[at + 1] = green, under_out[at + 2] = blue;
  }
}

GA_INLINE Vec wanted(Vec head, Vec inside) { return head - head * inside; }

// Sums of short stretches are exact enough in float; those of stretches are added in double.
constexpr int64_t kStretch = 64 * kLanes;

GA_INLINE double total(Vec sum) {
  float lanes[kLanes];
  store(lanes, sum);
  double all = 0;
  for (const float lane : lanes) all += lane;
  return all;
}

void sums(const Coverage& images, int64_t begin, int64_t end, double* sums) {
  double outside = 0, bare = 0;
  int64_t i = begin;
  while (i + kLanes <= end) {
    const int64_t stop = end - i < kStretch ? end - kLanes : i + kStretch - kLanes;
    Vec off(0.0f), open(0.0f);
    for (; i <= stop; i += kLanes) {
      const Vec inside = load(images.inside + i);
      off = off + absolute(load(images.face + i) - wanted(load(images.head + i), inside));
      open = open + (Vec(1.0f) - load(images.mouth + i)) * inside;
    }
    outside += total(off), bare += total(open);
  }
  for (; i < end; ++i) {
    const float error = images.face[i] - (images.head[i] - images.head[i] * images.inside[i]);
    outside += error < 0 ? -error : error;
    bare += (1.0f - images.mouth[i]) * images.inside[i];
  }
  sums[0] = outside, sums[1] = bare;
}

void backward(const Coverage& images, const float* v, int64_t begin, int64_t end, float* v_face, float* v_mouth) {
  for (int64_t i = begin; i < end; ++i) {
    const float error = images.face[i] - (images.head[i] - images.head[i] * images.inside[i]);
    v_face[i] = error > 0 ? v[0] : error < 0 ? -v[0] : 0.0f;
    v_mouth[i] = -v[1] * images.inside[i];
  }
}

}  // namespace

extern const SupervisionKernels supervision_kernels;
const SupervisionKernels supervision_kernels = {recolor, sums, backward};

}  // namespace GA_ISA
}  // namespace gaussavatar
