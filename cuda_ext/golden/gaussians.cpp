// The rasterizer on a given scene; activation and Adam on numbers from seeds.
#include "activate.h"
#include "descent.h"
#include "golden.h"

namespace golden {
namespace {

using test::Floats;
using test::numbers;

template <class Number>
std::vector<Number> take(size_t count) {
  std::vector<Number> values(count);
  if (std::fread(values.data(), sizeof(Number), count, stdin) != count) {
    std::fprintf(stderr, "the scene breaks off\n");
    std::exit(1);
  }
  return values;
}

struct Activated {
  Floats means, quats, scales, opacities, colors;
  explicit Activated(size_t n, uint32_t seed = 0)
      : means(numbers(3 * n, seed)), quats(numbers(4 * n, seed + 1)), scales(numbers(3 * n, seed + 2)),
        opacities(numbers(n, seed + 3)), colors(numbers(3 * n, seed + 4)) {}
  GaActivated record() { return {means.data(), quats.data(), scales.data(), opacities.data(), colors.data()}; }
};

void activation() {
  const int32_t batch = 3, count = 500, moving = 350, width = 14;
  const size_t n = count, all = n * batch;
  const Floats means = numbers(3 * n, 1), quats = numbers(4 * n, 2), scales = numbers(3 * n, 3), logits = numbers(n, 4);
  const Floats colors = numbers(3 * n, 5), motion = numbers(static_cast<size_t>(batch) * moving * width, 6);
  const GaRaw raw{means.data(),  quats.data(), scales.data(), logits.data(), colors.data(),
                  motion.data(), batch,        count,         moving,        width,
                  {0, 3, 7, 10, 13},           {1, 0.5f, 0.25f, 2, 1}};
  Activated values(all), incoming(all, 20), back(n);
  const GaActivated out = values.record(), in = incoming.record(), to = back.record();
  require(ga_activate(&raw, &out), "ga_activate");
  Floats motion_gradient(motion.size());
  require(ga_activate_backward(&raw, &out, &in, &to, motion_gradient.data()), "ga_activate_backward");
  put("activate.means", values.means), put("activate.quats", values.quats), put("activate.scales", values.scales);
  put("activate.opacities", values.opacities), put("activate.colors", values.colors);
  put("activate.back.means", back.means), put("activate.back.quats", back.quats);
  put("activate.back.scales", back.scales), put("activate.back.opacities", back.opacities);
  put("activate.back.colors", back.colors), put("activate.back.motion", motion_gradient);
}

void adam() {
  const int32_t rank = 3, height = 17;
  const int64_t width = 1100;
  const size_t count = static_cast<size_t>(height) * width;
  const GaAdam step{1e-2, 1.5, 0.9, 0.999, 1e-15};
  const Floats rows = numbers(static_cast<size_t>(rank) * height, 1), columns = numbers(static_cast<size_t>(rank) * width, 2);
  Floats matrix = numbers(count, 3), mean = numbers(count, 4), square = numbers(count, 5, 0.01f, 1);
  for (int i = 0; i < 3; ++i)
    require(ga_outer_adam(rows.data(), columns.data(), rank, height, width, &step, matrix.data(), mean.data(), square.data()),
            "ga_outer_adam");
  put("adam.matrix", matrix), put("adam.mean", mean), put("adam.square", square);
}

}  // namespace

void scene() {
  const std::vector<int32_t> sizes = take<int32_t>(5);
  const int32_t batch = sizes[0], count = sizes[1], width = sizes[2], height = sizes[3];
  const size_t sets = sizes[4] ? 1 : batch, n = sets * count, all = static_cast<size_t>(batch) * count;
  const size_t pixels = static_cast<size_t>(batch) * width * height;
  const Floats means = take<float>(3 * n), quats = take<float>(4 * n), scales = take<float>(3 * n);
  const Floats opacities = take<float>(n), colors = take<float>(3 * n);
  const Floats T = take<float>(16 * static_cast<size_t>(batch)), K = take<float>(9 * static_cast<size_t>(batch));
  const Floats v_rgb = take<float>(3 * pixels), v_alpha = take<float>(pixels);
  const int64_t next = sizes[4] ? 0 : count;
  const GaScene scene{means.data(), quats.data(), scales.data(), opacities.data(), colors.data(), T.data(), K.data(),
                      3 * next,     4 * next,     3 * next,      next,             3 * next,      16,       9,
                      batch,        count,        width,         height};
  Floats rgb(3 * pixels), alpha(pixels);
  void* saved = nullptr;
  require(ga_raster_forward(&scene, rgb.data(), alpha.data(), &saved), "ga_raster_forward");
  Activated back(all);
  Floats pose(16 * static_cast<size_t>(batch));
  const GaSceneGradients to{back.means.data(),     back.quats.data(),  back.scales.data(),
                            back.opacities.data(), back.colors.data(), pose.data()};
  require(ga_raster_backward(&scene, saved, v_rgb.data(), v_alpha.data(), &to), "ga_raster_backward");
  require(ga_raster_free(saved), "ga_raster_free");
  put("rgb", rgb), put("alpha", alpha), put("means", back.means), put("quats", back.quats), put("scales", back.scales);
  put("opacities", back.opacities), put("colors", back.colors), put("pose", pose);
}

void gaussians() {
  activation();
  adam();
}

}  // namespace golden
