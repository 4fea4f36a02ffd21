// Blendshapes and activation in one pass: what each thread of the kernels does, as functors of its index. Threads share
// nothing and no sum depends on timing. Reduced Gaussian blendshapes: RGBAvatar (CVPR 2025), sec. 3.2.
#pragma once

#include "activate_math.h"
#include "blendshapes.h"

namespace gaussavatar {

constexpr int kMotionWidth = 14;  // the most numbers that a Gaussian's motion has
constexpr int kFrames = 4;        // frames that a thread takes at a time: the basis is read once for all of them

GA_HD int64_t frame_chunks(const GaRaw& raw) { return (raw.batch + kFrames - 1) / kFrames; }

// Thread (chunk of frames, Gaussian): motion and activation.
struct BlendForward {
  GaRaw raw;
  GaBlend blend;
  GaActivated out;
  float* motion;
  MotionLayout layout;

  GA_HD_MEMBER int64_t threads() const { return frame_chunks(raw) * raw.count; }

  GA_HD_MEMBER void operator()(int64_t thread) const {
    const int64_t i = thread % raw.count, row = static_cast<int64_t>(raw.moving) * raw.width;
    const int first = static_cast<int>(thread / raw.count) * kFrames;
    const bool moves = i < raw.moving;
    float sums[kFrames][kMotionWidth];
    for (int f = 0; f < kFrames; ++f)
      for (int c = 0; c < kMotionWidth; ++c) sums[f][c] = 0.0f;
    for (int k = 0; moves && k < blend.shapes; ++k) {
      float weight[kFrames];
      for (int f = 0; f < kFrames; ++f)
        weight[f] = first + f < raw.batch ? blend.weights[static_cast<int64_t>(first + f) * blend.shapes + k] : 0.0f;
      const float* basis = blend.basis + k * row + i * raw.width;
      // A fixed number of rounds keeps the sums in registers.
      for (int c = 0; c < kMotionWidth; ++c) {
        if (c >= raw.width) continue;
        for (int f = 0; f < kFrames; ++f) sums[f][c] = fma(weight[f], basis[c], sums[f][c]);
      }
    }
    const RawParts still = load_raw(raw, i);
    for (int f = 0; f < kFrames; ++f) {
      const int64_t b = first + f;
      if (b >= raw.batch) continue;
      RawParts p = still;
      if (moves) {
        float* to = motion + b * row + i * raw.width;
        for (int c = 0; c < kMotionWidth; ++c)
          if (c < raw.width) to[c] = sums[f][c];
        add_motion(p, layout, to);
      }
      store_activated(out, b * raw.count + i, activated(p));
    }
  }
};

// Thread (Gaussian): gradients of its raw parameters, and of its motion in every frame.
struct BlendActivateBackward {
  GaRaw raw;
  GaActivated values, grad;
  const float* motion_grad_in;
  GaActivated raw_grad;
  float* motion_grad;
  MotionLayout layout;

  GA_HD_MEMBER int64_t threads() const { return raw.count; }

  GA_HD_MEMBER void operator()(int64_t i) const {
    const RawParts still = load_raw(raw, i);
    RawParts sum = {};
    for (int b = 0; b < raw.batch; ++b) {
      const int64_t at = static_cast<int64_t>(b) * raw.count + i;
      const int64_t motion_at = (static_cast<int64_t>(b) * raw.moving + i) * raw.width;
      RawParts p = still;
      if (i < raw.moving) add_motion(p, layout, raw.motion + motion_at);
      const RawParts g = activated_backward(quat_length(p.quat), load_activated(values, at), load_activated(grad, at));
      add_parts(sum, g);
      if (i >= raw.moving) continue;
      float* to = motion_grad + motion_at;
      put_motion(to, layout, g);
      if (motion_grad_in == nullptr) continue;
      for (int c = 0; c < raw.width; ++c) to[c] += motion_grad_in[motion_at + c];
    }
    store_raw_gradient(raw_grad, i, sum);
  }
};

// Thread (number of a moving Gaussian's motion): that column of the basis's gradient, weights^T @ motion_grad.
struct BlendBasisBackward {
  GaRaw raw;
  GaBlend blend;
  const float* motion_grad;
  float* basis_grad;

  GA_HD_MEMBER int64_t threads() const { return static_cast<int64_t>(raw.moving) * raw.width; }

  GA_HD_MEMBER void operator()(int64_t column) const {
    const int64_t row = threads();
    for (int first = 0; first == 0 || first < raw.batch; first += kFrames) {
      float v[kFrames];
      for (int f = 0; f < kFrames; ++f) v[f] = first + f < raw.batch ? motion_grad[(first + f) * row + column] : 0.0f;
      for (int k = 0; k < blend.shapes; ++k) {
        float sum = first == 0 ? 0.0f : basis_grad[k * row + column];
        for (int f = 0; f < kFrames; ++f)
          if (first + f < raw.batch)
            sum = fma(blend.weights[static_cast<int64_t>(first + f) * blend.shapes + k], v[f], sum);
        basis_grad[k * row + column] = sum;
      }
    }
  }
};

// Thread (frame, shape, part): every GA_BLEND_PARTS-th product of motion_grad @ basis^T, added up.
struct BlendWeightParts {
  GaRaw raw;
  GaBlend blend;
  const float* motion_grad;
  float* partials;

  GA_HD_MEMBER int64_t threads() const { return static_cast<int64_t>(raw.batch) * blend.shapes * GA_BLEND_PARTS; }

  GA_HD_MEMBER void operator()(int64_t thread) const {
    const int64_t part = thread % GA_BLEND_PARTS, pair = thread / GA_BLEND_PARTS;
    const int64_t row = static_cast<int64_t>(raw.moving) * raw.width;
    const float* v = motion_grad + pair / blend.shapes * row;
    const float* basis = blend.basis + pair % blend.shapes * row;
    float sum = 0.0f;
    for (int64_t column = part; column < row; column += GA_BLEND_PARTS) sum = fma(v[column], basis[column], sum);
    partials[thread] = sum;
  }
};

// Thread (frame, shape): the weight's gradient from its parts.
struct BlendWeightBackward {
  GaRaw raw;
  GaBlend blend;
  const float* partials;
  float* weights_grad;

  GA_HD_MEMBER int64_t threads() const { return static_cast<int64_t>(raw.batch) * blend.shapes; }

  GA_HD_MEMBER void operator()(int64_t pair) const {
    float sum = 0.0f;
    for (int part = 0; part < GA_BLEND_PARTS; ++part) sum += partials[pair * GA_BLEND_PARTS + part];
    weights_grad[pair] = sum;
  }
};

}  // namespace gaussavatar
