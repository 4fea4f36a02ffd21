// The C interface of compositing: pieces of some rows, on all threads.
#include "composite.h"

#include "../include/native_api.h"
#include "threads.h"

namespace {

constexpr int64_t kPiece = 16384;  // pixels

template <class Body>
void for_pieces(int64_t pixels, Body body) {
  gaussavatar::parallel_for(static_cast<int>((pixels + kPiece - 1) / kPiece), [&](int piece) {
    const int64_t begin = piece * kPiece;
    body(begin, begin + kPiece < pixels ? begin + kPiece : pixels);
  });
}

}  // namespace

int ga_composite_forward(const float* face, const float* face_alpha, const float* mouth, const float* mouth_alpha,
                         const float* under, int64_t pixels, float* image) {
  const gaussavatar::Layers layers{face, face_alpha, mouth, mouth_alpha, under};
  const auto& kernels = gaussavatar::current_composite_kernels();
  for_pieces(pixels, [&](int64_t begin, int64_t end) { kernels.forward(layers, begin, end, image); });
  return 0;
}

int ga_composite_backward(const float* v_image, const float* face_alpha, const float* mouth, const float* mouth_alpha,
                          const float* under, int64_t pixels, float* v_face_alpha, float* v_mouth,
                          float* v_mouth_alpha, float* v_under) {
  const gaussavatar::Layers layers{nullptr, face_alpha, mouth, mouth_alpha, under};
  const gaussavatar::LayerGradients out{v_face_alpha, v_mouth, v_mouth_alpha, v_under};
  const auto& kernels = gaussavatar::current_composite_kernels();
  for_pieces(pixels, [&](int64_t begin, int64_t end) { kernels.backward(layers, v_image, begin, end, out); });
  return 0;
}
