// Activation of a batch of Gaussian sets in one pass over memory, split into blocks of Gaussians.
#include "activate.h"

#include <algorithm>
#include <cmath>

#include "threads.h"

namespace gaussavatar {
namespace {

constexpr int kBlock = 1024;
enum Channel { position, rotation, scale, color, opacity };

struct Parts {
  float mean[3], quat[4], log_scale[3], color[3], logit;
};

void add(float* target, int width, const GaRaw& raw, Channel channel, const float* motion) {
  if (raw.offset[channel] < 0) return;
  const float* delta = motion + raw.offset[channel];
  for (int k = 0; k < width; ++k) target[k] += raw.unit[channel] * delta[k];
}

Parts raw_parts(const GaRaw& raw, int b, int i) {
  Parts p;
  std::copy_n(raw.means + 3 * i, 3, p.mean);
  std::copy_n(raw.quats + 4 * i, 4, p.quat);
  std::copy_n(raw.log_scales + 3 * i, 3, p.log_scale);
  std::copy_n(raw.colors + 3 * i, 3, p.color);
  p.logit = raw.logits[i];
  if (i < raw.moving) {
    const float* motion = raw.motion + (static_cast<int64_t>(b) * raw.moving + i) * raw.width;
    add(p.mean, 3, raw, position, motion);
    add(p.quat, 4, raw, rotation, motion);
    add(p.log_scale, 3, raw, scale, motion);
    add(p.color, 3, raw, color, motion);
    add(&p.logit, 1, raw, opacity, motion);
  }
  return p;
}

float length(const float* q) {
  return std::max(std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]), 1e-12f);
}

void put(float* motion_grad, int width, const GaRaw& raw, Channel channel, const float* grad) {
  if (raw.offset[channel] < 0) return;
  for (int k = 0; k < width; ++k) motion_grad[raw.offset[channel] + k] = raw.unit[channel] * grad[k];
}

void forward_one(const GaRaw& raw, const GaActivated& out, int b, int i) {
  const Parts p = raw_parts(raw, b, i);
  const int64_t at = static_cast<int64_t>(b) * raw.count + i;
  const float inverse = 1.0f / length(p.quat);
  std::copy_n(p.mean, 3, out.means + 3 * at);
  for (int k = 0; k < 4; ++k) out.quats[4 * at + k] = p.quat[k] * inverse;
  for (int k = 0; k < 3; ++k) out.scales[3 * at + k] = std::exp(p.log_scale[k]);
  out.opacities[at] = 1.0f / (1.0f + std::exp(-p.logit));
  std::copy_n(p.color, 3, out.colors + 3 * at);
}

void backward_one(const GaRaw& raw, const GaActivated& values, const GaActivated& grad, const GaActivated& raw_grad,
                  float* motion_grad, int i) {
  Parts sum = {};
  for (int b = 0; b < raw.batch; ++b) {
    const int64_t at = static_cast<int64_t>(b) * raw.count + i;
    Parts g;
    std::copy_n(grad.means + 3 * at, 3, g.mean);
    std::copy_n(grad.colors + 3 * at, 3, g.color);
    for (int k = 0; k < 3; ++k) g.log_scale[k] = grad.scales[3 * at + k] * values.scales[3 * at + k];
    const float o = values.opacities[at];
    g.logit = grad.opacities[at] * o * (1.0f - o);
    const float *q = values.quats + 4 * at, *v = grad.quats + 4 * at;
    const float along = q[0] * v[0] + q[1] * v[1] + q[2] * v[2] + q[3] * v[3];
    const float inverse = 1.0f / length(raw_parts(raw, b, i).quat);
    for (int k = 0; k < 4; ++k) g.quat[k] = (v[k] - q[k] * along) * inverse;
    for (int k = 0; k < 3; ++k) sum.mean[k] += g.mean[k], sum.color[k] += g.color[k], sum.log_scale[k] += g.log_scale[k];
    for (int k = 0; k < 4; ++k) sum.quat[k] += g.quat[k];
    sum.logit += g.logit;
    if (i < raw.moving) {
      float* motion = motion_grad + (static_cast<int64_t>(b) * raw.moving + i) * raw.width;
      put(motion, 3, raw, position, g.mean);
      put(motion, 4, raw, rotation, g.quat);
      put(motion, 3, raw, scale, g.log_scale);
      put(motion, 3, raw, color, g.color);
      put(motion, 1, raw, opacity, &g.logit);
    }
  }
  std::copy_n(sum.mean, 3, raw_grad.means + 3 * i);
  std::copy_n(sum.quat, 4, raw_grad.quats + 4 * i);
  std::copy_n(sum.log_scale, 3, raw_grad.scales + 3 * i);
  std::copy_n(sum.color, 3, raw_grad.colors + 3 * i);
  raw_grad.opacities[i] = sum.logit;
}

template <class Body>
void for_blocks(int count, Body body) {
  parallel_for((count + kBlock - 1) / kBlock, [&](int block) {
    for (int i = block * kBlock; i < std::min(count, (block + 1) * kBlock); ++i) body(i);
  });
}

}  // namespace
}  // namespace gaussavatar

void ga_activate(const GaRaw* raw, const GaActivated* out) {
  gaussavatar::for_blocks(raw->count, [&](int i) {
    for (int b = 0; b < raw->batch; ++b) gaussavatar::forward_one(*raw, *out, b, i);
  });
}

void ga_activate_backward(const GaRaw* raw, const GaActivated* values, const GaActivated* grad,
                          const GaActivated* raw_grad, float* motion_grad) {
  gaussavatar::for_blocks(raw->count, [&](int i) {
    gaussavatar::backward_one(*raw, *values, *grad, *raw_grad, motion_grad, i);
  });
}
