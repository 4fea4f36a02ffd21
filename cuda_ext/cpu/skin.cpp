// Samples a rigid surface in many frames and forms the normal equations of their poses: see skin.h.
#include "../include/skin.h"

#include <algorithm>
#include <cmath>

#include "status.h"
#include "threads.h"

namespace {

using gaussavatar::kFull;
using gaussavatar::kGrazing;
using gaussavatar::kLeastArea;

struct Sample {
  float turned[3], camera[3];
  float x, y, scale, visible;  // Scale: pixels per metre at the point's depth.
};

void rotate(const float* R, const float* v, float* out) {
  for (int row = 0; row < 3; ++row) out[row] = R[3 * row] * v[0] + R[3 * row + 1] * v[1] + R[3 * row + 2] * v[2];
}

// Where the point falls in the image; false where it is not seen.
bool place(const GaSkinScene& scene, int frame, const float* point, Sample& sample) {
  const float* pose = scene.poses + 12 * static_cast<int64_t>(frame);
  const float* camera = scene.cameras + 3 * static_cast<int64_t>(frame);
  rotate(pose, point, sample.turned);
  for (int axis = 0; axis < 3; ++axis) sample.camera[axis] = sample.turned[axis] + pose[9 + axis];
  const float* c = sample.camera;
  if (!(c[2] > 1e-3f)) return false;
  float normal[3];
  rotate(pose, point + 3, normal);
  const float cosine = -(normal[0] * c[0] + normal[1] * c[1] + normal[2] * c[2]) /
                       std::sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]);
  sample.visible = std::min((cosine - kGrazing) / (kFull - kGrazing), 1.0f);
  sample.scale = camera[0] / c[2];
  sample.x = c[0] * sample.scale + camera[1] - 0.5f;
  sample.y = c[1] * sample.scale + camera[2] - 0.5f;
  return sample.visible > 0.0f && sample.x >= 1.0f && sample.y >= 1.0f && sample.x < scene.width - 2.0f &&
         sample.y < scene.height - 2.0f;
}

float bilinear(const uint8_t* image, int width, float x, float y) {
  const int column = static_cast<int>(x), row = static_cast<int>(y);
  const float u = x - column, v = y - row;
  const uint8_t* at = image + static_cast<int64_t>(row) * width + column;
  return (1 - v) * ((1 - u) * at[0] + u * at[1]) + v * ((1 - u) * at[width] + u * at[width + 1]);
}

// Pixels per metre along a tangent of the surface.
void along(const float* pose, const Sample& sample, const float* tangent, float* pixels) {
  float turned[3];
  rotate(pose, tangent, turned);
  const float slope_x = sample.camera[0] / sample.camera[2], slope_y = sample.camera[1] / sample.camera[2];
  pixels[0] = (turned[0] - slope_x * turned[2]) * sample.scale;
  pixels[1] = (turned[1] - slope_y * turned[2]) * sample.scale;
}

void add_normal(const float* J, float weight, float residual, double* H, double* g) {
  for (int row = 0; row < 6; ++row) {
    const double part = static_cast<double>(weight) * J[row];
    for (int column = 0; column <= row; ++column) H[6 * row + column] += part * J[column];
    g[row] -= part * residual;
  }
}

constexpr int64_t kPiece = 256;  // points that a thread carries through all frames

bool is_sound(const GaSkinScene& scene) {
  return scene.frames >= 0 && scene.height >= 0 && scene.width >= 0 && scene.points >= 0;
}

const uint8_t* image_of(const GaSkinScene& scene, int frame) {
  return scene.images + static_cast<int64_t>(scene.height) * scene.width * frame;
}

struct TemplateSums {
  const float* known;
  float sigma;
  double* sums;
  float *values, *visible;
};

