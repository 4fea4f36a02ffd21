// Mesh rasters and pictures, strands, and sums over a skin, on numbers from seeds.
#include <cmath>

#include "golden.h"
#include "mesh.h"
#include "skin.h"

namespace golden {
namespace {

using test::Floats;
using test::numbers;
using Integers = std::vector<int32_t>;

GaMeshScene lit(const Floats& texture) {
  const GaMeshLight light{{0.0f, 0.6f, -0.8f}, {1, 1, 1}};
  return {light, light, light, {0.4f, 0.4f, 0.4f}, {0.2f, 0.2f, 0.2f}, texture.data(), -1, -1, 2, 1.2f, 4, 4};
}

void meshes() {
  const int32_t n_vertices = 60, n_triangles = 80, size = 24, fine = 2 * size;
  Floats vertices = numbers(3 * n_vertices, 4);
  for (size_t i = 0; i < n_vertices; ++i) vertices[3 * i + 2] = 0.5f + std::fabs(vertices[3 * i + 2]);
  Integers triangles(3 * n_triangles), parts(n_triangles);
  for (size_t i = 0; i < triangles.size(); ++i) triangles[i] = static_cast<int32_t>(i * 7 % n_vertices);
  for (size_t i = 0; i < parts.size(); ++i) parts[i] = static_cast<int32_t>(i % 2);
  const float camera[4] = {40, 42, 23, 25};
  const size_t pixels = static_cast<size_t>(fine) * fine;
  Integers index(pixels);
  Floats weights(3 * pixels), depth(pixels), interpolated(5 * pixels);
  require(ga_rasterize_mesh(vertices.data(), triangles.data(), camera, 1, n_vertices, n_triangles, fine, fine, 0.01f, 0,
                            index.data(), weights.data(), depth.data()),
          "ga_rasterize_mesh");
  const Floats attributes = numbers(5 * n_vertices, 6, 0, 1);
  require(ga_interpolate_mesh(index.data(), weights.data(), triangles.data(), attributes.data(),
                              static_cast<int64_t>(pixels), 5, interpolated.data()),
          "ga_interpolate_mesh");
  const GaMeshMaterial materials[2] = {{{0.3f, 0.2f, 0.1f}, 2, 2, 0, 1}, {{0, 0, 0}, 0, 0, 1, 0}};
  const Floats texture = numbers(4 * 4 * 4, 8, 0, 1), uv = numbers(6 * n_triangles, 9), wall = numbers(3 * size * size, 10, 0, 1);
  const Floats lighting = numbers(12 * n_vertices, 11, 0, 1);
  const GaMeshScene scene = lit(texture);
  std::vector<uint8_t> picture(3 * static_cast<size_t>(size) * size);
  require(ga_shade_mesh(index.data(), weights.data(), triangles.data(), parts.data(), uv.data(), lighting.data(), materials,
                        &scene, wall.data(), size, 2, picture.data()),
          "ga_shade_mesh");
  const int32_t n_strands = 40, n_points = 9, all = n_strands * n_points;
  const Floats points = numbers(3 * all, 1), normals = numbers(3 * all, 2), colours = numbers(3 * n_strands, 3, 0, 1);
  const Floats seen = numbers(all, 4, 0, 1);
  Floats strands(3 * all);
  require(ga_shade_strands(points.data(), normals.data(), colours.data(), seen.data(), seen.data(), &scene, n_strands,
                           n_points, strands.data()),
          "ga_shade_strands");
  put("mesh.index", index), put("mesh.weights", weights), put("mesh.depth", depth), put("mesh.interpolated", interpolated);
  put("mesh.picture", picture), put("strands", strands);
}

void skin() {
  const int32_t frames = 3, height = 40, width = 31, points = 700;
  std::vector<uint8_t> images(static_cast<size_t>(frames) * height * width);
  for (size_t i = 0; i < images.size(); ++i) images[i] = static_cast<uint8_t>(i * 37 % 251);
  Floats poses, cameras, surface;
  for (int32_t f = 0; f < frames; ++f) {
    const float pose[12] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0.003f * f, 0, 0.5f};
    poses.insert(poses.end(), pose, pose + 12);
    cameras.insert(cameras.end(), {2.0f * width, 0.5f * width, 0.5f * height});
  }
  const Floats places = numbers(2 * points, 3, -0.2f, 0.2f);
  for (int32_t p = 0; p < points; ++p) {
    const float point[12] = {places[2 * p], places[2 * p + 1], 0, 0, 0, -1, 1, 0, 0, 0, 1, 0};
    surface.insert(surface.end(), point, point + 12);
  }
  const GaSkinScene scene{images.data(), poses.data(), cameras.data(), surface.data(), frames, height, width, points};
  const Floats known(points, 90.0f), appearance = numbers(4 * points, 5, 0, 1);
  std::vector<double> sums(6 * points), H(36 * frames), g(6 * frames);
  Floats values(frames * points), visible(frames * points);
  require(ga_skin_template(&scene, known.data(), 5.0f, sums.data(), values.data(), visible.data()), "ga_skin_template");
  require(ga_skin_normal(&scene, appearance.data(), 5.0f, H.data(), g.data()), "ga_skin_normal");
  put("skin.sums", sums), put("skin.values", values), put("skin.visible", visible), put("skin.H", H), put("skin.g", g);
}

}  // namespace

void surfaces() {
  meshes();
  skin();
}

}  // namespace golden
