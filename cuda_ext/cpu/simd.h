// A vector of floats of the instruction set that the including file is compiled for.
//
// Lanes is 16 (AVX-512), 8 (AVX2) or 4 (generic: GCC/Clang vector extensions, which become
// SSE2 on x86-64 and NEON on ARM). Only *.isa.cpp files include this; everything lives in a
// namespace of the instruction set and has internal linkage.
#pragma once

#include <cstdint>

#include "hd.h"

#if defined(GA_AVX512)
#define GA_ISA avx512
#include <immintrin.h>
#elif defined(GA_AVX2)
#define GA_ISA avx2
#include <immintrin.h>
#else
#define GA_ISA generic
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#endif

#define GA_INLINE static inline __attribute__((always_inline, unused))

namespace gaussavatar {
namespace GA_ISA {

#if defined(GA_AVX512)

constexpr int kLanes = 16;
struct Mask {
  __mmask16 m;
};
struct Vec {
  __m512 v;
  Vec() = default;
  __attribute__((always_inline)) explicit Vec(float s) : v(_mm512_set1_ps(s)) {}
  __attribute__((always_inline)) Vec(__m512 x) : v(x) {}
};
GA_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
GA_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
GA_INLINE Vec operator+(Vec a, Vec b) { return _mm512_add_ps(a.v, b.v); }
GA_INLINE Vec operator-(Vec a, Vec b) { return _mm512_sub_ps(a.v, b.v); }
GA_INLINE Vec operator*(Vec a, Vec b) { return _mm512_mul_ps(a.v, b.v); }
GA_INLINE Vec operator/(Vec a, Vec b) { return _mm512_div_ps(a.v, b.v); }
GA_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
GA_INLINE Vec negated_fma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a.v, b.v, c.v); }
GA_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a.v, b.v); }
GA_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a.v, b.v); }
GA_INLINE Vec square_root(Vec a) { return _mm512_sqrt_ps(a.v); }
GA_INLINE Vec absolute(Vec a) { return _mm512_abs_ps(a.v); }
GA_INLINE Vec reciprocal(Vec a) {
  const __m512 r = _mm512_rcp14_ps(a.v);
  return _mm512_mul_ps(r, _mm512_fnmadd_ps(a.v, r, _mm512_set1_ps(2.0f)));
}
GA_INLINE Mask greater_equal(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
GA_INLINE Mask greater(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
GA_INLINE Mask both(Mask a, Mask b) { return {static_cast<__mmask16>(a.m & b.m)}; }
GA_INLINE unsigned bits(Mask a) { return a.m; }
GA_INLINE bool any(Mask a) { return a.m != 0; }
GA_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_ps(m.m, b.v, a.v); }
GA_INLINE Vec keep(Mask m, Vec a) { return _mm512_maskz_mov_ps(m.m, a.v); }
// (2^f - 1) / f for |f| <= 1/16, Taylor; the error of 2^f is below 1.5e-7.
GA_INLINE Vec small_exp_2(Vec f) {
  return fma(fma(f, Vec(0.0555041087f), Vec(0.240226507f)), f, Vec(0.693147181f));
}
// 2^x = 2^floor(n) 2^(n - floor(n)) 2^f with n = x rounded to sixteenths, the second factor from a table.
GA_INLINE Vec exp_2(Vec x) {
  const __m512 powers = _mm512_setr_ps(
      1.0f, 1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f, 1.29683959f,
      1.35425556f, 1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f, 1.68179286f, 1.75625217f,
      1.8340081f, 1.91520655f);
  const Vec magic = Vec(786432.0f);  // 1.5 * 2^19: adding it leaves 16 n in the low bits
  const Vec shifted = x + magic, n = shifted - magic, f = x - n;
  const Vec power = _mm512_permutexvar_ps(_mm512_castps_si512(shifted.v), powers);
  const Vec p = fma(power * f, small_exp_2(f), power);
  return _mm512_scalef_ps(p.v, n.v);
}
GA_INLINE void split_exponent(Vec x, Vec& exponent, Vec& mantissa) {
  exponent = _mm512_getexp_ps(x.v);
  mantissa = _mm512_getmant_ps(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
}
GA_INLINE Vec load_strided(const float* p, int stride) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_i32gather_ps(_mm512_mullo_epi32(lane, _mm512_set1_epi32(stride)), p, 4);
}
GA_INLINE float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
// NaN for negative numbers, also for zero.
GA_INLINE Vec rough_square_root(Vec a) { return _mm512_mul_ps(a.v, _mm512_rsqrt14_ps(a.v)); }
constexpr bool kHasCompress = true;
// Appends first + i to a list for every i whose masks[i] has the bit; returns how many. Writes kLanes entries.
GA_INLINE int append_where(uint32_t* list, const uint32_t* masks, int first, uint32_t bit) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __mmask16 chosen = _mm512_test_epi32_mask(_mm512_load_si512(masks), _mm512_set1_epi32(static_cast<int>(bit)));
  const __m512i numbers = _mm512_add_epi32(lane, _mm512_set1_epi32(first));
  _mm512_storeu_si512(list, _mm512_maskz_compress_epi32(chosen, numbers));
  return __builtin_popcount(chosen);
}
// target[j] += sum of lanes of the j-th of nine vectors.
GA_INLINE void add_nine_sums(float* target, const float* nine) {
  __m512 pairs[4], quads[2];
  for (int j = 0; j < 4; ++j) {
    const __m512 a = _mm512_load_ps(nine + 32 * j), b = _mm512_load_ps(nine + 32 * j + 16);
    pairs[j] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
  for (int j = 0; j < 2; ++j) {
    const __m512d a = _mm512_castps_pd(pairs[2 * j]), b = _mm512_castps_pd(pairs[2 * j + 1]);
    quads[j] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  const __m512 halves = _mm512_add_ps(_mm512_shuffle_f32x4(quads[0], quads[1], 0x88),
                                      _mm512_shuffle_f32x4(quads[0], quads[1], 0xdd));
  // 128-bit parts: two of the first four sums, two of the last four.
  const __m256 low = _mm512_castps512_ps256(halves), high = _mm512_extractf32x8_ps(halves, 1);
  const __m256 eight = _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
  _mm256_store_ps(target, _mm256_add_ps(_mm256_load_ps(target), eight));
  target[8] += _mm512_reduce_add_ps(_mm512_load_ps(nine + 128));
}

#elif defined(GA_AVX2)

constexpr int kLanes = 8;
struct Mask {
  __m256 m;
};
struct Vec {
  __m256 v;
  Vec() = default;
  __attribute__((always_inline)) explicit Vec(float s) : v(_mm256_set1_ps(s)) {}
  __attribute__((always_inline)) Vec(__m256 x) : v(x) {}
};
GA_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
GA_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
GA_INLINE Vec operator+(Vec a, Vec b) { return _mm256_add_ps(a.v, b.v); }
GA_INLINE Vec operator-(Vec a, Vec b) { return _mm256_sub_ps(a.v, b.v); }
GA_INLINE Vec operator*(Vec a, Vec b) { return _mm256_mul_ps(a.v, b.v); }
GA_INLINE Vec operator/(Vec a, Vec b) { return _mm256_div_ps(a.v, b.v); }
GA_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
GA_INLINE Vec negated_fma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a.v, b.v, c.v); }
GA_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a.v, b.v); }
GA_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a.v, b.v); }
GA_INLINE Vec square_root(Vec a) { return _mm256_sqrt_ps(a.v); }
GA_INLINE Vec absolute(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v); }
GA_INLINE Vec reciprocal(Vec a) {
  Vec r = _mm256_rcp_ps(a.v);
  r = _mm256_mul_ps(r.v, _mm256_fnmadd_ps(a.v, r.v, _mm256_set1_ps(2.0f)));
  return r;
}
GA_INLINE Mask greater_equal(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
GA_INLINE Mask greater(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
GA_INLINE Mask both(Mask a, Mask b) { return {_mm256_and_ps(a.m, b.m)}; }
GA_INLINE unsigned bits(Mask a) { return static_cast<unsigned>(_mm256_movemask_ps(a.m)); }
GA_INLINE bool any(Mask a) { return _mm256_movemask_ps(a.m) != 0; }
GA_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm256_blendv_ps(b.v, a.v, m.m); }
GA_INLINE Vec keep(Mask m, Vec a) { return _mm256_and_ps(m.m, a.v); }
// (2^f - 1) / f for |f| <= 1/16, Taylor; the error of 2^f is below 1.5e-7.
GA_INLINE Vec small_exp_2(Vec f) {
  return fma(fma(f, Vec(0.0555041087f), Vec(0.240226507f)), f, Vec(0.693147181f));
}
// 2^x = 2^floor(n) 2^(n - floor(n)) 2^f with n = x rounded to eighths, the second factor from a table.
GA_INLINE Vec exp_2(Vec x) {
  const __m256 powers = _mm256_setr_ps(
      1.0f, 1.09050775f, 1.18920708f, 1.29683959f, 1.41421354f, 1.54221082f, 1.68179286f, 1.8340081f);
  const Vec magic = Vec(1572864.0f);  // 1.5 * 2^20: adding it leaves 8 n in the low bits
  const Vec shifted = x + magic, f = x - (shifted - magic);
  const __m256i eighths = _mm256_castps_si256(shifted.v);
  const Vec power = _mm256_permutevar8x32_ps(powers, eighths);
  const Vec p = fma(power * f, small_exp_2(f), power);
  const __m256i exponent = _mm256_slli_epi32(_mm256_andnot_si256(_mm256_set1_epi32(7), eighths), 20);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p.v), exponent));
}
GA_INLINE void split_exponent(Vec x, Vec& exponent, Vec& mantissa) {
  const __m256i raw = _mm256_castps_si256(x.v);
  exponent = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(raw, 23), _mm256_set1_epi32(127)));
  const __m256i fraction = _mm256_and_si256(raw, _mm256_set1_epi32(0x7fffff));
  mantissa = _mm256_castsi256_ps(_mm256_or_si256(fraction, _mm256_set1_epi32(0x3f800000)));
}
GA_INLINE Vec load_strided(const float* p, int stride) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_i32gather_ps(p, _mm256_mullo_epi32(lane, _mm256_set1_epi32(stride)), 4);
}
GA_INLINE float sum(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
GA_INLINE Vec rough_square_root(Vec a) { return _mm256_mul_ps(a.v, _mm256_rsqrt_ps(a.v)); }
constexpr bool kHasCompress = false;
GA_INLINE int append_where(uint32_t*, const uint32_t*, int, uint32_t) { return 0; }
GA_INLINE void add_nine_sums(float* target, const float* nine) {
  __m256 quads[2];
  for (int j = 0; j < 2; ++j) {
    const float* four = nine + 32 * j;
    quads[j] = _mm256_hadd_ps(_mm256_hadd_ps(_mm256_load_ps(four), _mm256_load_ps(four + 8)),
                              _mm256_hadd_ps(_mm256_load_ps(four + 16), _mm256_load_ps(four + 24)));
  }
  const __m256 eight = _mm256_add_ps(_mm256_permute2f128_ps(quads[0], quads[1], 0x20),
                                     _mm256_permute2f128_ps(quads[0], quads[1], 0x31));
  _mm256_store_ps(target, _mm256_add_ps(_mm256_load_ps(target), eight));
  target[8] += sum(load(nine + 64));
}

#else

constexpr int kLanes = 4;
typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));
struct Mask {
  Int4 m;
};
struct Vec {
  Float4 v;
  Vec() = default;
  __attribute__((always_inline)) explicit Vec(float s) : v(Float4{s, s, s, s}) {}
  __attribute__((always_inline)) Vec(Float4 x) : v(x) {}
};
GA_INLINE Vec load(const float* p) {
  Vec a;
  __builtin_memcpy(&a.v, p, sizeof a.v);
  return a;
}
GA_INLINE void store(float* p, Vec a) { __builtin_memcpy(p, &a.v, sizeof a.v); }
GA_INLINE Vec operator+(Vec a, Vec b) { return a.v + b.v; }
GA_INLINE Vec operator-(Vec a, Vec b) { return a.v - b.v; }
GA_INLINE Vec operator*(Vec a, Vec b) { return a.v * b.v; }
GA_INLINE Vec operator/(Vec a, Vec b) { return a.v / b.v; }
GA_INLINE Vec fma(Vec a, Vec b, Vec c) { return a.v * b.v + c.v; }
GA_INLINE Vec negated_fma(Vec a, Vec b, Vec c) { return c.v - a.v * b.v; }
GA_INLINE Vec select(Mask m, Vec a, Vec b) { return (Float4)(((Int4)a.v & m.m) | ((Int4)b.v & ~m.m)); }
GA_INLINE Vec keep(Mask m, Vec a) { return (Float4)((Int4)a.v & m.m); }
GA_INLINE Mask greater_equal(Vec a, Vec b) { return {(Int4)(a.v >= b.v)}; }
GA_INLINE Mask greater(Vec a, Vec b) { return {(Int4)(a.v > b.v)}; }
GA_INLINE Mask both(Mask a, Mask b) { return {a.m & b.m}; }
GA_INLINE Vec min(Vec a, Vec b) { return select({(Int4)(a.v < b.v)}, a, b); }
GA_INLINE Vec max(Vec a, Vec b) { return select({(Int4)(a.v > b.v)}, a, b); }
GA_INLINE Vec square_root(Vec a) {
#if defined(__SSE2__)
  return _mm_sqrt_ps(a.v);
#endif
  return Float4{__builtin_sqrtf(a.v[0]), __builtin_sqrtf(a.v[1]), __builtin_sqrtf(a.v[2]), __builtin_sqrtf(a.v[3])};
}
GA_INLINE Vec absolute(Vec a) { return (Float4)((Int4)a.v & 0x7fffffff); }
GA_INLINE Vec reciprocal(Vec a) { return Float4{1.0f, 1.0f, 1.0f, 1.0f} / a.v; }
GA_INLINE unsigned bits(Mask a) {
  const Int4 weighted = a.m & Int4{1, 2, 4, 8};
  return static_cast<unsigned>(weighted[0] | weighted[1] | weighted[2] | weighted[3]);
}
GA_INLINE bool any(Mask a) {
  typedef int64_t Long2 __attribute__((vector_size(16)));
  const Long2 wide = (Long2)a.m;
  return (wide[0] | wide[1]) != 0;
}
// Polynomial of degree 5 for 2^f on [-1/2, 1/2], relative error 7.5e-8 (weighted least squares on Chebyshev nodes).
constexpr float kExp0 = 1.000000072f, kExp1 = 6.931469671e-01f, kExp2 = 2.402211972e-01f;
constexpr float kExp3 = 5.550713275e-02f, kExp4 = 9.675541503e-03f, kExp5 = 1.327647196e-03f;
GA_INLINE Vec exp_2(Vec x) {
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves that integer in the low bits.
  const Vec magic = Vec(12582912.0f);
  const Vec shifted = x + magic;
  const Vec f = x - (shifted - magic);
  Vec p = fma(Vec(kExp5), f, Vec(kExp4));
  p = fma(p, f, Vec(kExp3)), p = fma(p, f, Vec(kExp2)), p = fma(p, f, Vec(kExp1)), p = fma(p, f, Vec(kExp0));
  return (Float4)((Int4)p.v + ((Int4)shifted.v << 23));
}
GA_INLINE void split_exponent(Vec x, Vec& exponent, Vec& mantissa) {
  const Int4 raw = (Int4)x.v;
  exponent = __builtin_convertvector((raw >> 23) - 127, Float4);
  mantissa = (Float4)((raw & 0x7fffff) | 0x3f800000);
}
GA_INLINE Vec load_strided(const float* p, int stride) {
  return Float4{p[0], p[stride], p[2 * stride], p[3 * stride]};
}
GA_INLINE float sum(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
GA_INLINE Vec rough_square_root(Vec a) { return square_root(a); }
constexpr bool kHasCompress = false;
GA_INLINE int append_where(uint32_t*, const uint32_t*, int, uint32_t) { return 0; }
GA_INLINE void add_nine_sums(float* target, const float* nine) {
  for (int j = 0; j < 9; ++j) target[j] += sum(load(nine + 4 * j));
}

#endif

// log2 of positive normal numbers: log2(m) = 2 / ln 2 * artanh((m - 1) / (m + 1)), m brought to [sqrt(1/2), sqrt(2)].
GA_INLINE Vec log_2(Vec x) {
  Vec exponent, mantissa;
  split_exponent(x, exponent, mantissa);
  const Mask large = greater(mantissa, Vec(1.41421356f));
  mantissa = select(large, mantissa * Vec(0.5f), mantissa);
  exponent = select(large, exponent + Vec(1.0f), exponent);
  const Vec s = (mantissa - Vec(1.0f)) / (mantissa + Vec(1.0f)), s2 = s * s;
  Vec series = fma(s2, Vec(1.0f / 9.0f), Vec(1.0f / 7.0f));
  series = fma(s2, series, Vec(1.0f / 5.0f)), series = fma(s2, series, Vec(1.0f / 3.0f));
  series = fma(s2, series, Vec(1.0f));
  return fma(s * Vec(2.8853900817779268f), series, exponent);
}

}  // namespace GA_ISA
}  // namespace gaussavatar
