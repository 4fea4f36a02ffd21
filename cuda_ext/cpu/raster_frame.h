// What one frame's rasterization keeps between its stages, and the table of vectorised kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../include/native_api.h"
#include "../include/splat_math.h"
#include "buffer.h"
#include "dispatch.h"

namespace gaussavatar {

constexpr int kTile = 16;             // tiles are kTile x kTile pixels
constexpr int kTilePixels = kTile * kTile;
constexpr int kSums = 9;              // gradient sums per splat, see BlendKernels::backward
constexpr int kGradientStride = 16;   // floats per Gaussian in a gradient buffer
constexpr uint32_t kHidden = 0xffffffffu;

// A projected Gaussian, ready to be blended: log2(alpha) = log_opacity + dx (qa dx + qb dy) + qc dy^2.
struct Splat {
  float x, y, qa, qb, qc, log_opacity, red, green, blue;
  float lean, reach, narrowing;  // at height dy its alpha cut is x + lean dy +- sqrt(reach - narrowing dy^2)
};

struct TileBox {
  uint16_t x0, y0, x1, y1;  // inclusive
};

struct Frame {
  int count = 0, width = 0, height = 0, tiles_x = 0, tiles_y = 0, slots = 1;
  uint32_t visible = 0;
  Camera camera;
  // Pointers to this frame's inputs, valid during a call.
  const float *means, *quats, *scales, *opacities, *colors;

  Buffer<Splat> splats, sorted;           // by Gaussian; by depth
  Buffer<TileBox> boxes;                  // by Gaussian
  Buffer<uint32_t> depth_bits, rank;      // by Gaussian; kHidden when not drawn
  Buffer<uint64_t> order, order_scratch;  // (depth bits, Gaussian) of the visible ones
  Buffer<uint32_t> cursor;                // [slots][tiles]
  Buffer<uint32_t> tile_begin;            // [tiles + 1]
  Buffer<uint32_t> tile_used;             // [tiles]: entries of the list that backward has to look at
  Buffer<uint32_t> list;                  // depth ranks, tile by tile, front to back
  Buffer<uint64_t> touched;               // per list entry: the blocks of the tile that it touches
  Buffer<float> transmittance, last;      // [tiles][256] in block order; last contributing list position, or -1
  Buffer<float> gradients;                // [slots][visible][kGradientStride]

  int tiles() const { return tiles_x * tiles_y; }
};

struct FrameGradients {
  float *means, *quats, *scales, *opacities, *colors;
};

struct ProjectKernels {
  // Fills splats, boxes and depth_bits of Gaussians [begin, end).
  void (*forward)(Frame& frame, int begin, int end);
  // Chain rule from the sums to the inputs of Gaussians [begin, end); pose receives dL/dR (9) and dL/dt (3).
  void (*backward)(const Frame& frame, int begin, int end, const FrameGradients& out, double* pose);
};

struct BlendKernels {
  // Draws one tile. With keep, also stores what backward needs.
  void (*forward)(Frame& frame, int tile, bool keep, float* rgb, float* alpha);
  // Adds one tile's gradients to a buffer [visible][kGradientStride]: sums over pixels of g, g dx, g dy, g dx^2,
  // g dx dy, g dy^2 (g = alpha dL/dalpha), and of the colour gradients.
  void (*backward)(const Frame& frame, int tile, const float* v_rgb, const float* v_alpha, float* gradients);
};

GA_DISPATCH(ProjectKernels, project_kernels)
GA_DISPATCH(BlendKernels, blend_kernels)

// Sorts the visible Gaussians by depth and lists them per tile; runs on frame.slots threads.
void bin_frame(Frame& frame);

}  // namespace gaussavatar
