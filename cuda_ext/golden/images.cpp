// Losses, layers, other backgrounds, coverage and packing on numbers from seeds.
#include "golden.h"
#include "packing.h"
#include "supervision.h"

namespace golden {
namespace {

using test::Floats;
using test::numbers;

constexpr int32_t kBatch = 2, kHeight = 70, kWidth = 53;
constexpr size_t kPixels = static_cast<size_t>(kBatch) * kHeight * kWidth;

void losses() {
  const Floats pred = numbers(3 * kPixels, 1, 0, 1), target = numbers(3 * kPixels, 2, 0, 1), weight = numbers(kPixels, 3, 0, 1);
  Floats gradient(3 * kPixels), map(3 * kPixels);
  std::vector<double> loss(1);
  require(ga_photometric(pred.data(), target.data(), weight.data(), kBatch, kHeight, kWidth, 0.25, loss.data(), gradient.data()),
          "ga_photometric");
  require(ga_ssim(pred.data(), target.data(), kBatch, kHeight, kWidth, map.data()), "ga_ssim");
  put("photometric.loss", loss), put("photometric.gradient", gradient), put("ssim", map);
}

void layers() {
  const Floats face = numbers(3 * kPixels, 1, 0, 1), mouth = numbers(3 * kPixels, 2, 0, 1), under = numbers(3 * kPixels, 3, 0, 1);
  const Floats face_alpha = numbers(kPixels, 4, 0, 1), mouth_alpha = numbers(kPixels, 5, 0, 1), v = numbers(3 * kPixels, 6);
  const int64_t pixels = static_cast<int64_t>(kPixels);
  Floats image(3 * kPixels), v_face_alpha(kPixels), v_mouth(3 * kPixels), v_mouth_alpha(kPixels), v_under(3 * kPixels);
  require(ga_composite_forward(face.data(), face_alpha.data(), mouth.data(), mouth_alpha.data(), under.data(), pixels, image.data()),
          "ga_composite_forward");
  require(ga_composite_backward(v.data(), face_alpha.data(), mouth.data(), mouth_alpha.data(), under.data(), pixels,
                                v_face_alpha.data(), v_mouth.data(), v_mouth_alpha.data(), v_under.data()),
          "ga_composite_backward");
  put("composite", image), put("composite.face_alpha", v_face_alpha), put("composite.mouth", v_mouth);
  put("composite.mouth_alpha", v_mouth_alpha), put("composite.under", v_under);
}

void backgrounds() {
  const int64_t pixels = kHeight * kWidth;
  const Floats frames = numbers(3 * kPixels, 1, 0, 1), under = numbers(3 * kPixels, 2, 0, 1), head = numbers(kPixels, 3, 0, 1);
  const Floats inside = numbers(kPixels, 4, 0, 1), colors = numbers(3 * kBatch, 5, 0, 1);
  const uint8_t chosen[kBatch] = {1, 0};
  Floats frames_out(3 * kPixels), under_out(3 * kPixels), v_face(kPixels), v_mouth(kPixels);
  require(ga_other_background(frames.data(), under.data(), head.data(), chosen, colors.data(), kBatch, pixels,
                              frames_out.data(), under_out.data()),
          "ga_other_background");
  const Floats face = numbers(kPixels, 7, 0, 1), mouth = numbers(kPixels, 8, 0, 1);
  std::vector<double> sums(2);
  const float v[2] = {0.7f, -0.3f};
  const int64_t all = static_cast<int64_t>(kPixels);
  require(ga_coverage(face.data(), mouth.data(), head.data(), inside.data(), all, sums.data()), "ga_coverage");
  require(ga_coverage_backward(face.data(), head.data(), inside.data(), all, v, v_face.data(), v_mouth.data()),
          "ga_coverage_backward");
  put("background.frames", frames_out), put("background.under", under_out), put("coverage", sums);
  put("coverage.face", v_face), put("coverage.mouth", v_mouth);
}

void packing() {
  const size_t count = 3 * static_cast<size_t>(kHeight) * kWidth;
  const Floats random = numbers(count, 7, 0, 1);
  std::vector<uint8_t> image(count), back(count);
  for (size_t i = 0; i < count; ++i) image[i] = static_cast<uint8_t>(i / 5 + static_cast<size_t>(9 * random[i]));
  const int64_t groups = kHeight * ((kWidth + 63) / 64);
  std::vector<uint8_t> packed(static_cast<size_t>(3 * (4 + (groups + 3) / 4 + 66 * groups) + 8));
  int64_t size = 0;
  require(ga_pack(image.data(), nullptr, kHeight, kWidth, 3, static_cast<int64_t>(packed.size()), packed.data(), &size), "ga_pack");
  packed.resize(static_cast<size_t>(size));
  require(ga_unpack(packed.data(), size, nullptr, kHeight, kWidth, 3, -1, back.data()), "ga_unpack");
  put("packed", packed), put("unpacked", back), put("unpacked.true", image);
}

}  // namespace

void images() {
  losses();
  layers();
  backgrounds();
  packing();
}

}  // namespace golden
