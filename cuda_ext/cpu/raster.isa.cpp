// The rasterizer's vectorised kernels; compiled once per instruction set.
//
// A tile is cut into blocks of one vector: 4 pixels wide and kLanes / 4 high. For chunks of the tile's depth-ordered
// list, an exact interval test finds the blocks that each splat touches; every block then runs over its own short
// list with its pixels' state in registers.
#include "raster_frame.h"
#include "simd.h"

namespace gaussavatar {
namespace GA_ISA {
namespace {

constexpr int kBlockWidth = 4, kBlockHeight = kLanes / kBlockWidth;
// Block (column c, first row y) has the index 16 c + y, or the dense 4 (y / 4) + c when blocks are 4 rows high.
constexpr int kBlocks = kLanes == 16 ? 16 : 64;
constexpr int kForwardChunk = 128, kBackwardChunk = 64;
constexpr int kSums = 9;

GA_INLINE int block_column(int block) { return kLanes == 16 ? block & 3 : block >> 4; }
GA_INLINE int block_row(int block) { return kLanes == 16 ? (block >> 2) * 4 : block & 15; }
// Where a block's pixels lie in per-tile arrays.
GA_INLINE int block_offset(int block) {
  return ((block_row(block) / kBlockHeight) * 4 + block_column(block)) * kLanes;
}

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
GA_INLINE Vec lane_number() {
  float k[kLanes];
  for (int i = 0; i < kLanes; ++i) k[i] = static_cast<float>(i);
  return load(k);
}

// ---- projection ----

GA_INLINE void load_padded(const float* source, int width, int first, int valid, Vec* out) {
  if (valid == kLanes) {
    for (int j = 0; j < width; ++j) out[j] = load_strided(source + static_cast<size_t>(first) * width + j, width);
    return;
  }
  for (int j = 0; j < width; ++j) {
    float lanes[kLanes];
    for (int i = 0; i < kLanes; ++i)
      lanes[i] = source[static_cast<size_t>(first + (i < valid ? i : valid - 1)) * width + j];
    out[j] = load(lanes);
  }
}

GA_INLINE void store_padded(float* target, int width, int first, int valid, const Vec* values) {
  for (int j = 0; j < width; ++j) {
    float lanes[kLanes];
    store(lanes, values[j]);
    for (int i = 0; i < valid; ++i) target[static_cast<size_t>(first + i) * width + j] = lanes[i];
  }
}

GA_INLINE void load_gaussians(const Frame& frame, int first, int valid, Gaussian3<Vec>& g) {
  load_padded(frame.means, 3, first, valid, g.mean);
  load_padded(frame.quats, 4, first, valid, g.quat);
  load_padded(frame.scales, 3, first, valid, g.scale);
  load_padded(frame.opacities, 1, first, valid, &g.opacity);
}

GA_INLINE Mask drawable(const Gaussian3<Vec>& g, Vec depth) {
  // x * 0 is 0 for finite x only, and comparisons with NaN are false.
  Vec all = g.opacity * Vec(0.0f), squared = Vec(0.0f);
  for (int j = 0; j < 3; ++j) all = fma(g.mean[j], Vec(0.0f), fma(g.scale[j], Vec(0.0f), all));
  for (int j = 0; j < 4; ++j) all = fma(g.quat[j], Vec(0.0f), all), squared = fma(g.quat[j], g.quat[j], squared);
  Mask ok = both(greater_equal(all, Vec(0.0f)), greater_equal(squared, Vec(1e-30f)));
  ok = both(ok, both(greater_equal(depth, Vec(kNear)), greater_equal(Vec(kFar), depth)));
  return both(ok, greater_equal(g.opacity, Vec(kMinAlpha)));
}

void project(Frame& frame, int begin, int end) {
  const Vec limit_x = Vec(static_cast<float>(frame.width)), limit_y = Vec(static_cast<float>(frame.height));
  for (int first = begin; first < end; first += kLanes) {
    const int valid = end - first < kLanes ? end - first : kLanes;
    Gaussian3<Vec> g;
    load_gaussians(frame, first, valid, g);
    Vec color[3];
    load_padded(frame.colors, 3, first, valid, color);
    Projection<Vec> p;
    project_forward(g, frame.camera, p);
    Mask shown = drawable(g, p.depth);
    // The ellipse where alpha >= 1/255: d^T C d <= 2 ln(255 opacity); quantities below are in units of log2.
    const Vec log_opacity = log_2(max(g.opacity, Vec(kMinAlpha)));
    const Vec level = max(log_opacity - Vec(kLog2MinAlpha), Vec(0.0f));
    const Vec half = Vec(0.5f * kLog2e);
    const Vec a = p.a * half, b = p.b * half, c = p.c * half;
    const Vec wide = square_root(level * p.xx * Vec(2.0f / kLog2e)) + Vec(0.01f);
    const Vec tall = square_root(level * p.yy * Vec(2.0f / kLog2e)) + Vec(0.01f);
    const Vec inverse_a = Vec(1.0f) / a;

    const Vec narrowing = (a * c - b * b) * inverse_a * inverse_a;
    const Vec zero = Vec(0.0f);
    const Vec left = p.x - wide - Vec(0.5f), right = p.x + wide - Vec(0.5f);
    const Vec top = p.y - tall - Vec(0.5f), bottom = p.y + tall - Vec(0.5f);
    shown = both(shown, both(greater_equal(right, zero), greater(limit_x - Vec(1.0f) + Vec(1e-3f), left)));
    shown = both(shown, both(greater_equal(bottom, zero), greater(limit_y - Vec(1.0f) + Vec(1e-3f), top)));
    const unsigned visible = bits(shown);

    float columns[16][kLanes];
    const Vec values[16] = {p.x, p.y, zero - a, zero - (b + b), zero - c, log_opacity, color[0], color[1], color[2],
                            zero - b * inverse_a, level * inverse_a, narrowing,
                            max(left, zero), min(right, limit_x - Vec(1.0f)),
                            max(top, zero), min(bottom, limit_y - Vec(1.0f))};
    for (int j = 0; j < 16; ++j) store(columns[j], values[j]);
    float depth[kLanes];
    store(depth, p.depth);
    for (int i = 0; i < valid; ++i) {
      frame.depth_bits[first + i] = kHidden;
      if (!(visible >> i & 1)) continue;
      // Pixel centres between left and right: ceil of the lower end, floor of the upper one.
      const int x0 = static_cast<int>(columns[12][i] + 0.99999f), x1 = static_cast<int>(columns[13][i]);
      const int y0 = static_cast<int>(columns[14][i] + 0.99999f), y1 = static_cast<int>(columns[15][i]);
      if (x0 > x1 || y0 > y1) continue;
      float* splat = reinterpret_cast<float*>(&frame.splats[first + i]);
      for (int j = 0; j < 12; ++j) splat[j] = columns[j][i];
      frame.boxes[first + i] = {static_cast<uint16_t>(x0 / kTile), static_cast<uint16_t>(y0 / kTile),
                                static_cast<uint16_t>(x1 / kTile), static_cast<uint16_t>(y1 / kTile)};
      __builtin_memcpy(&frame.depth_bits[first + i], &depth[i], sizeof(float));
    }
  }
}

// ---- blocks of a tile ----

// The blocks of the tile at (tile_x, tile_y) with a pixel centre inside the splat's alpha cut.
GA_INLINE uint64_t touched_blocks(const Splat& splat, Vec rows, float tile_x, float tile_y) {
  unsigned hit[4] = {0, 0, 0, 0};
  for (int part = 0; part < kTile / kLanes; ++part) {
    const Vec dy = rows + Vec(tile_y + static_cast<float>(part * kLanes) - splat.y);
    const Vec half = square_root(negated_fma(Vec(splat.narrowing) * dy, dy, Vec(splat.reach)));
    const Vec centre = fma(Vec(splat.lean), dy, Vec(splat.x - tile_x));
    const Vec left = centre - half - Vec(0.01f), right = centre + half + Vec(0.01f);
    for (int c = 0; c < 4; ++c) {
      const Mask in = both(greater_equal(Vec(4.0f * c + 3.5f), left), greater_equal(right, Vec(4.0f * c + 0.5f)));
      hit[c] |= bits(in) << (part * kLanes);
    }
  }
  uint64_t blocks = 0;
  for (int c = 0; c < 4; ++c) {
    unsigned rows_hit = hit[c];
    if (kBlockHeight >= 2) rows_hit |= rows_hit >> 1;
    if (kBlockHeight >= 4) rows_hit |= rows_hit >> 2;
    if (kBlockHeight == 4) blocks |= static_cast<uint64_t>(rows_hit & 0x1111u) << c;
    if (kBlockHeight == 2) blocks |= static_cast<uint64_t>(rows_hit & 0x5555u) << (16 * c);
    if (kBlockHeight == 1) blocks |= static_cast<uint64_t>(rows_hit) << (16 * c);
  }
  return blocks;
}

// A chunk of a tile's list: the splats that touch a block, copied together, and each block's list of them.
template <int kChunk>
struct Chunk {
  Splat splats[kChunk];
  float position[kChunk];
  uint32_t rank[kChunk];
  uint8_t lists[kBlocks][kChunk];
  int lengths[kBlocks];
  int used;

