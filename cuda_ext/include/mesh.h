// Triangle-mesh z-buffer, plain C interface.
//
// Conventions: OpenCV camera space (x right, y down, z forward, metres), pixel centres at +0.5, row-major arrays.
#pragma once

#include <cstdint>

#include "native_api.h"

extern "C" {

// Rasterizes n_batch meshes that share their triangles.
//
// vertices       (n_batch, n_vertices, 3) camera space
// triangles      (n_triangles, 3) vertex indices, already checked to lie in range
// intrinsics     (n_batch, 4) fx, fy, cx, cy
// triangle_index (n_batch, height, width) nearest triangle or -1
// barycentrics   (n_batch, height, width, 3) perspective-correct weights of its corners, 0 where there is none
// depth          (n_batch, height, width) camera z, 0 where there is none
//
// A triangle with a corner nearer than `near` is left out. With cull != 0, triangles that turn clockwise in the
// image (y down), seen by the camera, are left out. Ties in depth go to the smaller triangle index.
GA_EXPORT int ga_rasterize_mesh(const float* vertices, const int32_t* triangles, const float* intrinsics,
                                int32_t n_batch, int32_t n_vertices, int32_t n_triangles, int32_t width,
                                int32_t height, float near, int32_t cull, int32_t* triangle_index,
                                float* barycentrics, float* depth);

// Interpolates per-corner or per-vertex attributes over a raster: out (height * width, n_channels), 0 where empty.
//
// corners (n_triangles, 3) rows of `attributes` (n_rows, n_channels) at the corners of every triangle.
GA_EXPORT int ga_interpolate_mesh(const int32_t* triangle_index, const float* barycentrics, const int32_t* corners,
                                  const float* attributes, int64_t n_pixels, int32_t n_channels, float* out);

// A directional light: direction towards it (unit), colour, and whether the key's or the sky's visibility shades it.
typedef struct {
  float direction[3];
  float colour[3];
} GaMeshLight;

// How one part of a mesh answers light. wrap: how far light bleeds around the terminator, per channel. broad and
// tight: strengths of a wide and a small highlight. emissive != 0: the vertex colour is already lit.
typedef struct {
  float wrap[3];
  float broad, tight;
  int32_t emissive, textured;
} GaMeshMaterial;

typedef struct {
  GaMeshLight key, fill, rim;
  float sky[3], ground[3];
  // The texture covers texels x = (u - left) * scale, y = (v - top) * scale; 4 channels: colour and gloss.
  const float* texture;
  float left, top, scale, exposure;
  int32_t texture_width, texture_height;
} GaMeshScene;

// Lights a raster of (size * oversample)^2 pixels (oversample 1 to 4) and filters it to a picture of size^2: sRGB bytes
// (size, size, 3). A colour that is not a number is drawn black.
//
// parts      (n_triangles) index into materials
// corner_uv  (n_triangles, 3, 2)
// vertices   (n_vertices, 12): normal 3, colour 3, gloss, sky seen, key seen, camera-space position 3
// wall       (size, size, 3) linear colour behind the mesh
GA_EXPORT int ga_shade_mesh(const int32_t* triangle_index, const float* barycentrics, const int32_t* triangles,
                            const int32_t* parts, const float* corner_uv, const float* vertices,
                            const GaMeshMaterial* materials, const GaMeshScene* scene, const float* wall,
                            int32_t size, int32_t oversample, uint8_t* out);

// Lights hair strands: points (n_strands, n_points, 3) in camera space, normal the same, colour (n_strands, 3),
// sky and key seen per point; writes out (n_strands, n_points, 3).
GA_EXPORT int ga_shade_strands(const float* points, const float* normals, const float* colours, const float* sky_seen,
                               const float* key_seen, const GaMeshScene* scene, int32_t n_strands, int32_t n_points,
                               float* out);
}
