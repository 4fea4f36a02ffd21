// Depth order and tile lists. A few integer operations per Gaussian; the same code on every instruction set.
#include <algorithm>
#include <cstring>

#include "raster_frame.h"
#include "threads.h"

namespace gaussavatar {
namespace {

constexpr int kDigit = 11;  // bits per radix pass

// Stable sort by the upper 32 bits, of which only the low `width` after subtracting `lowest` differ.
void radix_sort(uint64_t*& keys, uint64_t*& scratch, uint32_t n, uint32_t lowest, int width) {
  uint32_t counts[1 << kDigit];
  for (int shift = 0; shift < width; shift += kDigit) {
    std::memset(counts, 0, sizeof counts);
    const uint32_t mask = (1u << kDigit) - 1;
    auto digit = [&](uint64_t key) { return ((static_cast<uint32_t>(key >> 32) - lowest) >> shift) & mask; };
    for (uint32_t i = 0; i < n; ++i) ++counts[digit(keys[i])];
    uint32_t total = 0;
    for (uint32_t& count : counts) {
      const uint32_t here = count;
      count = total;
      total += here;
    }
    for (uint32_t i = 0; i < n; ++i) scratch[counts[digit(keys[i])]++] = keys[i];
    std::swap(keys, scratch);
  }
}

// Fills frame.sorted and frame.rank; returns the Gaussians in depth order.
const uint64_t* sort_by_depth(Frame& frame) {
  frame.order.reserve(frame.count), frame.order_scratch.reserve(frame.count);
  uint64_t *keys = frame.order.data(), *scratch = frame.order_scratch.data();
  uint32_t n = 0, lowest = kHidden, highest = 0;
  for (int i = 0; i < frame.count; ++i) {
    const uint32_t bits = frame.depth_bits[i];
    frame.rank[i] = kHidden;
    if (bits == kHidden) continue;
    lowest = std::min(lowest, bits), highest = std::max(highest, bits);
    keys[n++] = (static_cast<uint64_t>(bits) << 32) | static_cast<uint32_t>(i);
  }
  frame.visible = n;
  const uint32_t span = n == 0 ? 0 : highest - lowest;
  radix_sort(keys, scratch, n, lowest, span == 0 ? 0 : 32 - __builtin_clz(span));
  return keys;
}

}  // namespace

void bin_frame(Frame& frame) {
  const uint64_t* order = sort_by_depth(frame);
  const int tiles = frame.tiles(), slots = frame.slots;
  const uint32_t n = frame.visible;
  frame.sorted.reserve(n);
  frame.cursor.reserve(static_cast<size_t>(slots) * tiles);
  frame.tile_begin.reserve(tiles + 1);
  auto first_of = [&](int slot) { return static_cast<uint32_t>(static_cast<uint64_t>(n) * slot / slots); };

  parallel_for(slots, [&](int slot) {
    uint32_t* counts = frame.cursor.data() + static_cast<size_t>(slot) * tiles;
    std::fill(counts, counts + tiles, 0u);
    for (uint32_t r = first_of(slot); r < first_of(slot + 1); ++r) {
      const uint32_t i = static_cast<uint32_t>(order[r]);
      frame.sorted[r] = frame.splats[i];
      frame.rank[i] = r;
      const TileBox box = frame.boxes[i];
      for (int y = box.y0; y <= box.y1; ++y)
        for (int x = box.x0; x <= box.x1; ++x) ++counts[y * frame.tiles_x + x];
    }
  });

  uint32_t total = 0;
  for (int tile = 0; tile < tiles; ++tile) {
    frame.tile_begin[tile] = total;
    for (int slot = 0; slot < slots; ++slot) {
      uint32_t& count = frame.cursor[static_cast<size_t>(slot) * tiles + tile];
      const uint32_t here = count;
      count = total;
      total += here;
    }
  }
  frame.tile_begin[tiles] = total;
  frame.list.reserve(total), frame.touched.reserve(total);

  parallel_for(slots, [&](int slot) {
    uint32_t* cursor = frame.cursor.data() + static_cast<size_t>(slot) * tiles;
    for (uint32_t r = first_of(slot); r < first_of(slot + 1); ++r) {
      const TileBox box = frame.boxes[static_cast<uint32_t>(order[r])];
      for (int y = box.y0; y <= box.y1; ++y)
        for (int x = box.x0; x <= box.x1; ++x) frame.list[cursor[y * frame.tiles_x + x]++] = r;
    }
  });
}

}  // namespace gaussavatar