void add_sample(const GaSkinScene& scene, int frame, int64_t point, const TemplateSums& out) {
  const uint8_t* image = image_of(scene, frame);
  const float* pose = scene.poses + 12 * static_cast<int64_t>(frame);
  const float* surface = scene.surface + 12 * point;
  const int64_t at = static_cast<int64_t>(frame) * scene.points + point;
  Sample sample;
  const bool seen = place(scene, frame, surface, sample);
  const float value = seen ? bilinear(image, scene.width, sample.x, sample.y) : 0.0f;
  if (out.values) out.values[at] = value;
  if (out.visible) out.visible[at] = seen ? sample.visible : 0.0f;
  if (!seen) return;
  const float slope_x = bilinear(image, scene.width, sample.x + 0.5f, sample.y) -
                        bilinear(image, scene.width, sample.x - 0.5f, sample.y);
  const float slope_y = bilinear(image, scene.width, sample.x, sample.y + 0.5f) -
                        bilinear(image, scene.width, sample.x, sample.y - 0.5f);
  float u[2], v[2];
  along(pose, sample, surface + 6, u);
  along(pose, sample, surface + 9, v);
  const float residual = out.known ? value - out.known[point] : 0.0f;
  const float ratio = residual / (2 * out.sigma);
  const float weight = sample.visible / (1 + ratio * ratio);
  double* sum = out.sums + 6 * point;
  sum[0] += sample.visible;
  sum[1] += weight;
  sum[2] += static_cast<double>(weight) * value;
  sum[3] += sample.visible * (slope_x * u[0] + slope_y * u[1]);
  sum[4] += sample.visible * (slope_x * v[0] + slope_y * v[1]);
  sum[5] += sample.visible * std::min(residual * residual, 9 * out.sigma * out.sigma);
}

void frame_equations(const GaSkinScene& scene, int frame, const float* appearance, float sigma, double* H, double* g) {
  const uint8_t* image = image_of(scene, frame);
  const float* pose = scene.poses + 12 * static_cast<int64_t>(frame);
  std::fill(H, H + 36, 0.0);
  std::fill(g, g + 6, 0.0);
  for (int point = 0; point < scene.points; ++point) {
    const float* surface = scene.surface + 12 * static_cast<int64_t>(point);
    const float* look = appearance + 4 * static_cast<int64_t>(point);
    Sample sample;
    if (!(look[3] > 0.0f) || !place(scene, frame, surface, sample)) continue;
    float u[2], v[2];
    along(pose, sample, surface + 6, u);
    along(pose, sample, surface + 9, v);
    const float area = u[0] * v[1] - u[1] * v[0];
    if (std::fabs(area) < kLeastArea * sample.scale * sample.scale) continue;
    // The appearance's own slope, turned into this image, instead of the image's: a single image's slope carries
    // its noise, and noise in a regressor shortens every step.
    const float slope_x = (look[1] * v[1] - look[2] * u[1]) / area;
    const float slope_y = (look[2] * u[0] - look[1] * v[0]) / area;
    const float residual = bilinear(image, scene.width, sample.x, sample.y) - look[0];
    const float ratio = residual / (2 * sigma);
    const float weight = sample.visible * look[3] / (1 + ratio * ratio);
    const float* p = sample.turned;
    const float depth_slope = -(slope_x * sample.camera[0] + slope_y * sample.camera[1]) / sample.camera[2];
    const float A[3] = {slope_x * sample.scale, slope_y * sample.scale, depth_slope * sample.scale};
    const float J[6] = {p[1] * A[2] - p[2] * A[1], p[2] * A[0] - p[0] * A[2], p[0] * A[1] - p[1] * A[0],
                        A[0], A[1], A[2]};
    add_normal(J, weight, residual, H, g);
  }
  for (int row = 0; row < 6; ++row)
    for (int column = row + 1; column < 6; ++column) H[6 * row + column] = H[6 * column + row];
}

}  // namespace

int ga_skin_template(const GaSkinScene* scene, const float* known, float sigma, double* sums, float* values,
                     float* visible) {
  if (!is_sound(*scene)) return GA_BAD_ARGUMENT;
  const TemplateSums out{known, sigma, sums, values, visible};
  return gaussavatar::guarded([&] {
    // Every point's sums are added up frame after frame, so that they do not depend on who does which points.
    gaussavatar::parallel_pieces(scene->points, kPiece, [&](int64_t begin, int64_t end) {
      for (int frame = 0; frame < scene->frames; ++frame)
        for (int64_t point = begin; point < end; ++point) add_sample(*scene, frame, point, out);
    });
  });
}

int ga_skin_normal(const GaSkinScene* scene, const float* appearance, float sigma, double* H, double* g) {
  if (!is_sound(*scene)) return GA_BAD_ARGUMENT;
  return gaussavatar::guarded([&] {
    gaussavatar::parallel_for(scene->frames, [&](int frame) {
      frame_equations(*scene, frame, appearance, sigma, H + 36 * static_cast<int64_t>(frame),
                      g + 6 * static_cast<int64_t>(frame));
    });
  });
}
