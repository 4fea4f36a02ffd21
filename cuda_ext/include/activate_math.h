// One Gaussian from raw parameters and motion to what is drawn, and back: the element-wise mathematics of activation.
// The torch twin is gaussavatar/native/activation.py.
#pragma once

#include <stdint.h>

#include "activate.h"
#include "hd.h"

namespace gaussavatar {

// The order of GaRaw's offset and unit.
enum Channel { kPosition, kRotation, kScale, kColor, kOpacity, kChannels };

constexpr float kLeastLength = 1e-12f;  // quaternions shorter than this are divided by it

// Raw parameters, or gradients of them.
struct RawParts {
  float mean[3], quat[4], log_scale[3], color[3], logit;
};

// What is drawn, or gradients of it.
struct ActivatedParts {
  float mean[3], quat[4], scale[3], color[3], opacity;
};

// Where each channel lies in a Gaussian's motion (-1: it does not move), and its unit.
struct MotionLayout {
  int32_t offset[kChannels];
  float unit[kChannels];
};

GA_HD void add_channel(float* target, int width, const MotionLayout& layout, Channel channel, const float* motion) {
  if (layout.offset[channel] < 0) return;
  const float* delta = motion + layout.offset[channel];
  for (int k = 0; k < width; ++k) target[k] += layout.unit[channel] * delta[k];
}

GA_HD void add_motion(RawParts& p, const MotionLayout& layout, const float* motion) {
  add_channel(p.mean, 3, layout, kPosition, motion);
  add_channel(p.quat, 4, layout, kRotation, motion);
  add_channel(p.log_scale, 3, layout, kScale, motion);
  add_channel(p.color, 3, layout, kColor, motion);
  add_channel(&p.logit, 1, layout, kOpacity, motion);
}

GA_HD float quat_length(const float* q) {
  const float length = square_root(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  return length < kLeastLength ? kLeastLength : length;
}

GA_HD ActivatedParts activated(const RawParts& p) {
  ActivatedParts o;
  const float inverse = 1.0f / quat_length(p.quat);
  for (int k = 0; k < 4; ++k) o.quat[k] = p.quat[k] * inverse;
  for (int k = 0; k < 3; ++k) {
    o.mean[k] = p.mean[k];
    o.scale[k] = exponential(p.log_scale[k]);
    o.color[k] = p.color[k];
  }
  o.opacity = 1.0f / (1.0f + exponential(-p.logit));
  return o;
}

// The gradient of the raw parameters, motion included, from that of the activated `value`; `length` is that of the raw
// quaternion.
GA_HD RawParts activated_backward(float length, const ActivatedParts& value, const ActivatedParts& v) {
  RawParts g;
  for (int k = 0; k < 3; ++k) {
    g.mean[k] = v.mean[k];
    g.color[k] = v.color[k];
    g.log_scale[k] = v.scale[k] * value.scale[k];
  }
  const float o = value.opacity;
  g.logit = v.opacity * o * (1.0f - o);
  const float* q = value.quat;
  const float along = q[0] * v.quat[0] + q[1] * v.quat[1] + q[2] * v.quat[2] + q[3] * v.quat[3];
  const float inverse = 1.0f / length;
  for (int k = 0; k < 4; ++k) g.quat[k] = (v.quat[k] - q[k] * along) * inverse;
  return g;
}

GA_HD void put_channel(float* motion, int width, const MotionLayout& layout, Channel channel, const float* grad) {
  if (layout.offset[channel] < 0) return;
  for (int k = 0; k < width; ++k) motion[layout.offset[channel] + k] = layout.unit[channel] * grad[k];
}

// The gradient of the motion that add_motion added.
GA_HD void put_motion(float* motion, const MotionLayout& layout, const RawParts& g) {
  put_channel(motion, 3, layout, kPosition, g.mean);
  put_channel(motion, 4, layout, kRotation, g.quat);
  put_channel(motion, 3, layout, kScale, g.log_scale);
  put_channel(motion, 3, layout, kColor, g.color);
  put_channel(motion, 1, layout, kOpacity, &g.logit);
}

GA_HD void add_parts(RawParts& sum, const RawParts& g) {
  for (int k = 0; k < 3; ++k) sum.mean[k] += g.mean[k], sum.color[k] += g.color[k], sum.log_scale[k] += g.log_scale[k];
  for (int k = 0; k < 4; ++k) sum.quat[k] += g.quat[k];
  sum.logit += g.logit;
}

// One Gaussian of the arrays of GaRaw and GaActivated.

GA_HD RawParts load_raw(const GaRaw& raw, int64_t i) {
  RawParts p;
  for (int k = 0; k < 3; ++k) {
    p.mean[k] = raw.means[3 * i + k];
    p.log_scale[k] = raw.log_scales[3 * i + k];
    p.color[k] = raw.colors[3 * i + k];
  }
  for (int k = 0; k < 4; ++k) p.quat[k] = raw.quats[4 * i + k];
  p.logit = raw.logits[i];
  return p;
}

GA_HD ActivatedParts load_activated(const GaActivated& from, int64_t at) {
  ActivatedParts p;
  for (int k = 0; k < 3; ++k) {
    p.mean[k] = from.means[3 * at + k];
    p.scale[k] = from.scales[3 * at + k];
    p.color[k] = from.colors[3 * at + k];
  }
  for (int k = 0; k < 4; ++k) p.quat[k] = from.quats[4 * at + k];
  p.opacity = from.opacities[at];
  return p;
}

GA_HD void store_activated(const GaActivated& to, int64_t at, const ActivatedParts& p) {
  for (int k = 0; k < 3; ++k) {
    to.means[3 * at + k] = p.mean[k];
    to.scales[3 * at + k] = p.scale[k];
    to.colors[3 * at + k] = p.color[k];
  }
  for (int k = 0; k < 4; ++k) to.quats[4 * at + k] = p.quat[k];
  to.opacities[at] = p.opacity;
}

// Gradients of raw parameters travel in a GaActivated: log scales in its scales, logits in its opacities.
GA_HD void store_raw_gradient(const GaActivated& to, int64_t i, const RawParts& g) {
  for (int k = 0; k < 3; ++k) {
    to.means[3 * i + k] = g.mean[k];
    to.scales[3 * i + k] = g.log_scale[k];
    to.colors[3 * i + k] = g.color[k];
  }
  for (int k = 0; k < 4; ++k) to.quats[4 * i + k] = g.quat[k];
  to.opacities[i] = g.logit;
}

GA_HD MotionLayout layout_of(const GaRaw& raw) {
  MotionLayout layout;
  for (int c = 0; c < kChannels; ++c) layout.offset[c] = raw.offset[c], layout.unit[c] = raw.unit[c];
  return layout;
}

}  // namespace gaussavatar
