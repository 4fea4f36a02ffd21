// Deferred shading of mesh rasters, for pictures of the demo actor: see mesh.h for the interface.
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "mesh.h"
#include "status.h"
#include "threads.h"

namespace {

struct Vec {
  float x, y, z;
};

Vec operator+(Vec a, Vec b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
Vec operator-(Vec a, Vec b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
Vec operator*(float s, Vec a) { return {s * a.x, s * a.y, s * a.z}; }
float dot(Vec a, Vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
Vec unit(Vec a) { return (1.0f / std::sqrt(std::max(dot(a, a), 1e-20f))) * a; }
Vec load(const float* p) { return {p[0], p[1], p[2]}; }
// Zero for what is not a number.
float clamp01(float x) { return std::min(std::max(0.0f, x), 1.0f); }

float squared_times(float x, int times) {
  for (int i = 0; i < times; ++i) x *= x;
  return x;
}

// Bilinear texture lookup; false where the place lies outside the texture.
bool sample(const GaMeshScene& scene, float u, float v, float* out) {
  const float x = (u - scene.left) * scene.scale - 0.5f, y = (v - scene.top) * scene.scale - 0.5f;
  if (!(x >= 0 && y >= 0 && x < scene.texture_width - 1 && y < scene.texture_height - 1)) return false;
  const int column = static_cast<int>(x), row = static_cast<int>(y);
  const float fx = x - column, fy = y - row;
  const float* a = scene.texture + 4 * (static_cast<std::size_t>(row) * scene.texture_width + column);
  const float* b = a + 4 * static_cast<std::size_t>(scene.texture_width);
  for (int k = 0; k < 4; ++k)
    out[k] = (1 - fy) * ((1 - fx) * a[k] + fx * a[k + 4]) + fy * ((1 - fx) * b[k] + fx * b[k + 4]);
  return true;
}

// Diffuse light with a tinted terminator, sky and ground light, and two highlights of the key (Blinn 1977) under
// Schlick's Fresnel factor.
void light_surface(const GaMeshScene& scene, const GaMeshMaterial& material, Vec normal, Vec view, const float* albedo,
                   float gloss, float sky_seen, float key_seen, float* out) {
  const float key = dot(normal, load(scene.key.direction));
  const float fill = std::max(dot(normal, load(scene.fill.direction)), 0.0f);
  const float rim = std::max(dot(normal, load(scene.rim.direction)), 0.0f);
  const float up = clamp01(0.5f - 0.5f * normal.y);
  const float facing = clamp01(dot(normal, view));
  const float grazing = 1 - facing;
  const float fresnel = 0.028f + 0.5f * grazing * squared_times(grazing, 2);
  const float bright = std::max(dot(normal, unit(view + load(scene.key.direction))), 0.0f);
  const float lobes = material.broad * squared_times(bright, 4) + material.tight * squared_times(bright, 7);
  const float highlight = fresnel * gloss * (lobes * key_seen * clamp01(4 * key + 0.4f) + 0.55f * sky_seen);
  for (int k = 0; k < 3; ++k) {
    const float wrap = material.wrap[k];
    const float lambert = std::max((key + wrap) / (1 + wrap), 0.0f);
    // Shadows of skin are tinted like its terminator: red light travels furthest below the surface.
    const float shadow = key_seen * (1 + 1.4f * wrap * (1 - key_seen));
    const float open = sky_seen * (1 + 1.4f * wrap * (1 - sky_seen));
    const float light = lambert * shadow * scene.key.colour[k] +
                        open * (fill * scene.fill.colour[k] + rim * scene.rim.colour[k] + up * scene.sky[k] +
                                (1 - up) * scene.ground[k]);
    out[k] = albedo[k] * light + highlight;
  }
}

constexpr int32_t MAX_SAMPLES = 16;
constexpr int32_t COUNTED = -2;

// The linear colour of one point of a triangle.
void light_point(const GaMeshScene& scene, const GaMeshMaterial& material, const int32_t* corners, const float* uv,
                 const float* w, const float* vertices, float* out) {
  const float* a = vertices + 12 * static_cast<std::size_t>(corners[0]);
  const float* b = vertices + 12 * static_cast<std::size_t>(corners[1]);
  const float* c = vertices + 12 * static_cast<std::size_t>(corners[2]);
  float value[12];
  for (int k = 0; k < 12; ++k) value[k] = w[0] * a[k] + w[1] * b[k] + w[2] * c[k];
  if (material.emissive) {
    std::copy_n(value + 3, 3, out);
    return;
  }
  float albedo[4] = {value[3], value[4], value[5], value[6]};
  if (material.textured)
    sample(scene, w[0] * uv[0] + w[1] * uv[2] + w[2] * uv[4], w[0] * uv[1] + w[1] * uv[3] + w[2] * uv[5], albedo);
  light_surface(scene, material, unit(load(value)), unit(-1.0f * load(value + 9)), albedo, albedo[3], value[7],
                value[8], out);
}

// A film-like shoulder, 1 - exp(-exposure * linear) by the exponential's series: 0 stays 0, bright light nears 1.
float tone(const GaMeshScene& scene, float linear) {
  const float x = scene.exposure * linear;
  return 1.0f - 1.0f / (1.0f + x * (1.0f + x * (0.5f + x * (1.0f / 6 + x * (1.0f / 24)))));
}

Vec tone(const GaMeshScene& scene, Vec linear) {
  return {tone(scene, linear.x), tone(scene, linear.y), tone(scene, linear.z)};
}

// Gamma 2.2, by a table.
struct Codes {
  uint8_t of[4096];
  Codes() {
    for (int i = 0; i < 4096; ++i) of[i] = static_cast<uint8_t>(std::pow(i / 4095.0, 1 / 2.2) * 255.0 + 0.5);
  }
};

uint8_t encode(float toned) {
  static const Codes codes;
  return codes.of[static_cast<int>(clamp01(toned) * 4095.0f + 0.5f)];
}

// A picture to be made of a raster; the arguments of ga_shade_mesh.
struct Shading {
  const int32_t* triangle_index;
  const float* barycentrics;
  const int32_t *triangles, *parts;
  const float *corner_uv, *vertices;
  const GaMeshMaterial* materials;
  const GaMeshScene* scene;
  const float* wall;
  int32_t size, oversample;
};

void shade_pixel(const Shading& s, int32_t x, int32_t y, uint8_t* out) {
  const std::size_t fine = static_cast<std::size_t>(s.size) * s.oversample;
  const int32_t n_samples = s.oversample * s.oversample;
  const std::size_t pixel = static_cast<std::size_t>(y) * s.size + x;
  const Vec behind = tone(*s.scene, load(s.wall + 3 * pixel));
  Vec sum{0, 0, 0};
  // Subpixels of one triangle are lit once, at their mean; edges still count every subpixel.
  int32_t shown[MAX_SAMPLES];
  const float* weights[MAX_SAMPLES];
  for (int32_t k = 0; k < n_samples; ++k) {
    const std::size_t at = (static_cast<std::size_t>(y) * s.oversample + k / s.oversample) * fine +
                           (static_cast<std::size_t>(x) * s.oversample + k % s.oversample);
    shown[k] = s.triangle_index[at];
    weights[k] = s.barycentrics + 3 * at;
  }
  for (int32_t k = 0; k < n_samples; ++k) {
    const int32_t t = shown[k];
    if (t == COUNTED) continue;
    int32_t count = 0;
    Vec place{0, 0, 0};
    for (int32_t other = k; other < n_samples; ++other) {
      if (shown[other] != t) continue;
      place = place + load(weights[other]);
      shown[other] = COUNTED;
      ++count;
    }
    if (t < 0) {
      sum = sum + static_cast<float>(count) * behind;
      continue;
    }
    place = (1.0f / count) * place;
    Vec colour;
    light_point(*s.scene, s.materials[s.parts[t]], s.triangles + 3 * static_cast<std::size_t>(t),
                s.corner_uv + 6 * static_cast<std::size_t>(t), &place.x, s.vertices, &colour.x);
    // Bright light is compressed before the mean is taken, so that edges of highlights stay smooth.
    sum = sum + static_cast<float>(count) * tone(*s.scene, colour);
  }
  const Vec mean = (1.0f / n_samples) * sum;
  out[3 * pixel] = encode(mean.x);
  out[3 * pixel + 1] = encode(mean.y);
  out[3 * pixel + 2] = encode(mean.z);
}

// Kajiya and Kay's (1989) strand light with two shifted highlights in the manner of Marschner et al. (2003): the first
// white, the second in the hair's own colour.
void light_strand(const float* points, const float* normals, const float* base, const float* sky_seen,
                  const float* key_seen, const GaMeshScene& scene, int32_t n_points, float* out) {
  const GaMeshLight* lights[3] = {&scene.key, &scene.rim, &scene.fill};
  for (int32_t at = 0; at < n_points; ++at) {
    const int32_t next = at + 1 < n_points ? at + 1 : at, last = at > 0 ? at - 1 : at;
    const Vec tangent = unit(load(points + 3 * next) - load(points + 3 * last));
    const Vec view = unit(-1.0f * load(points + 3 * at)), normal = load(normals + 3 * at);
    float* colour = out + 3 * at;
    for (int k = 0; k < 3; ++k)
      colour[k] = base[k] * sky_seen[at] * (0.9f * scene.sky[k] + 0.5f * scene.ground[k]);
    for (int l = 0; l < 3; ++l) {
      const Vec direction = load(lights[l]->direction);
      const float seen = l == 0 ? key_seen[at] : sky_seen[at];
      const float facing = clamp01(0.35f + 0.65f * dot(normal, direction)) * seen;
      const float along = dot(tangent, direction);
      const float sine = std::sqrt(std::max(1 - along * along, 0.0f));
      const float along_half = dot(tangent, unit(view + direction));
      const float first = squared_times(clamp01(1 - (along_half + 0.07f) * (along_half + 0.07f)), 6);
      const float second = squared_times(clamp01(1 - (along_half - 0.10f) * (along_half - 0.10f)), 4);
      for (int k = 0; k < 3; ++k)
        colour[k] += facing * lights[l]->colour[k] * (base[k] * (0.75f * sine + 0.9f * second) + 0.055f * first);
    }
  }
}

}  // namespace

int ga_shade_mesh(const int32_t* triangle_index, const float* barycentrics, const int32_t* triangles,
                  const int32_t* parts, const float* corner_uv, const float* vertices,
                  const GaMeshMaterial* materials, const GaMeshScene* scene, const float* wall, int32_t size,
                  int32_t oversample, uint8_t* out) {
  if (size < 0 || oversample < 1 || oversample * oversample > MAX_SAMPLES) return GA_BAD_ARGUMENT;
  const Shading shading{triangle_index, barycentrics, triangles, parts, corner_uv, vertices,
                        materials,      scene,        wall,      size,  oversample};
  return gaussavatar::guarded([&] {
    gaussavatar::parallel_for(size, [&](int y) {
      for (int32_t x = 0; x < size; ++x) shade_pixel(shading, x, y, out);
    });
  });
}

int ga_shade_strands(const float* points, const float* normals, const float* colours, const float* sky_seen,
                     const float* key_seen, const GaMeshScene* scene, int32_t n_strands, int32_t n_points,
                     float* out) {
  if (n_strands < 0 || n_points < 0) return GA_BAD_ARGUMENT;
  return gaussavatar::guarded([&] {
    gaussavatar::parallel_for(n_strands, [&](int strand) {
      const std::size_t at = static_cast<std::size_t>(strand) * n_points;
      light_strand(points + 3 * at, normals + 3 * at, colours + 3 * static_cast<std::size_t>(strand), sky_seen + at,
                   key_seen + at, *scene, n_points, out + 3 * at);
    });
  });
}
