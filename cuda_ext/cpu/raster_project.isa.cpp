// Projection of all Gaussians and its backward pass, kLanes at a time; compiled once per instruction set.
#include "raster_frame.h"
#include "simd.h"

namespace gaussavatar {
namespace GA_ISA {
namespace {

GA_INLINE void load_padded(const float* source, int width, int first, int valid, Vec* out) {
  if (valid == kLanes) {
    for (int j = 0; j < width; ++j) out[j] = load_strided(source + static_cast<size_t>(first) * width + j, width);
    return;
  }
  for (int j = 0; j < width; ++j) {
    float lanes[kLanes];
    for (int i = 0; i < kLanes; ++i)
      lanes[i] = source[static_cast<size_t>(first + (i < valid ? i : valid - 1)) * width + j];
    out[j] = load(lanes);
  }
}

GA_INLINE void store_padded(float* target, int width, int first, int valid, const Vec* values) {
  for (int j = 0; j < width; ++j) {
    float lanes[kLanes];
    store(lanes, values[j]);
    for (int i = 0; i < valid; ++i) target[static_cast<size_t>(first + i) * width + j] = lanes[i];
  }
}

GA_INLINE void load_gaussians(const Frame& frame, int first, int valid, Gaussian3<Vec>& g) {
  load_padded(frame.means, 3, first, valid, g.mean);
  load_padded(frame.quats, 4, first, valid, g.quat);
  load_padded(frame.scales, 3, first, valid, g.scale);
  load_padded(frame.opacities, 1, first, valid, &g.opacity);
}

GA_INLINE Mask drawable(const Gaussian3<Vec>& g, Vec depth) {
  // x * 0 is 0 for finite x only, and comparisons with NaN are false.
  Vec all = g.opacity * Vec(0.0f), squared = Vec(0.0f);
  for (int j = 0; j < 3; ++j) all = fma(g.mean[j], Vec(0.0f), fma(g.scale[j], Vec(0.0f), all));
  for (int j = 0; j < 4; ++j) all = fma(g.quat[j], Vec(0.0f), all), squared = fma(g.quat[j], g.quat[j], squared);
  Mask ok = both(greater_equal(all, Vec(0.0f)), greater_equal(squared, Vec(1e-30f)));
  ok = both(ok, both(greater_equal(depth, Vec(kNear)), greater_equal(Vec(kFar), depth)));
  return both(ok, greater_equal(g.opacity, Vec(kMinAlpha)));
}

void project(Frame& frame, int begin, int end) {
  const Vec limit_x = Vec(static_cast<float>(frame.width)), limit_y = Vec(static_cast<float>(frame.height));
  for (int first = begin; first < end; first += kLanes) {
    const int valid = end - first < kLanes ? end - first : kLanes;
    Gaussian3<Vec> g;
    load_gaussians(frame, first, valid, g);
    Vec color[3];
    load_padded(frame.colors, 3, first, valid, color);
    Projection<Vec> p;
    project_forward(g, frame.camera, p);
    Mask shown = drawable(g, p.depth);
    // The ellipse where alpha >= 1/255: d^T C d <= 2 ln(255 opacity); quantities below are in units of log2.
    const Vec log_opacity = log_2(max(g.opacity, Vec(kMinAlpha)));
    const Vec level = max(log_opacity - Vec(kLog2MinAlpha), Vec(0.0f));
    const Vec half = Vec(0.5f * kLog2e);
    const Vec a = p.a * half, b = p.b * half, c = p.c * half;
    const Vec wide = square_root(level * p.xx * Vec(2.0f / kLog2e)) + Vec(0.01f);
    const Vec tall = square_root(level * p.yy * Vec(2.0f / kLog2e)) + Vec(0.01f);
    // The test for touched blocks takes rough square roots, so its level lies a hair lower.
    const Vec inverse_a = Vec(1.0f) / a, reach = fma(level, Vec(1.002f), Vec(1e-4f)) * inverse_a;

    const Vec narrowing = (a * c - b * b) * inverse_a * inverse_a;
    const Vec zero = Vec(0.0f);
    const Vec left = p.x - wide - Vec(0.5f), right = p.x + wide - Vec(0.5f);
    const Vec top = p.y - tall - Vec(0.5f), bottom = p.y + tall - Vec(0.5f);
    shown = both(shown, both(greater_equal(right, zero), greater(limit_x - Vec(1.0f) + Vec(1e-3f), left)));
    shown = both(shown, both(greater_equal(bottom, zero), greater(limit_y - Vec(1.0f) + Vec(1e-3f), top)));
    const unsigned visible = bits(shown);

    float columns[16][kLanes];
    const Vec values[16] = {p.x, p.y, zero - a, zero - (b + b), zero - c, log_opacity, color[0], color[1], color[2],
                            zero - b * inverse_a, reach, narrowing,
                            max(left, zero), min(right, limit_x - Vec(1.0f)),
                            max(top, zero), min(bottom, limit_y - Vec(1.0f))};
    for (int j = 0; j < 16; ++j) store(columns[j], values[j]);
    float depth[kLanes];
    store(depth, p.depth);
    for (int i = 0; i < valid; ++i) {
      frame.depth_bits[first + i] = kHidden;
      if (!(visible >> i & 1)) continue;
      // Pixel centres between left and right: ceil of the lower end, floor of the upper one.
      const int x0 = static_cast<int>(columns[12][i] + 0.99999f), x1 = static_cast<int>(columns[13][i]);
      const int y0 = static_cast<int>(columns[14][i] + 0.99999f), y1 = static_cast<int>(columns[15][i]);
      if (x0 > x1 || y0 > y1) continue;
      float* splat = reinterpret_cast<float*>(&frame.splats[first + i]);
      for (int j = 0; j < 12; ++j) splat[j] = columns[j][i];
      frame.boxes[first + i] = {static_cast<uint16_t>(x0 / kTile), static_cast<uint16_t>(y0 / kTile),
                                static_cast<uint16_t>(x1 / kTile), static_cast<uint16_t>(y1 / kTile)};
      __builtin_memcpy(&frame.depth_bits[first + i], &depth[i], sizeof(float));
    }
  }
}

void project_backward(const Frame& frame, int begin, int end, const FrameGradients& out, double* pose) {
  Vec pose_sum[12];
  for (Vec& v : pose_sum) v = Vec(0.0f);
  const float* gradients = frame.gradients.data();
  const size_t slot_size = static_cast<size_t>(frame.visible) * kGradientStride;
  for (int first = begin; first < end; first += kLanes) {
    const int valid = end - first < kLanes ? end - first : kLanes;
    float sums[kSums][kLanes] = {}, shown[kLanes] = {};
    bool some = false;
    for (int i = first + 2 * kLanes; i < first + 3 * kLanes && i < end; ++i)
      if (frame.rank[i] != kHidden) __builtin_prefetch(gradients + static_cast<size_t>(frame.rank[i]) * kGradientStride);
    for (int i = 0; i < valid; ++i) {
      const uint32_t rank = frame.rank[first + i];
      if (rank == kHidden) continue;
      some = true, shown[i] = 1.0f;
      for (int slot = 0; slot < frame.slots; ++slot) {
        const float* source = gradients + slot_size * slot + static_cast<size_t>(rank) * kGradientStride;
        for (int j = 0; j < kSums; ++j) sums[j][i] += source[j];
      }
    }
    const Vec zero = Vec(0.0f);
    Vec v_mean[3] = {zero, zero, zero}, v_quat[4] = {zero, zero, zero, zero}, v_scale[3] = {zero, zero, zero};
    Vec v_opacity = zero, v_color[3] = {zero, zero, zero};
    if (some) {
      const Mask visible = greater(load(shown), Vec(0.5f));
      Gaussian3<Vec> g;
      load_gaussians(frame, first, valid, g);
      Projection<Vec> p;
      project_forward(g, frame.camera, p);
      const Vec s0 = load(sums[0]), sx = load(sums[1]), sy = load(sums[2]);
      Splat2Gradient<Vec> v;
      v.x = p.a * sx + p.b * sy, v.y = p.b * sx + p.c * sy;
      v.a = Vec(-0.5f) * load(sums[3]), v.b = zero - load(sums[4]), v.c = Vec(-0.5f) * load(sums[5]);
      Gaussian3Gradient<Vec> d;
      project_backward(g, frame.camera, p, v, d);
      // Hidden Gaussians may be NaN, which zero times would keep.
      for (int j = 0; j < 3; ++j) v_mean[j] = keep(visible, d.mean[j]), v_scale[j] = keep(visible, d.scale[j]);
      for (int j = 0; j < 4; ++j) v_quat[j] = keep(visible, d.quat[j]);
      for (int j = 0; j < 3; ++j) v_color[j] = load(sums[6 + j]);
      v_opacity = keep(visible, s0 / g.opacity);
      for (int k = 0; k < 9; ++k) pose_sum[k] = pose_sum[k] + keep(visible, d.R[k]);
      for (int k = 0; k < 3; ++k) pose_sum[9 + k] = pose_sum[9 + k] + keep(visible, d.t[k]);
    }
    store_padded(out.means, 3, first, valid, v_mean);
    store_padded(out.quats, 4, first, valid, v_quat);
    store_padded(out.scales, 3, first, valid, v_scale);
    store_padded(out.opacities, 1, first, valid, &v_opacity);
    store_padded(out.colors, 3, first, valid, v_color);
  }
  for (int k = 0; k < 12; ++k) pose[k] += sum(pose_sum[k]);
}

}  // namespace

extern const ProjectKernels project_kernels;
const ProjectKernels project_kernels = {project, project_backward};

}  // namespace GA_ISA
}  // namespace gaussavatar
