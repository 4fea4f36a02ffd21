#include "dispatch.h"

#include <atomic>
#include <cstring>

#include "../include/native_api.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace gaussavatar {
namespace {

constexpr const char* kNames[] = {"generic", "avx2", "avx512"};

#if defined(__x86_64__)
// What the processor has and the system saves (Intel's manual, volume 2A, CPUID, and volume 1, section 13.3). Asked
// directly: __builtin_cpu_supports answers no to everything where a compiler's own library does not fill in its table.
bool extended(Isa isa) {
  constexpr unsigned kFma = 1u << 12, kSaves = 1u << 27, kAvx = 1u << 28;                             // leaf 1, ecx
  constexpr unsigned kAvx2 = 1u << 5, kBmi2 = 1u << 8;                                                // leaf 7, ebx
  constexpr unsigned kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;                             // F, DQ, BW, VL
  constexpr unsigned kWide = 0x6, kWider = 0xe6;                                                      // XCR0
  unsigned a = 0, b = 0, c = 0, d = 0, saved = 0, high = 0;
  constexpr unsigned first = kFma | kSaves | kAvx;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & first) != first) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  const bool avx2 = (b & kAvx2) && (b & kBmi2) && (saved & kWide) == kWide;
  return isa == Isa::avx2 ? avx2 : avx2 && (b & kAvx512) == kAvx512 && (saved & kWider) == kWider;
}
#endif

bool supported(Isa isa) {
  if (isa == Isa::generic) return true;
#if defined(__x86_64__)
  static const bool avx2 = extended(Isa::avx2), avx512 = extended(Isa::avx512);
  return isa == Isa::avx512 ? avx512 : avx2;
#else
  return false;
#endif
}

bool find(const char* name, Isa& isa) {
  for (int i = 0; i < 3; ++i) {
    isa = static_cast<Isa>(i);
    if (std::strcmp(name, kNames[i]) == 0) return supported(isa);
  }
  return false;
}

Isa best() {
  if (supported(Isa::avx512)) return Isa::avx512;
  return supported(Isa::avx2) ? Isa::avx2 : Isa::generic;
}

std::atomic<int> chosen{-1};

}  // namespace

Isa current_isa() {
  const int set = chosen.load(std::memory_order_relaxed);
  if (set >= 0) return static_cast<Isa>(set);
  const Isa isa = best();
  chosen.store(static_cast<int>(isa));
  return isa;
}

}  // namespace gaussavatar

int ga_isa(const char** name) {
  *name = gaussavatar::kNames[static_cast<int>(gaussavatar::current_isa())];
  return GA_OK;
}

int ga_isa_available(const char* name, int32_t* available) {
  gaussavatar::Isa isa;
  *available = gaussavatar::find(name, isa) ? 1 : 0;
  return GA_OK;
}

int ga_force_isa(const char* name) {
  gaussavatar::Isa isa;
  if (!gaussavatar::find(name, isa)) return GA_NOT_AVAILABLE;
  gaussavatar::chosen.store(static_cast<int>(isa));
  return GA_OK;
}
