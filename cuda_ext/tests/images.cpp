// Losses and layers.
#include "check.h"

namespace test {
namespace {

struct Size {
  int32_t batch, height, width;
  size_t pixels() const { return static_cast<size_t>(batch) * height * width; }
};
constexpr Size kSizes[] = {{0, 4, 4}, {1, 0, 3}, {1, 1, 1}, {3, 5, 7}, {1, 37, 29}, {2, 70, 3}, {1, 130, 17}};

void losses(const Size& size) {
  const size_t n = size.pixels();
  const Floats pred = numbers(3 * n, 1, 0, 1), target = numbers(3 * n, 2, 0, 1), weight = numbers(n, 3, 0, 1);
  auto run = [&](const Floats& weights, double dssim, double* loss, float* gradient) {
    return ga_photometric(pred.data(), target.data(), weights.data(), size.batch, size.height, size.width, dssim, loss,
                          gradient);
  };
  for (double dssim : {0.0, 0.25}) {
    double loss = -1.0, alone = -1.0;
    Floats gradient(3 * n, kNan);
    CHECK(run(weight, dssim, &loss, gradient.data()) == GA_OK);
    CHECK(run(weight, dssim, &alone, nullptr) == GA_OK);
    CHECK(loss == alone && loss >= 0.0 && all_finite(gradient));
    CHECK(n == 0 ? loss == 0.0 : loss > 0.0);
    Floats again(3 * n, kNan);
    run_short_of_memory([&] { return run(weight, dssim, &alone, again.data()); });
    CHECK(alone == loss && equal(again, gradient));
    const Floats nothing(n, 0.0f);
    CHECK(run(nothing, dssim, &loss, gradient.data()) == GA_OK && loss == 0.0 && all_between(gradient, 0, 0));
    const Floats unknown(n, kNan);
    CHECK(run(unknown, dssim, &loss, gradient.data()) == GA_OK && (n == 0 || std::isnan(loss)));
  }
  Floats map(3 * n, kNan);
  CHECK(ga_ssim(pred.data(), target.data(), size.batch, size.height, size.width, map.data()) == GA_OK);
  CHECK(all_between(map, -1.001f, 1.001f));
  CHECK(ga_ssim(pred.data(), pred.data(), size.batch, size.height, size.width, map.data()) == GA_OK);
  CHECK(all_between(map, 0.999f, 1.001f));
  const Floats holes(3 * n, kNan);
  CHECK(ga_ssim(holes.data(), target.data(), size.batch, size.height, size.width, map.data()) == GA_OK);
}

void layers(int64_t pixels) {
  const size_t n = static_cast<size_t>(pixels);
  const Floats face = numbers(3 * n, 1, 0, 1), mouth = numbers(3 * n, 2, 0, 1), under = numbers(3 * n, 3, 0, 1);
  const Floats face_alpha = numbers(n, 4, 0, 1), mouth_alpha = numbers(n, 5, 0, 1), v = numbers(3 * n, 6);
  Floats image(3 * n, kNan);
  CHECK(ga_composite_forward(face.data(), face_alpha.data(), mouth.data(), mouth_alpha.data(), under.data(), pixels,
                             image.data()) == GA_OK);
  bool right = true;
  for (size_t i = 0; i < 3 * n; ++i) {
    const float behind = mouth[i] + (1 - mouth_alpha[i / 3]) * under[i];
    right = right && std::fabs(image[i] - (face[i] + (1 - face_alpha[i / 3]) * behind)) < 1e-5f;
  }
  CHECK(right);
  Floats v_face_alpha(n, kNan), v_mouth(3 * n, kNan), v_mouth_alpha(n, kNan), v_under(3 * n, kNan);
  for (float* to : {v_under.data(), static_cast<float*>(nullptr)})
    CHECK(ga_composite_backward(v.data(), face_alpha.data(), mouth.data(), mouth_alpha.data(), under.data(), pixels,
                                v_face_alpha.data(), v_mouth.data(), v_mouth_alpha.data(), to) == GA_OK);
  CHECK(all_finite(v_face_alpha) && all_finite(v_mouth) && all_finite(v_mouth_alpha) && all_finite(v_under));
}

}  // namespace

void images() {
  for (const Size& size : kSizes) losses(size);
  double loss = 0.0;
  float pixel[3] = {};
  CHECK(ga_photometric(pixel, pixel, pixel, -1, 1, 1, 0.0, &loss, nullptr) == GA_BAD_ARGUMENT);
  CHECK(ga_ssim(pixel, pixel, 1, -1, 1, pixel) == GA_BAD_ARGUMENT);
  for (int64_t pixels : {0, 1, 3, 127, 128, 129, 16384, 40001}) layers(pixels);
  CHECK(ga_composite_forward(pixel, pixel, pixel, pixel, pixel, -1, pixel) == GA_BAD_ARGUMENT);
  CHECK(ga_composite_backward(pixel, pixel, pixel, pixel, pixel, -1, pixel, pixel, pixel, pixel) == GA_BAD_ARGUMENT);
}

}  // namespace test
