// CPU triangle-mesh z-buffer: see mesh.h for the interface and the conventions.
#include "mesh.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "status.h"
#include "threads.h"

namespace {

constexpr int64_t kPiece = 16384;  // pixels that are interpolated in one go

struct Frame {
  const float* vertices;
  const float* intrinsics;
  int32_t* triangle_index;
  float* barycentrics;
  float* depth;
};

struct Corner {
  double x, y, inverse_z;
};

Corner project(const float* vertex, const float* intrinsics) {
  const double inverse_z = 1.0 / vertex[2];
  return {intrinsics[0] * static_cast<double>(vertex[0]) * inverse_z + intrinsics[2],
          intrinsics[1] * static_cast<double>(vertex[1]) * inverse_z + intrinsics[3], inverse_z};
}

// Twice the signed area of the triangle (a, b, point).
double edge(const Corner& a, const Corner& b, double x, double y) {
  return (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x);
}

// The weights of two corners at a point of the image, and their steps from pixel to pixel along a row. `scale` is one
// over twice the triangle's signed area.
struct Plane {
  double weight_a, weight_b, step_a, step_b;
};

Plane weights_at(const Corner& a, const Corner& b, const Corner& c, double scale, double x, double y) {
  return {edge(b, c, x, y) * scale, edge(c, a, x, y) * scale, -(c.y - b.y) * scale, -(a.y - c.y) * scale};
}

constexpr int kWide = 8;  // pixels of a row from which on it pays to ask where in it the triangle lies

// The steps along a row at which a triangle may be: all weights are linear there, and none is negative inside.
struct Span {
  double low, high;

  void keep_positive(double weight, double step) {
    if (step > 0)
      low = std::max(low, -weight / step);
    else if (step < 0)
      high = std::min(high, -weight / step);
    else if (weight < 0)
      high = -1;
  }
};

// Pixels of a row to look at, one more on either side than the triangle covers: rounding decides nothing here.
Span row_span(const Plane& plane, int steps) {
  if (steps < kWide) return {0, static_cast<double>(steps)};
  Span span{0, static_cast<double>(steps)};
  span.keep_positive(plane.weight_a, plane.step_a);
  span.keep_positive(plane.weight_b, plane.step_b);
  span.keep_positive(1.0 - plane.weight_a - plane.weight_b, -plane.step_a - plane.step_b);
  return {std::max(0.0, std::floor(span.low) - 1), std::min<double>(steps, std::ceil(span.high) + 1)};
}

void draw_triangle(const Frame& frame, int32_t index, const Corner& a, const Corner& b, const Corner& c,
                   double area, int32_t width, int32_t height) {
  const double low_x = std::min({a.x, b.x, c.x}), high_x = std::max({a.x, b.x, c.x});
  const double low_y = std::min({a.y, b.y, c.y}), high_y = std::max({a.y, b.y, c.y});
  if (!(high_x >= 0.5 && low_x <= width - 0.5 && high_y >= 0.5 && low_y <= height - 0.5)) return;
  const int x0 = static_cast<int>(std::ceil(std::max(low_x, 0.0) - 0.5));
  const int x1 = static_cast<int>(std::floor(std::min(high_x, static_cast<double>(width)) - 0.5));
  const int y0 = static_cast<int>(std::ceil(std::max(low_y, 0.0) - 0.5));
  const int y1 = static_cast<int>(std::floor(std::min(high_y, static_cast<double>(height)) - 0.5));
  if (x0 > x1 || y0 > y1) return;
  const double scale = 1.0 / area;
  for (int y = y0; y <= y1; ++y) {
    // The weights are linear along a row, so only the row's start needs the edge functions.
    const Plane plane = weights_at(a, b, c, scale, x0 + 0.5, y + 0.5);
    const Span span = row_span(plane, x1 - x0);
    if (!(span.low <= span.high)) continue;
    const int first = x0 + static_cast<int>(span.low), last = x0 + static_cast<int>(span.high);
    for (int x = first; x <= last; ++x) {
      const double weight_a = plane.weight_a + plane.step_a * (x - x0);
      const double weight_b = plane.weight_b + plane.step_b * (x - x0);
      const double weight_c = 1.0 - weight_a - weight_b;
      if (weight_a < 0 || weight_b < 0 || weight_c < 0) continue;
      const float inverse_z =
          static_cast<float>(weight_a * a.inverse_z + weight_b * b.inverse_z + weight_c * c.inverse_z);
      const std::size_t pixel = static_cast<std::size_t>(y) * width + x;
      if (!(inverse_z > frame.depth[pixel])) continue;
      frame.triangle_index[pixel] = index;
      frame.depth[pixel] = inverse_z;
    }
  }
}

// Barycentrics are written once for the triangle that won each pixel, not for every one that was drawn there. Until
// then `depth` holds 1/z, which needs no division to compare: 0 is nothing, larger is nearer.
void resolve(const Frame& frame, const int32_t* triangles, const std::vector<Corner>& corners,
             int32_t width, int32_t height) {
  Corner a{}, b{}, c{};
  double scale = 0;
  int32_t last = -1;
  for (int32_t y = 0; y < height; ++y) {
    for (int32_t x = 0; x < width; ++x) {
      const std::size_t pixel = static_cast<std::size_t>(y) * width + x;
      float* weights = frame.barycentrics + 3 * pixel;
      const int32_t t = frame.triangle_index[pixel];
      if (t < 0) {
        weights[0] = weights[1] = weights[2] = 0;
        continue;
      }
      if (t != last) {
        a = corners[triangles[3 * t]];
        b = corners[triangles[3 * t + 1]];
        c = corners[triangles[3 * t + 2]];
        scale = 1.0 / edge(a, b, c.x, c.y);
        last = t;
      }
      const Plane plane = weights_at(a, b, c, scale, x + 0.5, y + 0.5);
      const double pa = plane.weight_a * a.inverse_z, pb = plane.weight_b * b.inverse_z;
      const double pc = (1.0 - plane.weight_a - plane.weight_b) * c.inverse_z;
      const double z = 1.0 / (pa + pb + pc);
      frame.depth[pixel] = static_cast<float>(z);
      weights[0] = static_cast<float>(pa * z);
      weights[1] = static_cast<float>(pb * z);
      weights[2] = static_cast<float>(pc * z);
    }
  }
}

void draw_frame(const Frame& frame, const int32_t* triangles, int32_t n_vertices, int32_t n_triangles,
                int32_t width, int32_t height, float near, int32_t cull) {
  const std::size_t n_pixels = static_cast<std::size_t>(width) * height;
  std::fill_n(frame.triangle_index, n_pixels, -1);
  std::fill_n(frame.depth, n_pixels, 0.0f);
  std::vector<Corner> corners(n_vertices);
  for (int32_t v = 0; v < n_vertices; ++v)
    if (frame.vertices[3 * v + 2] >= near) corners[v] = project(frame.vertices + 3 * v, frame.intrinsics);
  for (int32_t t = 0; t < n_triangles; ++t) {
    const int32_t i = triangles[3 * t], j = triangles[3 * t + 1], k = triangles[3 * t + 2];
    // Written so that a corner that is not a number leaves the triangle out as well.
    if (!(frame.vertices[3 * i + 2] >= near && frame.vertices[3 * j + 2] >= near &&
          frame.vertices[3 * k + 2] >= near))
      continue;
    const double area = edge(corners[i], corners[j], corners[k].x, corners[k].y);
    if (!(std::abs(area) > 1e-12) || (cull && area > 0)) continue;
    draw_triangle(frame, t, corners[i], corners[j], corners[k], area, width, height);
  }
  resolve(frame, triangles, corners, width, height);
}

}  // namespace

