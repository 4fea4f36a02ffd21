// The C interface of supervision: pieces of some pixels, on all threads.
#include "../include/supervision.h"

#include <cstring>

#include "buffer.h"
#include "status.h"
#include "supervision_rows.h"
#include "threads.h"

namespace {

constexpr int64_t kPiece = 16384;  // pixels

}  // namespace

int ga_other_background(const float* frames, const float* under, const float* head, const uint8_t* chosen,
                        const float* colors, int32_t batch, int64_t pixels, float* frames_out, float* under_out) {
  using namespace gaussavatar;
  if (batch < 0 || pixels < 0) return GA_BAD_ARGUMENT;
  const auto& kernels = current_supervision_kernels();
  return guarded([&] {
    for (int32_t b = 0; b < batch; ++b) {
      const int64_t first = b * pixels;
      const Recolored images = {frames + 3 * first, under + 3 * first,      head + first,
                                colors + 3 * b,     frames_out + 3 * first, under_out + 3 * first};
      parallel_pieces(pixels, kPiece, [&](int64_t begin, int64_t end) {
        if (chosen[b] != 0) return kernels.recolor(images, begin, end);
        const size_t bytes = sizeof(float) * 3 * (end - begin);
        std::memcpy(images.frame_out + 3 * begin, images.frame + 3 * begin, bytes);
        std::memcpy(images.under_out + 3 * begin, images.under + 3 * begin, bytes);
      });
    }
  });
}

int ga_coverage(const float* face, const float* mouth, const float* head, const float* inside, int64_t pixels,
                double* sums) {
  using namespace gaussavatar;
  if (pixels < 0) return GA_BAD_ARGUMENT;
  const auto& kernels = current_supervision_kernels();
  return guarded([&] {
    Buffer<double> parts;
    parts.reserve(static_cast<size_t>(2 * ((pixels + kPiece - 1) / kPiece)));
    parallel_pieces(pixels, kPiece, [&](int64_t begin, int64_t end) {
      kernels.sums({face, mouth, head, inside}, begin, end, parts.data() + 2 * (begin / kPiece));
    });
    sums[0] = sums[1] = 0;
    for (int64_t part = 0; part * kPiece < pixels; ++part)
      sums[0] += parts.data()[2 * part], sums[1] += parts.data()[2 * part + 1];
  });
}

int ga_coverage_backward(const float* face, const float* head, const float* inside, int64_t pixels, const float* v,
                         float* v_face, float* v_mouth) {
  using namespace gaussavatar;
  if (pixels < 0) return GA_BAD_ARGUMENT;
  const auto& kernels = current_supervision_kernels();
  return guarded([&] {
    parallel_pieces(pixels, kPiece, [&](int64_t begin, int64_t end) {
      kernels.backward({face, nullptr, head, inside}, v, begin, end, v_face, v_mouth);
    });
  });
}
