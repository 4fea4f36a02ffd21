// Activation and rasterization.
#include <algorithm>
#include <array>

#include "activate.h"
#include "check.h"

namespace test {
namespace {

// ---- activation

struct Activated {
  Floats means, quats, scales, opacities, colors;
  explicit Activated(size_t n) : means(3 * n), quats(4 * n), scales(3 * n), opacities(n), colors(3 * n) {}
  GaActivated record() { return {means.data(), quats.data(), scales.data(), opacities.data(), colors.data()}; }
  bool finite() const {
    return all_finite(means) && all_finite(quats) && all_finite(scales) && all_finite(opacities) && all_finite(colors);
  }
};

void activation(int batch, int count, int moving) {
  const size_t n = static_cast<size_t>(count), all = n * batch;
  const int width = 14;
  const Floats means = numbers(3 * n, 1), scales = numbers(3 * n, 3), logits = numbers(n, 4), colors = numbers(3 * n, 5);
  Floats quats = numbers(4 * n, 2);
  std::fill_n(quats.begin(), std::min<size_t>(quats.size(), 4), 0.0f);  // a quaternion of no length
  const Floats motion = numbers(static_cast<size_t>(batch) * moving * width, 6);
  GaRaw raw{means.data(),  quats.data(), scales.data(), logits.data(), colors.data(),
            motion.data(), batch,        count,         moving,        width,
            {0, 3, 7, 10, 13},           {1, 1, 1, 1, 1}};
  Activated out(all);
  const GaActivated to = out.record();
  CHECK(ga_activate(&raw, &to) == GA_OK && out.finite() && all_between(out.opacities, 0, 1));
  Activated incoming(all), raw_gradient(n);
  incoming.means = numbers(3 * all, 7), incoming.quats = numbers(4 * all, 8), incoming.scales = numbers(3 * all, 9);
  const GaActivated in = incoming.record(), back = raw_gradient.record();
  Floats motion_gradient(motion.size(), kNan);
  CHECK(ga_activate_backward(&raw, &to, &in, &back, motion_gradient.data()) == GA_OK);
  CHECK(raw_gradient.finite() && all_finite(motion_gradient));
  raw.moving = count + 1;
  CHECK(ga_activate(&raw, &to) == GA_BAD_ARGUMENT);
  raw.moving = -1;
  CHECK(ga_activate_backward(&raw, &to, &in, &back, motion_gradient.data()) == GA_BAD_ARGUMENT);
}

// ---- rasterization

struct Scene {
  Floats means, quats, scales, opacities, colors, T, K;
  GaScene record;

