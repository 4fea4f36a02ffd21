// Sums over a rigid surface in many frames.
#include "skin.h"

#include <array>

#include "check.h"

namespace test {
namespace {

void surface(int32_t frames, int32_t height, int32_t width, int32_t points, float spoilt) {
  std::vector<uint8_t> images(static_cast<size_t>(frames) * height * width, 100);
  for (size_t i = 0; i < images.size(); ++i) images[i] = static_cast<uint8_t>(i * 37 % 251);
  Floats poses, cameras, patch;
  for (int32_t f = 0; f < frames; ++f) {
    const float pose[12] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0.003f * f, 0, 0.5f};
    poses.insert(poses.end(), pose, pose + 12);
    cameras.insert(cameras.end(), {2.0f * width, 0.5f * width, 0.5f * height});
  }
  const Floats places = numbers(2 * static_cast<size_t>(points), 3, -0.2f, 0.2f);
  for (int32_t p = 0; p < points; ++p) {
    const float point[12] = {places[2 * p], places[2 * p + 1], 0, 0, 0, -1, 1, 0, 0, 0, 1, 0};
    patch.insert(patch.end(), point, point + 12);
  }
  for (size_t i = 0; i < patch.size(); i += 17) patch[i] += spoilt;
  if (!poses.empty()) poses[9] += spoilt;
  poses.shrink_to_fit(), cameras.shrink_to_fit(), patch.shrink_to_fit();
  const GaSkinScene scene{images.data(), poses.data(), cameras.data(), patch.data(), frames, height, width, points};

  const size_t n = static_cast<size_t>(points), samples = n * frames;
  std::vector<double> sums(6 * n), again(6 * n);
  Floats values(samples, kNan), visible(samples, kNan);
  const Floats known(n, 90.0f);
  CHECK(ga_skin_template(&scene, known.data(), 5.0f, sums.data(), values.data(), visible.data()) == GA_OK);
  CHECK(all_between(values, 0, 255) && all_between(visible, 0, 1));
  CHECK(ga_skin_template(&scene, known.data(), 5.0f, again.data(), nullptr, nullptr) == GA_OK);
  CHECK(spoilt != 0.0f || sums == again);
  CHECK(ga_skin_template(&scene, nullptr, 5.0f, sums.data(), nullptr, nullptr) == GA_OK);

  const Floats appearance = numbers(4 * n, 5, 0, 1);
  std::vector<double> H(36 * static_cast<size_t>(frames), kNan), g(6 * static_cast<size_t>(frames), kNan);
  CHECK(ga_skin_normal(&scene, appearance.data(), 5.0f, H.data(), g.data()) == GA_OK);
  for (const double value : g) CHECK(spoilt != 0.0f || std::isfinite(value));
  run_short_of_memory([&] { return ga_skin_normal(&scene, appearance.data(), 5.0f, H.data(), g.data()); });
}

}  // namespace

void skin() {
  for (float spoilt : {0.0f, kNan, kInfinity, 1e30f})
    for (const auto& [frames, height, width, points] :
         {std::array{0, 5, 5, 4}, {1, 0, 0, 3}, {1, 1, 1, 3}, {2, 4, 4, 0}, {5, 9, 13, 7}, {3, 40, 31, 700}})
      surface(frames, height, width, points, spoilt);
  const GaSkinScene broken{nullptr, nullptr, nullptr, nullptr, 1, 1, 1, -1};
  CHECK(ga_skin_template(&broken, nullptr, 1.0f, nullptr, nullptr, nullptr) == GA_BAD_ARGUMENT);
  CHECK(ga_skin_normal(&broken, nullptr, 1.0f, nullptr, nullptr) == GA_BAD_ARGUMENT);
}

}  // namespace test
