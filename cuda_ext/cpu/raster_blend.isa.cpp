// Blending of the splats of a tile and its backward pass; compiled once per instruction set.
//
// A tile is cut into blocks of one vector: 4 pixels wide and kLanes / 4 high. For chunks of the tile's depth-ordered
// list, an exact interval test finds the blocks that each splat touches; every block then runs over its own short
// list with its pixels' state in registers.
#include <cstring>

#include "blend_math.h"
#include "raster_frame.h"
#include "simd.h"

namespace gaussavatar {
namespace GA_ISA {
namespace {

constexpr int kBlockWidth = 4, kBlockHeight = kLanes / kBlockWidth;
// Block (column c, first row y) has the number 16 c + y, or the dense 4 (y / 4) + c when blocks are 4 rows high.
constexpr int kBlocks = kLanes == 16 ? 16 : 64;
constexpr int kForwardChunk = 128, kBackwardChunk = 64;
constexpr int kAhead = 8;  // list entries that are prefetched before they are needed

GA_INLINE int block_column(int block) { return kLanes == 16 ? block & 3 : block >> 4; }
GA_INLINE int block_row(int block) { return kLanes == 16 ? (block >> 2) * 4 : block & 15; }
// Where a block's pixels lie in per-tile arrays.
GA_INLINE int block_offset(int block) { return ((block_row(block) / kBlockHeight) * 4 + block_column(block)) * kLanes; }
// The same for the four pixels of row y, columns 4 c to 4 c + 3.
GA_INLINE int quad_offset(int y, int c) { return ((y / kBlockHeight) * 4 + c) * kLanes + (y % kBlockHeight) * 4; }

GA_INLINE Vec lane_x() {
  float x[kLanes];
  for (int i = 0; i < kLanes; ++i) x[i] = static_cast<float>(i % kBlockWidth) + 0.5f;
  return load(x);
}
GA_INLINE Vec lane_y() {
  float y[kLanes];
  for (int i = 0; i < kLanes; ++i) y[i] = static_cast<float>(i / kBlockWidth) + 0.5f;
  return load(y);
}
GA_INLINE Vec lane_row() {
  float y[kLanes];
  for (int i = 0; i < kLanes; ++i) y[i] = static_cast<float>(i) + 0.5f;
  return load(y);
}

// The blocks of the tile at (tile_x, tile_y) with a pixel centre inside the splat's alpha cut, or a hair outside it.
GA_INLINE uint64_t touched_blocks(const Splat& splat, Vec rows, float tile_x, float tile_y) {
  uint64_t hit = 0;  // bit 16 c + y: row y has a pixel in columns 4 c to 4 c + 3
  for (int part = 0; part < kTile / kLanes; ++part) {
    const Vec dy = rows + Vec(tile_y + static_cast<float>(part * kLanes) - splat.y);
    const Vec half = rough_square_root(negated_fma(Vec(splat.narrowing) * dy, dy, Vec(splat.reach)));
    const Vec centre = fma(Vec(splat.lean), dy, Vec(splat.x - tile_x));
    const Vec left = centre - half, right = centre + half;
    for (int c = 0; c < 4; ++c) {
      const Mask in = both(greater_equal(Vec(4.0f * c + 3.5f), left), greater_equal(right, Vec(4.0f * c + 0.5f)));
      hit |= static_cast<uint64_t>(bits(in)) << (16 * c + part * kLanes);
    }
  }
  if (kBlockHeight >= 2) hit |= hit >> 1;
  if (kBlockHeight >= 4) hit |= hit >> 2;
  // A block's first row now stands for all its rows; what came in from the next column's rows lies on other rows.
  if (kBlockHeight == 2) return hit & 0x5555555555555555ull;
  if (kBlockHeight == 1) return hit;
  hit &= 0x1111111111111111ull;
  return (hit | hit >> 15 | hit >> 30 | hit >> 45) & 0xffff;
}

// A chunk of a tile's list: the splats that touch a block, copied together, and each block's list of them.
template <int kChunk>
struct Chunk {
  Splat splats[kChunk];
  float position[kChunk];
  uint32_t rank[kChunk];
  alignas(64) uint32_t blocks[kChunk];  // with kHasCompress only
  alignas(64) uint32_t lists[kBlocks][kChunk];
  int lengths[kBlocks];
  int used;

