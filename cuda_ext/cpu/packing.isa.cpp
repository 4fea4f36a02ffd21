// Rows of packed pictures, once per instruction set: see packing.h for the format. A block is worked on at once.
#include <cstring>

#include "../include/packing.h"
#include "packing_rows.h"
#include "simd.h"

namespace gaussavatar {
namespace GA_ISA {
namespace {

constexpr int kSpan = kBlock * kGroup;

// Repeats the lowest `bits` bits of each lane of `lane` bits.
constexpr uint64_t low_bits(int bits, int lane) {
  uint64_t mask = 0;
  for (int at = 0; at < 64; at += lane) mask |= ((uint64_t{1} << bits) - 1) << at;
  return mask;
}

constexpr uint64_t kOnes = low_bits(1, 8);

GA_INLINE uint64_t load_word(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, 8);
  return word;
}

#if defined(GA_AVX2) || defined(GA_AVX512)

constexpr uint64_t kWidth[] = {0,
                               low_bits(1, 8), low_bits(2, 8), low_bits(3, 8), low_bits(4, 8),
                               low_bits(5, 8), low_bits(6, 8), low_bits(7, 8), ~uint64_t{0}};

// out = above + the sums, begun at `last`, of the numbers that the block at `from` holds.
GA_INLINE uint8_t block(const uint8_t* from, int width, uint8_t last, const uint8_t* above, uint8_t* out) {
  const uint64_t mask = kWidth[width];
  const __m128i packed = _mm_set_epi64x(static_cast<int64_t>(_pdep_u64(load_word(from + width), mask)),
                                        static_cast<int64_t>(_pdep_u64(load_word(from), mask)));
  const __m128i half = _mm_and_si128(_mm_srli_epi16(packed, 1), _mm_set1_epi8(0x7f));
  __m128i sums = _mm_xor_si128(half, _mm_sub_epi8(_mm_setzero_si128(), _mm_and_si128(packed, _mm_set1_epi8(1))));
  sums = _mm_add_epi8(sums, _mm_slli_si128(sums, 1));
  sums = _mm_add_epi8(sums, _mm_slli_si128(sums, 2));
  sums = _mm_add_epi8(sums, _mm_slli_si128(sums, 4));
  sums = _mm_add_epi8(sums, _mm_slli_si128(sums, 8));
  sums = _mm_add_epi8(sums, _mm_set1_epi8(static_cast<char>(last)));
  const __m128i over = _mm_loadu_si128(reinterpret_cast<const __m128i*>(above));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_add_epi8(over, sums));
  return static_cast<uint8_t>(_mm_extract_epi8(sums, 15));
}

#else

// Eight numbers of `width` bits, one behind the other, to eight bytes.
template <int width>
uint64_t spread(uint64_t word) {
  if constexpr (width == 8) {
    return word;
  } else {
    constexpr uint64_t four = low_bits(4 * width, 64), two = low_bits(2 * width, 32), one = low_bits(width, 16);
    word = (word & four) | (word >> 4 * width & four) << 32;
    word = (word & two) | (word >> 2 * width & two) << 16;
    return (word & one) | (word >> width & one) << 8;
  }
}

template <int width>
uint8_t block_of(const uint8_t* from, uint8_t last, const uint8_t* above, uint8_t* out) {
  constexpr uint64_t pairs = low_bits(1, 16), even_bytes = low_bits(8, 16);
  uint8_t sums[kBlock];
  for (int half = 0; half < 2; ++half) {
    uint64_t word = spread<width>(load_word(from + half * width));
    word = (word >> 1 & 0x7f * kOnes) ^ (word & kOnes) * 0xff;
    // Sums in lanes of 16 bits, which do not overflow: of even and of odd bytes, then of both.
    const uint64_t even = (word & even_bytes) * pairs + last * pairs, odd = (word >> 8 & even_bytes) * pairs;
    word = ((even + (odd << 16)) & even_bytes) | (even + odd & even_bytes) << 8;
    std::memcpy(sums + 8 * half, &word, 8);
    last = static_cast<uint8_t>(word >> 56);
  }
  for (int i = 0; i < kBlock; ++i) out[i] = above[i] + sums[i];
  return last;
}

GA_INLINE uint8_t block(const uint8_t* from, int width, uint8_t last, const uint8_t* above, uint8_t* out) {
  switch (width) {
    case 1: return block_of<1>(from, last, above, out);
    case 2: return block_of<2>(from, last, above, out);
    case 3: return block_of<3>(from, last, above, out);
    case 4: return block_of<4>(from, last, above, out);
    case 5: return block_of<5>(from, last, above, out);
    case 6: return block_of<6>(from, last, above, out);
    case 7: return block_of<7>(from, last, above, out);
    case 8: return block_of<8>(from, last, above, out);
    default:
      for (int i = 0; i < kBlock; ++i) out[i] = above[i] + last;
      return last;
  }
}

#endif

void take(const uint8_t* row, int pixels, int channels, int channel, int base, uint8_t* out) {
  const uint8_t *own = row + channel, *less = row + base;
  if (channels == 3 && base != channel)
    for (int x = 0; x < pixels; ++x) out[x] = own[3 * x] - less[3 * x];
  else if (channels == 3)
    for (int x = 0; x < pixels; ++x) out[x] = own[3 * x];
  else if (channels == 4)
    for (int x = 0; x < pixels; ++x) out[x] = own[4 * x];
  else
    for (int x = 0; x < pixels; ++x) out[x] = own[channels * x];
}

void weave(const uint8_t* const* rows, int pixels, int channels, uint8_t* out) {
  if (channels == 3) {
    const uint8_t *red = rows[0], *green = rows[1], *blue = rows[2];
    for (int x = 0; x < pixels; ++x) {
      const uint8_t middle = green[x];
      out[3 * x] = red[x] + middle, out[3 * x + 1] = middle, out[3 * x + 2] = blue[x] + middle;
    }
  } else if (channels == 4) {
    const uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    for (int x = 0; x < pixels; ++x) out[4 * x] = a[x], out[4 * x + 1] = b[x], out[4 * x + 2] = c[x], out[4 * x + 3] = d[x];
  } else {
    for (int c = 0; c < channels; ++c)
      for (int x = 0; x < pixels; ++x) out[static_cast<int64_t>(x) * channels + c] = rows[c][x];
  }
}

void left_over(const uint8_t* row, const uint8_t* above, int64_t width, uint8_t* differences, uint8_t* numbers) {
  differences[0] = 0;
  for (int64_t x = 0; x < width; ++x) differences[x + 1] = row[x] - above[x];
  for (int64_t x = 0; x < width; ++x) {
    const uint8_t rest = differences[x + 1] - differences[x];
    numbers[x] = static_cast<uint8_t>(rest << 1) ^ static_cast<uint8_t>(rest & 0x80 ? 0xff : 0);
  }
}

// A group with widths of its blocks; false where its bytes are not there.
GA_INLINE bool mixed(Packed& packed, const uint8_t* above, const uint8_t* other, uint8_t& last, uint8_t* out) {
  const int64_t there = packed.end - packed.from;
  if (there < 2) return false;
  int widths[kGroup] = {packed.from[0] & 15, packed.from[0] >> 4, packed.from[1] & 15, packed.from[1] >> 4};
  int bytes = 2;
  for (const int width : widths) {
    if (width > kSameBlock || (width == kSameBlock && other == nullptr)) return false;
    bytes += width == kSameBlock ? 0 : 2 * width;
  }
  if (there < bytes) return false;
  // Words are read whole, so that the last group's need bytes behind them.
  uint8_t copy[2 + kSpan + 16] = {};
  const uint8_t* from = packed.from;
  if (there < bytes + 16) from = static_cast<uint8_t*>(std::memcpy(copy, from, bytes));
  packed.from += bytes;
  from += 2;
  for (int b = 0; b < kGroup; ++b, above += kBlock, out += kBlock) {
    if (widths[b] == kSameBlock) {
      std::memcpy(out, other + b * kBlock, kBlock);
      last = out[kBlock - 1] - above[kBlock - 1];
    } else {
      last = block(from, widths[b], last, above, out);
      from += 2 * widths[b];
    }
  }
  return true;
}

bool next(Packed& packed, const uint8_t* above, const uint8_t* other, int64_t width, uint8_t* out) {
  uint8_t last = 0;
  for (int64_t x = 0; x < width; x += kSpan, ++packed.number) {
    const int code = packed.codes[packed.number / 4] >> (2 * (packed.number % 4)) & 3;
    if (code == kMixed) {
      if (!mixed(packed, above + x, other == nullptr ? nullptr : other + x, last, out + x)) return false;
    } else if (code == kStill) {
      for (int i = 0; i < kSpan; ++i) out[x + i] = above[x + i] + last;
    } else {
      if (code != kSameGroup || other == nullptr) return false;
      std::memcpy(out + x, other + x, kSpan);
      last = out[x + kSpan - 1] - above[x + kSpan - 1];
    }
  }
  return true;
}

}  // namespace

extern const PackingKernels packing_kernels;
const PackingKernels packing_kernels = {take, weave, left_over, next};

}  // namespace GA_ISA
}  // namespace gaussavatar
