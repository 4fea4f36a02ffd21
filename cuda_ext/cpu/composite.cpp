// The C interface of compositing: pieces of some rows, on all threads.
#include "composite.h"

#include "status.h"
#include "threads.h"

namespace {

constexpr int64_t kPiece = 16384;  // pixels

}  // namespace

int ga_composite_forward(const float* face, const float* face_alpha, const float* mouth, const float* mouth_alpha,
                         const float* under, int64_t pixels, float* image) {
  if (pixels < 0) return GA_BAD_ARGUMENT;
  const gaussavatar::Layers layers{face, face_alpha, mouth, mouth_alpha, under};
  const auto& kernels = gaussavatar::current_composite_kernels();
  return gaussavatar::guarded([&] {
    gaussavatar::parallel_pieces(pixels, kPiece,
                                 [&](int64_t begin, int64_t end) { kernels.forward(layers, begin, end, image); });
  });
}

int ga_composite_backward(const float* v_image, const float* face_alpha, const float* mouth, const float* mouth_alpha,
                          const float* under, int64_t pixels, float* v_face_alpha, float* v_mouth,
                          float* v_mouth_alpha, float* v_under) {
  if (pixels < 0) return GA_BAD_ARGUMENT;
  const gaussavatar::Layers layers{nullptr, face_alpha, mouth, mouth_alpha, under};
  const gaussavatar::LayerGradients out{v_face_alpha, v_mouth, v_mouth_alpha, v_under};
  const auto& kernels = gaussavatar::current_composite_kernels();
  return gaussavatar::guarded([&] {
    gaussavatar::parallel_pieces(pixels, kPiece, [&](int64_t begin, int64_t end) {
      kernels.backward(layers, v_image, begin, end, out);
    });
  });
}
