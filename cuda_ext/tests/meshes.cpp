// Mesh z-buffer, interpolation, and pictures of meshes.
#include "mesh.h"

#include <algorithm>
#include <array>

#include "check.h"

namespace test {
namespace {

using Integers = std::vector<int32_t>;

struct Raster {
  Integers index;
  Floats weights, depth;
  explicit Raster(size_t pixels) : index(pixels, -7), weights(3 * pixels, kNan), depth(pixels, kNan) {}
};

Integers triangles_of(int32_t count, int32_t vertices) {
  Integers triangles(3 * static_cast<size_t>(count));
  for (size_t i = 0; i < triangles.size(); ++i) triangles[i] = static_cast<int32_t>(i * 7 % vertices);
  return triangles;
}

int draw(const Floats& vertices, const Integers& triangles, int32_t batch, int32_t width, int32_t height, Raster& to) {
  const float cameras[] = {12, 14, 3, 4, 19, 17, 5, 2, 11, 15, 9, 8};
  const int32_t n_vertices = batch == 0 ? 0 : static_cast<int32_t>(vertices.size() / 3 / batch);
  return ga_rasterize_mesh(vertices.data(), triangles.data(), cameras, batch, n_vertices,
                           static_cast<int32_t>(triangles.size() / 3), width, height, 0.01f, 0, to.index.data(),
                           to.weights.data(), to.depth.data());
}

Floats vertices_before_the_camera(size_t count) {
  Floats vertices = numbers(3 * count, 4);
  for (size_t i = 0; i < count; ++i) vertices[3 * i + 2] = 0.5f + std::fabs(vertices[3 * i + 2]);
  return vertices;
}

void rasters() {
  for (const auto& [batch, n_vertices, n_triangles, width, height] :
       {std::array{0, 0, 0, 3, 3}, {1, 0, 0, 5, 4}, {1, 3, 0, 1, 1}, {1, 3, 1, 1, 1}, {3, 50, 90, 23, 31}, {2, 9, 4, 0, 6}}) {
    Raster raster(static_cast<size_t>(batch) * width * height);
    const Integers triangles = triangles_of(n_triangles, std::max(n_vertices, 1));
    Floats vertices = vertices_before_the_camera(static_cast<size_t>(batch) * n_vertices);
    CHECK(draw(vertices, triangles, batch, width, height, raster) == GA_OK);
    CHECK(all_finite(raster.depth) && all_between(raster.weights, -1e-4f, 1.0001f));
    CHECK(std::all_of(raster.index.begin(), raster.index.end(), [&](int32_t t) { return t >= -1 && t < n_triangles; }));
    // Corners that are not numbers, endlessly far away, or behind the camera.
    const float odd[] = {kNan, kInfinity, -kInfinity, 1e30f, -1e30f, 0.0f, -1.0f};
    for (size_t i = 0; i < vertices.size() / 4; ++i) vertices[4 * i] = odd[i % 7];
    CHECK(draw(vertices, triangles, batch, width, height, raster) == GA_OK);
  }
  const Floats vertices = vertices_before_the_camera(3 * 60);
  const Integers triangles = triangles_of(80, 60);
  Raster first(3 * 300), again(3 * 300);
  CHECK(draw(vertices, triangles, 3, 20, 15, first) == GA_OK);
  CHECK(run_short_of_memory([&] { return draw(vertices, triangles, 3, 20, 15, again); }) > 0);
  CHECK(first.index == again.index && equal(first.depth, again.depth) && equal(first.weights, again.weights));
  CHECK(draw(vertices, triangles, 3, -1, 15, again) == GA_BAD_ARGUMENT);
  // More vertices than any machine has memory for.
  float nothing[3] = {};
  int32_t index[1] = {};
  set_memory(Memory::none);
  const int status = ga_rasterize_mesh(nothing, index, nothing, 1, 1 << 30, 0, 1, 1, 0.01f, 0, index, nothing, nothing);
  set_memory(Memory::plenty);
  CHECK(status == GA_OUT_OF_MEMORY);

  for (int32_t channels : {0, 1, 5}) {
    const Floats attributes = numbers(60 * static_cast<size_t>(channels), 6, 0, 1);
    Floats out(300 * static_cast<size_t>(channels), kNan);
    CHECK(ga_interpolate_mesh(first.index.data(), first.weights.data(), triangles.data(), attributes.data(), 300,
                              channels, out.data()) == GA_OK);
    CHECK(all_between(out, -1e-3f, 1.001f));
  }
  CHECK(ga_interpolate_mesh(nullptr, nullptr, nullptr, nullptr, 0, 3, nullptr) == GA_OK);
  CHECK(ga_interpolate_mesh(nullptr, nullptr, nullptr, nullptr, 1, -3, nullptr) == GA_BAD_ARGUMENT);
}

GaMeshScene lit_scene(const Floats& texture) {
  const GaMeshLight light{{0.0f, 0.6f, -0.8f}, {1, 1, 1}};
  return {light, light, light, {0.4f, 0.4f, 0.4f}, {0.2f, 0.2f, 0.2f}, texture.data(), -1, -1, 2, 1.2f, 4, 4};
}

void picture(int32_t size, int32_t oversample, float spoilt) {
  const int32_t fine = size * oversample;
  const Integers triangles = triangles_of(40, 30);
  const Floats vertices = vertices_before_the_camera(30);
  Raster raster(static_cast<size_t>(fine) * fine);
  CHECK(draw(vertices, triangles, 1, fine, fine, raster) == GA_OK);
  Integers parts(40);
  for (size_t i = 0; i < parts.size(); ++i) parts[i] = static_cast<int32_t>(i % 2);
  const GaMeshMaterial materials[2] = {{{0.3f, 0.2f, 0.1f}, 2, 2, 0, 1}, {{0, 0, 0}, 0, 0, 1, 0}};
  const Floats texture = numbers(4 * 4 * 4, 8, 0, 1), uv = numbers(40 * 6, 9), wall = numbers(3 * static_cast<size_t>(size) * size, 10, 0, 1);
  Floats packed = numbers(12 * 30, 11, 0, 1);
  for (size_t i = 0; i < packed.size() / 5; ++i) packed[5 * i] += spoilt;
  const GaMeshScene scene = lit_scene(texture);
  std::vector<uint8_t> out(3 * static_cast<size_t>(size) * size, 7);
  CHECK(ga_shade_mesh(raster.index.data(), raster.weights.data(), triangles.data(), parts.data(), uv.data(),
                      packed.data(), materials, &scene, wall.data(), size, oversample, out.data()) == GA_OK);
  CHECK(ga_shade_mesh(raster.index.data(), raster.weights.data(), triangles.data(), parts.data(), uv.data(),
                      packed.data(), materials, &scene, wall.data(), size, 5, out.data()) == GA_BAD_ARGUMENT);
}

void strands(int32_t n_strands, int32_t n_points, float spoilt) {
  const size_t n = static_cast<size_t>(n_strands) * n_points;
  Floats points = numbers(3 * n, 1);
  if (!points.empty()) points[0] += spoilt;
  const Floats normals = numbers(3 * n, 2), colours = numbers(3 * static_cast<size_t>(n_strands), 3, 0, 1);
  const Floats seen = numbers(n, 4, 0, 1), texture(4);
  const GaMeshScene scene = lit_scene(texture);
  Floats out(3 * n, kNan);
  CHECK(ga_shade_strands(points.data(), normals.data(), colours.data(), seen.data(), seen.data(), &scene, n_strands,
                         n_points, out.data()) == GA_OK);
  CHECK(spoilt != 0.0f || all_finite(out));
  CHECK(ga_shade_strands(nullptr, nullptr, nullptr, nullptr, nullptr, &scene, -1, 1, nullptr) == GA_BAD_ARGUMENT);
}

}  // namespace

void meshes() {
  rasters();
  for (float spoilt : {0.0f, kNan, kInfinity, 1e38f}) {
    for (const auto& [size, oversample] : {std::array{0, 2}, {1, 1}, {1, 4}, {5, 2}, {9, 3}})
      picture(size, oversample, spoilt);
    for (const auto& [count, points] : {std::array{0, 4}, {3, 0}, {1, 1}, {7, 5}}) strands(count, points, spoilt);
  }
}

void first_call_without_memory() {
  const size_t pixels = 100000;
  const Integers index(pixels, 0), corners{0, 1, 2};
  const Floats weights(3 * pixels, 1.0f / 3), attributes{1, 2, 3};
  Floats out(pixels, kNan);
  CHECK(ga_set_threads(4) == GA_OK);
  // Without memory there is no pool; then some of its threads can be started and others cannot.
  for (const Memory memory : {Memory::none, Memory::sometimes, Memory::sometimes, Memory::plenty}) {
    set_memory(memory);
    const int status = ga_interpolate_mesh(index.data(), weights.data(), corners.data(), attributes.data(),
                                           static_cast<int64_t>(pixels), 1, out.data());
    set_memory(Memory::plenty);
    CHECK(status == GA_OK && all_between(out, 1.999f, 2.001f));
  }
}

}  // namespace test