  Scene(int batch, int count, int width, int height) {
    const size_t n = static_cast<size_t>(batch) * count;
    means = numbers(3 * n, 1, -0.2f, 0.2f), quats = numbers(4 * n, 2), scales = numbers(3 * n, 3, 0.001f, 0.05f);
    opacities = numbers(n, 4, 0, 1), colors = numbers(3 * n, 5, 0, 1);
    for (size_t i = 0; i < n; ++i) means[3 * i + 2] += 0.7f;
    for (int b = 0; b < batch; ++b) {
      const float pose[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
      const float focal = 1.4f * static_cast<float>(width);
      const float camera[9] = {focal, 0, 0.5f * width, 0, focal, 0.5f * height, 0, 0, 1};
      T.insert(T.end(), pose, pose + 16), K.insert(K.end(), camera, camera + 9);
    }
    record = {means.data(), quats.data(), scales.data(), opacities.data(), colors.data(), T.data(), K.data(),
              3 * count,    4 * count,    3 * count,     count,            3 * count,     16,       9,
              batch,        count,        width,         height};
  }
};

struct Pictures {
  Floats rgb, alpha;
  explicit Pictures(const GaScene& scene)
      : rgb(static_cast<size_t>(scene.batch) * scene.width * scene.height * 3, kNan), alpha(rgb.size() / 3, kNan) {}
};

int draw_and_back(const GaScene& scene, Pictures& pictures, Floats& gradient) {
  const size_t n = static_cast<size_t>(scene.batch) * scene.count;
  void* saved = nullptr;
  const int status = ga_raster_forward(&scene, pictures.rgb.data(), pictures.alpha.data(), &saved);
  if (status != GA_OK) {
    CHECK(saved == nullptr);
    return status;
  }
  // One block for all gradients, exactly as large as they are together.
  std::fill(gradient.begin(), gradient.end(), kNan);
  float* g = gradient.data();
  const GaSceneGradients to{g, g + 3 * n, g + 7 * n, g + 10 * n, g + 11 * n, g + 14 * n};
  const int back = ga_raster_backward(&scene, saved, pictures.rgb.data(), pictures.alpha.data(), &to);
  CHECK(ga_raster_free(saved) == GA_OK);
  return back;
}

size_t gradient_size(const GaScene& scene) {
  return static_cast<size_t>(scene.batch) * (static_cast<size_t>(scene.count) * 14 + 16);
}

void rasterize(Scene& scene) {
  Pictures pictures(scene.record), plain(scene.record);
  Floats gradient(gradient_size(scene.record));
  CHECK(draw_and_back(scene.record, pictures, gradient) == GA_OK);
  CHECK(all_between(pictures.alpha, 0, 1) && all_between(pictures.rgb, 0, 1.001f) && all_finite(gradient));
  CHECK(ga_raster_forward(&scene.record, plain.rgb.data(), plain.alpha.data(), nullptr) == GA_OK);
  CHECK(equal(plain.rgb, pictures.rgb) && equal(plain.alpha, pictures.alpha));
}

// Gaussians that cannot be drawn: not finite, of no size or endless, behind the camera, with no rotation.
void spoil(Scene& scene) {
  const float odd[] = {kNan, kInfinity, -kInfinity, 1e38f, -1e38f, 0.0f, 1e-38f, -0.5f};
  Floats* const fields[] = {&scene.means, &scene.quats, &scene.scales, &scene.opacities};
  size_t next = 0;
  for (const float value : odd)
    for (Floats* field : fields) {
      if (field->size() > next) (*field)[next] = value;
      next += 5;
    }
  if (scene.quats.size() >= 4) std::fill_n(scene.quats.begin(), 4, 0.0f);
}

void rasterization() {
  const int sizes[][4] = {{0, 5, 8, 8}, {1, 0, 1, 1},    {1, 1, 1, 1},    {2, 7, 17, 33},
                          {1, 3, 5, 1}, {3, 300, 31, 15}, {4, 90, 16, 16}, {1, 900, 65, 47}};
  for (const auto& [batch, count, width, height] : sizes) {
    Scene scene(batch, count, width, height);
    rasterize(scene);
    spoil(scene);
    Pictures pictures(scene.record);
    Floats gradient(gradient_size(scene.record));
    CHECK(draw_and_back(scene.record, pictures, gradient) == GA_OK);
    CHECK(all_between(pictures.alpha, 0, 1) && all_finite(pictures.rgb));
  }
  // One set of Gaussians for all frames of the batch.
  Scene shared(1, 40, 20, 20), frames(3, 0, 20, 20);
  shared.record.batch = 3, shared.record.T_camera_world = frames.T.data(), shared.record.K = frames.K.data();
  shared.record.means_stride = shared.record.quats_stride = shared.record.scales_stride = 0;
  shared.record.opacities_stride = shared.record.colors_stride = 0;
  rasterize(shared);

  Scene scene(3, 700, 40, 40);
  Pictures first(scene.record), again(scene.record);
  Floats gradient(gradient_size(scene.record)), later(gradient.size());
  CHECK(draw_and_back(scene.record, first, gradient) == GA_OK);
  CHECK(run_short_of_memory([&] { return draw_and_back(scene.record, again, later); }) > 0);
  CHECK(equal(first.rgb, again.rgb) && equal(gradient, later));

  const GaSceneGradients nowhere{};
  CHECK(ga_raster_backward(&scene.record, nullptr, nullptr, nullptr, &nowhere) == GA_BAD_ARGUMENT);
  CHECK(ga_raster_free(nullptr) == GA_OK);
  void* saved = nullptr;
  CHECK(ga_raster_forward(&scene.record, first.rgb.data(), first.alpha.data(), &saved) == GA_OK);
  GaScene other = scene.record;
  other.batch = 2;
  CHECK(ga_raster_backward(&other, saved, first.rgb.data(), first.alpha.data(), &nowhere) == GA_BAD_ARGUMENT);
  CHECK(ga_raster_free(saved) == GA_OK);
  other.width = 0;
  CHECK(ga_raster_forward(&other, nullptr, nullptr, nullptr) == GA_BAD_ARGUMENT);
}

}  // namespace

void gaussians() {
  for (const auto& [batch, count, moving] : {std::array{1, 0, 0}, {0, 3, 2}, {1, 1, 1}, {3, 5, 0}, {2, 2500, 1700}})
    activation(batch, count, moving);
  rasterization();
}

}  // namespace test
