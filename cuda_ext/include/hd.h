// Marks functions that both g++ and nvcc compile, and names the scalar operations they use.
//
// Functions in the *_math.h headers are templates over the number type V: float in CUDA
// kernels, a SIMD vector (cpu/simd.h) in CPU kernels. They call only the operations below,
// which simd.h overloads for vectors. GA_UNROLL before a loop of a fixed number of rounds keeps a kernel's small arrays
// in registers.
#pragma once

#include <math.h>

#if defined(__CUDACC__)
#define GA_HD static __host__ __device__ __forceinline__
#define GA_HD_MEMBER __host__ __device__ __forceinline__
#define GA_UNROLL _Pragma("unroll")
#else
// Internal linkage matters: the same header is compiled for several instruction sets, and
// the linker must never pick the AVX-512 copy of a function for the generic path.
#define GA_HD static inline __attribute__((always_inline, unused))
#define GA_HD_MEMBER inline __attribute__((always_inline))
#define GA_UNROLL
#endif

namespace gaussavatar {

GA_HD float fma(float a, float b, float c) { return a * b + c; }
GA_HD float negated_fma(float a, float b, float c) { return c - a * b; }
GA_HD float min(float a, float b) { return a < b ? a : b; }
GA_HD float max(float a, float b) { return a > b ? a : b; }
GA_HD float square_root(float a) { return sqrtf(a); }
GA_HD float absolute(float a) { return fabsf(a); }
GA_HD float reciprocal(float a) { return 1.0f / a; }
GA_HD float log_2(float a) { return log2f(a); }
GA_HD float exp_2(float a) { return exp2f(a); }
GA_HD float exponential(float a) { return expf(a); }
GA_HD bool greater_equal(float a, float b) { return a >= b; }
GA_HD bool greater(float a, float b) { return a > b; }
GA_HD bool both(bool a, bool b) { return a && b; }
GA_HD float select(bool mask, float a, float b) { return mask ? a : b; }
GA_HD float keep(bool mask, float a) { return mask ? a : 0.0f; }

}  // namespace gaussavatar
