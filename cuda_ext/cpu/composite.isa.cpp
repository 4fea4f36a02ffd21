// image = face + (1 - face alpha) (mouth + (1 - mouth alpha) under) and its gradients; once per instruction set.
#include "composite.h"

#include <cstring>

#include "blend_math.h"
#include "simd.h"

namespace gaussavatar {
namespace GA_ISA {
namespace {

constexpr int kPixels = 128;  // pixels per pass through the buffers on the stack
constexpr int kFloats = 3 * kPixels;

// 1 - alpha, three times each.
GA_INLINE void transparencies(const float* alpha, int pixels, float* out) {
  for (int i = 0; i < pixels; ++i) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = 1.0f - alpha[i];
}

// A stretch of an image as kFloats floats: in place, or padded with zeros where fewer are left.
GA_INLINE const float* stretch(const float* image, int floats, float* buffer) {
  if (floats == kFloats) return image;
  std::memset(buffer, 0, sizeof(float) * kFloats);
  std::memcpy(buffer, image, sizeof(float) * floats);
  return buffer;
}

void forward(const Layers& layers, int64_t begin, int64_t end, float* image) {
  alignas(64) float through_face[kFloats] = {}, through_mouth[kFloats] = {}, buffers[4][kFloats];
  for (int64_t first = begin; first < end; first += kPixels) {
    const int pixels = end - first < kPixels ? static_cast<int>(end - first) : kPixels, floats = 3 * pixels;
    transparencies(layers.face_alpha + first, pixels, through_face);
    transparencies(layers.mouth_alpha + first, pixels, through_mouth);
    const float* face = stretch(layers.face + 3 * first, floats, buffers[0]);
    const float* mouth = stretch(layers.mouth + 3 * first, floats, buffers[1]);
    const float* under = stretch(layers.under + 3 * first, floats, buffers[2]);
    float* out = floats == kFloats ? image + 3 * first : buffers[3];
    for (int i = 0; i < kFloats; i += kLanes) {
      store(out + i, over(load(face + i), load(through_face + i), load(mouth + i), load(through_mouth + i),
                          load(under + i)));
    }
    if (out == buffers[3]) std::memcpy(image + 3 * first, out, sizeof(float) * floats);
  }
}

void backward(const Layers& layers, const float* v_image, int64_t begin, int64_t end, const LayerGradients& out) {
  alignas(64) float through_face[kFloats] = {}, through_mouth[kFloats] = {}, buffers[3][kFloats];
  alignas(64) float v_mouth[kFloats], v_under[kFloats], by_face[kFloats], by_mouth[kFloats];
  for (int64_t first = begin; first < end; first += kPixels) {
    const int pixels = end - first < kPixels ? static_cast<int>(end - first) : kPixels, floats = 3 * pixels;
    transparencies(layers.face_alpha + first, pixels, through_face);
    transparencies(layers.mouth_alpha + first, pixels, through_mouth);
    const float* v = stretch(v_image + 3 * first, floats, buffers[0]);
    const float* mouth = stretch(layers.mouth + 3 * first, floats, buffers[1]);
    const float* under = stretch(layers.under + 3 * first, floats, buffers[2]);
    for (int i = 0; i < kFloats; i += kLanes) {
      const LayerShares<Vec> shares = over_backward(load(v + i), load(through_face + i), load(mouth + i),
                                                    load(through_mouth + i), load(under + i));
      store(v_mouth + i, shares.mouth), store(v_under + i, shares.under);
      store(by_face + i, shares.face_alpha), store(by_mouth + i, shares.mouth_alpha);
    }
    for (int i = 0; i < pixels; ++i) {
      out.face_alpha[first + i] = -(by_face[3 * i] + by_face[3 * i + 1] + by_face[3 * i + 2]);
      out.mouth_alpha[first + i] = -(by_mouth[3 * i] + by_mouth[3 * i + 1] + by_mouth[3 * i + 2]);
    }
    std::memcpy(out.mouth + 3 * first, v_mouth, sizeof(float) * floats);
    if (out.under != nullptr) std::memcpy(out.under + 3 * first, v_under, sizeof(float) * floats);
  }
}

}  // namespace

extern const CompositeKernels composite_kernels;
const CompositeKernels composite_kernels = {forward, backward};

}  // namespace GA_ISA
}  // namespace gaussavatar