  __attribute__((always_inline)) void clear() {
    used = 0;
    for (int& length : lengths) length = 0;
  }
  __attribute__((always_inline)) void add(const Splat& splat, uint32_t splat_rank, int where, uint64_t blocks) {
    splats[used] = splat, rank[used] = splat_rank, position[used] = static_cast<float>(where);
    for (; blocks != 0; blocks &= blocks - 1) {
      const int block = __builtin_ctzll(blocks);
      lists[block][lengths[block]++] = static_cast<uint8_t>(used);
    }
    ++used;
  }
};

// log2 of the alpha of a splat at pixels whose centres are (x, y).
GA_INLINE Vec log_alpha(const Splat& splat, Vec x, Vec y, Vec& dx, Vec& dy) {
  dx = x - Vec(splat.x), dy = y - Vec(splat.y);
  return fma(dx, fma(Vec(splat.qa), dx, Vec(splat.qb) * dy), fma(Vec(splat.qc) * dy, dy, Vec(splat.log_opacity)));
}

struct TileState {
  alignas(64) float transmittance[kTilePixels], red[kTilePixels], green[kTilePixels], blue[kTilePixels];
  alignas(64) float last[kTilePixels];
  Mask alive[kBlocks];
};

// Pixels of the tile outside the image never live. Returns the blocks that do.
GA_INLINE uint64_t start_tile(TileState& state, const Frame& frame, int x0, int y0) {
  uint64_t live = 0;
  for (int i = 0; i < kTilePixels; ++i) {
    state.transmittance[i] = 1.0f, state.red[i] = state.green[i] = state.blue[i] = 0.0f, state.last[i] = -1.0f;
  }
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
  Vec transmittance = load(state.transmittance + at), last = load(state.last + at);
  Vec red = load(state.red + at), green = load(state.green + at), blue = load(state.blue + at);
  Mask alive = state.alive[block];
  const uint8_t* list = chunk.lists[block];
  for (int k = 0; k < chunk.lengths[block]; ++k) {
    const Splat& splat = chunk.splats[list[k]];
    Vec dx, dy;
    const Vec power = log_alpha(splat, x, y, dx, dy);
    Mask hit = both(alive, greater_equal(power, Vec(kLog2MinAlpha)));
    const Vec alpha = keep(hit, min(exp_2(power), Vec(kMaxAlpha)));
    const Vec next = negated_fma(alpha, transmittance, transmittance);
    const Mask going = greater(next, Vec(kMinTransmittance));
    const Vec weight = keep(going, alpha * transmittance);
    red = fma(weight, Vec(splat.red), red);
    green = fma(weight, Vec(splat.green), green);
    blue = fma(weight, Vec(splat.blue), blue);
    transmittance = select(going, next, transmittance);
    alive = both(alive, going);
    if (kKeep) last = select(both(hit, going), Vec(chunk.position[list[k]]), last);
    if (!any(alive)) break;
  }
  store(state.transmittance + at, transmittance), store(state.last + at, last);
  store(state.red + at, red), store(state.green + at, green), store(state.blue + at, blue);
  state.alive[block] = alive;
  return any(alive);
}

void write_tile(const TileState& state, const Frame& frame, int x0, int y0, float* rgb, float* alpha) {
  for (int dy = 0; dy < kTile && y0 + dy < frame.height; ++dy) {
    for (int dx = 0; dx < kTile && x0 + dx < frame.width; ++dx) {
      const int at = ((dy / kBlockHeight) * 4 + dx / 4) * kLanes + (dy % kBlockHeight) * 4 + dx % 4;
      const size_t pixel = static_cast<size_t>(y0 + dy) * frame.width + x0 + dx;
      rgb[3 * pixel] = state.red[at], rgb[3 * pixel + 1] = state.green[at], rgb[3 * pixel + 2] = state.blue[at];
      alpha[pixel] = 1.0f - state.transmittance[at];
    }
  }
}

template <bool kKeep>
void blend_tile(Frame& frame, int tile, float* rgb, float* alpha) {
  const int x0 = tile % frame.tiles_x * kTile, y0 = tile / frame.tiles_x * kTile;
  const Vec rows = lane_number() + Vec(0.5f);
  const uint32_t begin = frame.tile_begin[tile], count = frame.tile_begin[tile + 1] - begin;
  TileState state;
  uint64_t live = start_tile(state, frame, x0, y0);
  Chunk<kForwardChunk> chunk;
  for (uint32_t next = 0; next < count && live != 0;) {
    chunk.clear();
    for (; next < count && chunk.used < kForwardChunk; ++next) {
      const uint32_t rank = frame.list[begin + next];
      const Splat& splat = frame.sorted[rank];
      const uint64_t blocks = touched_blocks(splat, rows, x0, y0) & live;
      frame.touched[begin + next] = blocks;
      if (blocks != 0) chunk.add(splat, rank, next, blocks);
    }
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
};

void load_tile_gradients(TileGradientState& state, const Frame& frame, int tile, const float* v_rgb,
                         const float* v_alpha) {
  const int x0 = tile % frame.tiles_x * kTile, y0 = tile / frame.tiles_x * kTile;
  const float* transmittance = frame.transmittance.data() + static_cast<size_t>(tile) * kTilePixels;
  for (int dy = 0; dy < kTile; ++dy) {
    for (int dx = 0; dx < kTile; ++dx) {
      const int at = ((dy / kBlockHeight) * 4 + dx / 4) * kLanes + (dy % kBlockHeight) * 4 + dx % 4;
      const bool inside = y0 + dy < frame.height && x0 + dx < frame.width;
      const size_t pixel = inside ? static_cast<size_t>(y0 + dy) * frame.width + x0 + dx : 0;
      state.transmittance[at] = transmittance[at];
      // alpha = 1 - T is a background of value -1, up to a constant.
      state.behind[at] = inside ? -v_alpha[pixel] : 0.0f;
      state.red[at] = inside ? v_rgb[3 * pixel] : 0.0f;
      state.green[at] = inside ? v_rgb[3 * pixel + 1] : 0.0f;
      state.blue[at] = inside ? v_rgb[3 * pixel + 2] : 0.0f;
    }
  }
}

GA_INLINE void accumulate(float* p, Vec a, Vec b) { store(p, fma(a, b, load(p))); }

// Walks one block's list from back to front: T before a splat is T after it over (1 - alpha), and with u = v . color,
// dL/dalpha = T (u - behind), after which behind = alpha u + (1 - alpha) behind.
GA_INLINE void unblend_block(TileGradientState& state, const Chunk<kBackwardChunk>& chunk, int block, float x0, float y0,
                             const float* last_position, float (*sums)[kSums * kLanes]) {
  const int at = block_offset(block);
  const Vec x = lane_x() + Vec(x0 + 4.0f * block_column(block)), y = lane_y() + Vec(y0 + block_row(block));
  const Vec v_red = load(state.red + at), v_green = load(state.green + at), v_blue = load(state.blue + at);
  const Vec last = load(last_position + at);
  Vec transmittance = load(state.transmittance + at), behind = load(state.behind + at);
  for (int k = chunk.lengths[block] - 1; k >= 0; --k) {
    const int which = chunk.lists[block][k];
    const Splat& splat = chunk.splats[which];
    Vec dx, dy;
    const Vec power = log_alpha(splat, x, y, dx, dy);
    const Mask hit = both(greater_equal(power, Vec(kLog2MinAlpha)), greater_equal(last, Vec(chunk.position[which])));
    const Vec raw = keep(hit, exp_2(power));
    const Vec alpha = min(raw, Vec(kMaxAlpha));
    transmittance = transmittance * reciprocal(Vec(1.0f) - alpha);
    const Vec weight = alpha * transmittance;
    const Vec u = fma(v_red, Vec(splat.red), fma(v_green, Vec(splat.green), v_blue * Vec(splat.blue)));
    const Vec difference = u - behind;
    behind = fma(alpha, difference, behind);
    const Vec g = keep(greater_equal(Vec(kMaxAlpha), raw), weight * difference);
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
  store(state.transmittance + at, transmittance), store(state.behind + at, behind);
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
      const uint64_t blocks = frame.touched[begin + i];
      if (blocks == 0) continue;
      busy |= blocks;
      const uint32_t rank = frame.list[begin + i];
      for (int j = 0; j < kSums; ++j) store(sums[chunk.used] + j * kLanes, Vec(0.0f));
      chunk.add(frame.sorted[rank], rank, i, blocks);
    }
    for (; busy != 0; busy &= busy - 1) unblend_block(state, chunk, __builtin_ctzll(busy), x0, y0, last, sums);
    for (int i = 0; i < chunk.used; ++i) {
      float* target = gradients + static_cast<size_t>(chunk.rank[i]) * kGradientStride;
      for (int j = 0; j < kSums; ++j) target[j] += sum(load(sums[i] + j * kLanes));
    }
    end = start;
  }
}

void project_backward(const Frame& frame, int begin, int end, const FrameGradients& out, double* pose) {
  Vec pose_sum[12];
  for (Vec& v : pose_sum) v = Vec(0.0f);
  const size_t slot_size = static_cast<size_t>(frame.visible) * kGradientStride;
  for (int first = begin; first < end; first += kLanes) {
    const int valid = end - first < kLanes ? end - first : kLanes;
    float sums[kSums][kLanes] = {}, shown[kLanes] = {};
    bool some = false;
    for (int i = 0; i < valid; ++i) {
      const uint32_t rank = frame.rank[first + i];
      if (rank == kHidden) continue;
      some = true, shown[i] = 1.0f;
      for (int slot = 0; slot < frame.slots; ++slot) {
        const float* source = frame.gradients.data() + slot_size * slot + static_cast<size_t>(rank) * kGradientStride;
        for (int j = 0; j < kSums; ++j) sums[j][i] += source[j];
      }
    }
    const Vec zero = Vec(0.0f);
    Vec v_mean[3] = {zero, zero, zero}, v_quat[4] = {zero, zero, zero, zero}, v_scale[3] = {zero, zero, zero};
    Vec v_opacity = zero, v_color[3] = {zero, zero, zero};
    if (some) {
      const Mask visible = greater(load(shown), Vec(0.5f));
      Gaussian3<Vec> g;
      load_gaussians(frame, first, valid, g);
      Projection<Vec> p;
      project_forward(g, frame.camera, p);
      const Vec s0 = load(sums[0]), sx = load(sums[1]), sy = load(sums[2]);
      Splat2Gradient<Vec> v;
      v.x = p.a * sx + p.b * sy, v.y = p.b * sx + p.c * sy;
      v.a = Vec(-0.5f) * load(sums[3]), v.b = zero - load(sums[4]), v.c = Vec(-0.5f) * load(sums[5]);
      Gaussian3Gradient<Vec> d;
      project_backward(g, frame.camera, p, v, d);
      // Hidden Gaussians may be NaN, which zero times would keep.
      for (int j = 0; j < 3; ++j) v_mean[j] = keep(visible, d.mean[j]), v_scale[j] = keep(visible, d.scale[j]);
      for (int j = 0; j < 4; ++j) v_quat[j] = keep(visible, d.quat[j]);
      for (int j = 0; j < 3; ++j) v_color[j] = load(sums[6 + j]);
      v_opacity = keep(visible, s0 / g.opacity);
      for (int k = 0; k < 9; ++k) pose_sum[k] = pose_sum[k] + keep(visible, d.R[k]);
      for (int k = 0; k < 3; ++k) pose_sum[9 + k] = pose_sum[9 + k] + keep(visible, d.t[k]);
    }
    store_padded(out.means, 3, first, valid, v_mean);
    store_padded(out.quats, 4, first, valid, v_quat);
    store_padded(out.scales, 3, first, valid, v_scale);
    store_padded(out.opacities, 1, first, valid, &v_opacity);
    store_padded(out.colors, 3, first, valid, v_color);
  }
  for (int k = 0; k < 12; ++k) pose[k] += sum(pose_sum[k]);
}

}  // namespace

extern const RasterKernels raster_kernels;
const RasterKernels raster_kernels = {project, blend_forward, blend_backward, project_backward};

}  // namespace GA_ISA
}  // namespace gaussavatar