  __attribute__((always_inline)) void clear() {
    used = 0;
    for (int& length : lengths) length = 0;
  }

  __attribute__((always_inline)) void add(const Splat& splat, uint32_t splat_rank, uint32_t where, uint64_t touched) {
    splats[used] = splat, rank[used] = splat_rank, position[used] = static_cast<float>(where);
    if (kHasCompress) {
      blocks[used] = static_cast<uint32_t>(touched);
    } else {
      for (; touched != 0; touched &= touched - 1) {
        const int block = __builtin_ctzll(touched);
        lists[block][lengths[block]++] = used;
      }
    }
    ++used;
  }

  // Makes the lists of the blocks in `wanted`, where add() has not.
  __attribute__((always_inline)) void finish(uint64_t wanted) {
    if (!kHasCompress) return;
    for (int i = used; i % kLanes != 0; ++i) blocks[i] = 0;
    for (; wanted != 0; wanted &= wanted - 1) {
      const int block = __builtin_ctzll(wanted);
      int length = 0;
      for (int i = 0; i < used; i += kLanes) length += append_where(lists[block] + length, blocks + i, i, 1u << block);
      lengths[block] = length;
    }
  }
};

struct TileState {
  alignas(64) float transmittance[kTilePixels], red[kTilePixels], green[kTilePixels], blue[kTilePixels];
  alignas(64) float last[kTilePixels];
  Mask alive[kBlocks];
};

// Pixels of the tile outside the image never live. Returns the blocks that do.
GA_INLINE uint64_t start_tile(TileState& state, const Frame& frame, int x0, int y0) {
  uint64_t live = 0;
  for (int i = 0; i < kTilePixels; ++i) state.transmittance[i] = 1.0f, state.last[i] = -1.0f;
  for (int i = 0; i < kTilePixels; ++i) state.red[i] = state.green[i] = state.blue[i] = 0.0f;
  const Vec width = Vec(static_cast<float>(frame.width)), height = Vec(static_cast<float>(frame.height));
  for (int block = 0; block < kBlocks; ++block) {
    if (block_row(block) % kBlockHeight != 0) continue;
    const Vec x = lane_x() + Vec(static_cast<float>(x0 + 4 * block_column(block)));
    const Vec y = lane_y() + Vec(static_cast<float>(y0 + block_row(block)));
    state.alive[block] = both(greater(width, x), greater(height, y));
    if (any(state.alive[block])) live |= 1ull << block;
  }
  return live;
}

template <bool kKeep>
GA_INLINE bool blend_block(TileState& state, const Chunk<kForwardChunk>& chunk, int block, float x0, float y0) {
  const int at = block_offset(block);
  const Vec x = lane_x() + Vec(x0 + 4.0f * block_column(block)), y = lane_y() + Vec(y0 + block_row(block));
  PixelBlend<Vec> pixel{load(state.transmittance + at), load(state.red + at), load(state.green + at),
                        load(state.blue + at)};
  Vec last = load(state.last + at);
  Mask alive = state.alive[block];
  const uint32_t* list = chunk.lists[block];
  for (int k = 0; k < chunk.lengths[block]; ++k) {
    const Splat& splat = chunk.splats[list[k]];
    const Vec power = log_alpha(splat, x - Vec(splat.x), y - Vec(splat.y));
    const Mask added = blend_splat(splat, power, pixel, alive);
    if (kKeep) last = select(added, Vec(chunk.position[list[k]]), last);
    if (!any(alive)) break;
  }
  store(state.transmittance + at, pixel.transmittance), store(state.last + at, last);
  store(state.red + at, pixel.red), store(state.green + at, pixel.green), store(state.blue + at, pixel.blue);
  state.alive[block] = alive;
  return any(alive);
}

GA_INLINE void write_quad(const TileState& state, int at, int count, float* rgb, float* alpha) {
  for (int k = 0; k < count; ++k) {
    rgb[3 * k] = state.red[at + k], rgb[3 * k + 1] = state.green[at + k], rgb[3 * k + 2] = state.blue[at + k];
    alpha[k] = 1.0f - state.transmittance[at + k];
  }
}

void write_tile(const TileState& state, const Frame& frame, int x0, int y0, float* rgb, float* alpha) {
  const bool whole = x0 + kTile <= frame.width;
  for (int y = 0; y < kTile && y0 + y < frame.height; ++y) {
    const size_t pixel = static_cast<size_t>(y0 + y) * frame.width + x0;
    if (whole) {
      for (int c = 0; c < 4; ++c)
        write_quad(state, quad_offset(y, c), 4, rgb + 3 * (pixel + 4 * c), alpha + pixel + 4 * c);
    } else {
      for (int x = 0; x0 + x < frame.width; ++x)
        write_quad(state, quad_offset(y, x / 4) + x % 4, 1, rgb + 3 * (pixel + x), alpha + pixel + x);
    }
  }
}

// A tile that no splat touches.
void clear_tile(const Frame& frame, int x0, int y0, float* rgb, float* alpha) {
  const size_t width = static_cast<size_t>(x0 + kTile < frame.width ? kTile : frame.width - x0);
  for (int y = 0; y < kTile && y0 + y < frame.height; ++y) {
    const size_t pixel = static_cast<size_t>(y0 + y) * frame.width + x0;
    std::memset(rgb + 3 * pixel, 0, 3 * width * sizeof(float));
    std::memset(alpha + pixel, 0, width * sizeof(float));
  }
}

template <bool kKeep>
void blend_tile(Frame& frame, int tile, float* rgb, float* alpha) {
  const int x0 = tile % frame.tiles_x * kTile, y0 = tile / frame.tiles_x * kTile;
  const uint32_t begin = frame.tile_begin[tile], count = frame.tile_begin[tile + 1] - begin;
  if (count == 0) {
    clear_tile(frame, x0, y0, rgb, alpha);
    if (kKeep) frame.tile_used[tile] = 0;
    return;
  }
  const Vec rows = lane_row();
  TileState state;
  uint64_t live = start_tile(state, frame, x0, y0);
  Chunk<kForwardChunk> chunk;
  for (uint32_t next = 0; next < count && live != 0;) {
    chunk.clear();
    for (; next < count && chunk.used < kForwardChunk; ++next) {
      const uint32_t rank = frame.list[begin + next];
      if (next + kAhead < count) __builtin_prefetch(&frame.sorted[frame.list[begin + next + kAhead]]);
      const Splat& splat = frame.sorted[rank];
      const uint64_t blocks = touched_blocks(splat, rows, x0, y0) & live;
      if (kKeep) frame.touched[begin + next] = blocks;
      if (blocks != 0) chunk.add(splat, rank, next, blocks);
    }
    chunk.finish(live);
    for (uint64_t left = live; left != 0; left &= left - 1) {
      const int block = __builtin_ctzll(left);
      if (!blend_block<kKeep>(state, chunk, block, x0, y0)) live &= ~(1ull << block);
    }
  }
  write_tile(state, frame, x0, y0, rgb, alpha);
  if (kKeep) {
    float deepest = -1.0f;
    float* transmittance = frame.transmittance.data() + static_cast<size_t>(tile) * kTilePixels;
    float* last = frame.last.data() + static_cast<size_t>(tile) * kTilePixels;
    for (int i = 0; i < kTilePixels; ++i) {
      transmittance[i] = state.transmittance[i], last[i] = state.last[i];
      deepest = state.last[i] > deepest ? state.last[i] : deepest;
    }
    frame.tile_used[tile] = static_cast<uint32_t>(deepest + 1.0f);
  }
}

void blend_forward(Frame& frame, int tile, bool keep, float* rgb, float* alpha) {
  if (keep)
    blend_tile<true>(frame, tile, rgb, alpha);
  else
    blend_tile<false>(frame, tile, rgb, alpha);
}

// ---- backward ----

struct TileGradientState {
  alignas(64) float transmittance[kTilePixels];  // behind the splats visited so far, back to front
  alignas(64) float behind[kTilePixels];         // dL/d(colour and alpha) of everything behind, per unit transmittance
  alignas(64) float red[kTilePixels], green[kTilePixels], blue[kTilePixels];  // dL/drgb
  float deepest[kBlocks];                        // last list position that any pixel of a block uses
};

GA_INLINE void load_quad(TileGradientState& state, int at, int count, const float* v_rgb, const float* v_alpha) {
  for (int k = 0; k < count; ++k) {
    // alpha = 1 - T is a background of value -1, up to a constant.
    state.behind[at + k] = -v_alpha[k];
    state.red[at + k] = v_rgb[3 * k], state.green[at + k] = v_rgb[3 * k + 1], state.blue[at + k] = v_rgb[3 * k + 2];
  }
}

void load_tile_gradients(TileGradientState& state, const Frame& frame, int tile, const float* v_rgb,
                         const float* v_alpha) {
  const int x0 = tile % frame.tiles_x * kTile, y0 = tile / frame.tiles_x * kTile;
  const float* transmittance = frame.transmittance.data() + static_cast<size_t>(tile) * kTilePixels;
  const float* last = frame.last.data() + static_cast<size_t>(tile) * kTilePixels;
  for (int i = 0; i < kTilePixels; ++i) state.transmittance[i] = transmittance[i];
  const bool whole = x0 + kTile <= frame.width && y0 + kTile <= frame.height;
  if (!whole)
    for (int i = 0; i < kTilePixels; ++i) state.behind[i] = state.red[i] = state.green[i] = state.blue[i] = 0.0f;
  for (int y = 0; y < kTile && y0 + y < frame.height; ++y) {
    const size_t pixel = static_cast<size_t>(y0 + y) * frame.width + x0;
    if (whole) {
      for (int c = 0; c < 4; ++c)
        load_quad(state, quad_offset(y, c), 4, v_rgb + 3 * (pixel + 4 * c), v_alpha + pixel + 4 * c);
    } else {
      for (int x = 0; x < kTile && x0 + x < frame.width; ++x)
        load_quad(state, quad_offset(y, x / 4) + x % 4, 1, v_rgb + 3 * (pixel + x), v_alpha + pixel + x);
    }
  }
  for (int block = 0; block < kBlocks; ++block) {
    if (block_row(block) % kBlockHeight != 0) continue;
    float deepest = -1.0f;
    for (int i = 0; i < kLanes; ++i) {
      const float here = last[block_offset(block) + i];
      deepest = here > deepest ? here : deepest;
    }
    state.deepest[block] = deepest;
  }
}

GA_INLINE void accumulate(float* p, Vec a, Vec b) { store(p, fma(a, b, load(p))); }

// Walks one block's list from back to front.
GA_INLINE void unblend_block(TileGradientState& state, const Chunk<kBackwardChunk>& chunk, int block, float x0, float y0,
                             const float* last_position, float (*sums)[kSums * kLanes]) {
  const int at = block_offset(block);
  const uint32_t* list = chunk.lists[block];
  int k = chunk.lengths[block] - 1;
  while (k >= 0 && chunk.position[list[k]] > state.deepest[block]) --k;
  if (k < 0) return;
  const Vec x = lane_x() + Vec(x0 + 4.0f * block_column(block)), y = lane_y() + Vec(y0 + block_row(block));
  const Vec v_red = load(state.red + at), v_green = load(state.green + at), v_blue = load(state.blue + at);
  const Vec last = load(last_position + at);
  PixelUnblend<Vec> pixel{load(state.transmittance + at), load(state.behind + at)};
  for (; k >= 0; --k) {
    const uint32_t which = list[k];
    const Splat& splat = chunk.splats[which];
    const Vec dx = x - Vec(splat.x), dy = y - Vec(splat.y);
    const Vec power = log_alpha(splat, dx, dy);
    const Mask hit = both(greater_equal(power, Vec(kLog2MinAlpha)), greater_equal(last, Vec(chunk.position[which])));
    const SplatShare<Vec> share = unblend_splat(splat, power, hit, v_red, v_green, v_blue, pixel);
    const Vec g = share.g, weight = share.weight;
    const Vec gx = g * dx, gy = g * dy;
    float* sum = sums[which];
    store(sum, load(sum) + g);
    store(sum + kLanes, load(sum + kLanes) + gx);
    store(sum + 2 * kLanes, load(sum + 2 * kLanes) + gy);
    accumulate(sum + 3 * kLanes, gx, dx);
    accumulate(sum + 4 * kLanes, gx, dy);
    accumulate(sum + 5 * kLanes, gy, dy);
    accumulate(sum + 6 * kLanes, weight, v_red);
    accumulate(sum + 7 * kLanes, weight, v_green);
    accumulate(sum + 8 * kLanes, weight, v_blue);
  }
  store(state.transmittance + at, pixel.transmittance), store(state.behind + at, pixel.behind);
}

void blend_backward(const Frame& frame, int tile, const float* v_rgb, const float* v_alpha, float* gradients) {
  const uint32_t used = frame.tile_used[tile];
  if (used == 0) return;
  const int x0 = tile % frame.tiles_x * kTile, y0 = tile / frame.tiles_x * kTile;
  const uint32_t begin = frame.tile_begin[tile];
  const float* last = frame.last.data() + static_cast<size_t>(tile) * kTilePixels;
  TileGradientState state;
  load_tile_gradients(state, frame, tile, v_rgb, v_alpha);
  Chunk<kBackwardChunk> chunk;
  alignas(64) float sums[kBackwardChunk][kSums * kLanes];
  for (uint32_t end = used; end > 0;) {
    const uint32_t start = end > kBackwardChunk ? end - kBackwardChunk : 0;
    chunk.clear();
    uint64_t busy = 0;
    for (uint32_t i = start; i < end; ++i) {
      if (i + kAhead < end) __builtin_prefetch(&frame.sorted[frame.list[begin + i + kAhead]]);
      const uint64_t blocks = frame.touched[begin + i];
      if (blocks == 0) continue;
      busy |= blocks;
      const uint32_t rank = frame.list[begin + i];
      __builtin_prefetch(gradients + static_cast<size_t>(rank) * kGradientStride, 1);
      for (int j = 0; j < kSums; ++j) store(sums[chunk.used] + j * kLanes, Vec(0.0f));
      chunk.add(frame.sorted[rank], rank, i, blocks);
    }
    chunk.finish(busy);
    for (; busy != 0; busy &= busy - 1) unblend_block(state, chunk, __builtin_ctzll(busy), x0, y0, last, sums);
    for (int i = 0; i < chunk.used; ++i)
      add_nine_sums(gradients + static_cast<size_t>(chunk.rank[i]) * kGradientStride, sums[i]);
    end = start;
  }
}

}  // namespace

extern const BlendKernels blend_kernels;
const BlendKernels blend_kernels = {blend_forward, blend_backward};

}  // namespace GA_ISA
}  // namespace gaussavatar
