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
GA_EXPORT void ga_rasterize_mesh(const float* vertices, const int32_t* triangles, const float* intrinsics,
                                int32_t n_batch, int32_t n_vertices, int32_t n_triangles, int32_t width,
                                int32_t height, float near, int32_t cull, int32_t n_threads,
                                int32_t* triangle_index, float* barycentrics, float* depth);

// Interpolates per-corner or per-vertex attributes over a raster: out (height * width, n_channels), 0 where empty.
//
// corners (n_triangles, 3) rows of `attributes` (n_rows, n_channels) at the corners of every triangle.
GA_EXPORT void ga_interpolate_mesh(const int32_t* triangle_index, const float* barycentrics, const int32_t* corners,
                                  const float* attributes, int64_t n_pixels, int32_t n_channels, float* out);
}