int ga_rasterize_mesh(const float* vertices, const int32_t* triangles, const float* intrinsics, int32_t n_batch,
                      int32_t n_vertices, int32_t n_triangles, int32_t width, int32_t height, float near, int32_t cull,
                      int32_t* triangle_index, float* barycentrics, float* depth) {
  if (n_batch < 0 || n_vertices < 0 || n_triangles < 0 || width < 0 || height < 0) return GA_BAD_ARGUMENT;
  const std::size_t n_pixels = static_cast<std::size_t>(width) * height;
  return gaussavatar::guarded([&] {
    gaussavatar::parallel_for(n_batch, [&](int b) {
      const Frame frame{vertices + static_cast<std::size_t>(b) * n_vertices * 3, intrinsics + 4 * b,
                        triangle_index + b * n_pixels, barycentrics + 3 * b * n_pixels, depth + b * n_pixels};
      draw_frame(frame, triangles, n_vertices, n_triangles, width, height, near, cull);
    });
  });
}

int ga_interpolate_mesh(const int32_t* triangle_index, const float* barycentrics, const int32_t* corners,
                        const float* attributes, int64_t n_pixels, int32_t n_channels, float* out) {
  if (n_pixels < 0 || n_channels < 0) return GA_BAD_ARGUMENT;
  auto stretch = [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      float* here = out + p * n_channels;
      if (triangle_index[p] < 0) {
        std::fill_n(here, n_channels, 0.0f);
        continue;
      }
      const int32_t* corner = corners + 3 * static_cast<std::size_t>(triangle_index[p]);
      const float* weights = barycentrics + 3 * p;
      const float* a = attributes + static_cast<std::size_t>(corner[0]) * n_channels;
      const float* b = attributes + static_cast<std::size_t>(corner[1]) * n_channels;
      const float* c = attributes + static_cast<std::size_t>(corner[2]) * n_channels;
      for (int32_t k = 0; k < n_channels; ++k) here[k] = weights[0] * a[k] + weights[1] * b[k] + weights[2] * c[k];
    }
  };
  return gaussavatar::guarded([&] { gaussavatar::parallel_pieces(n_pixels, kPiece, stretch); });
}
