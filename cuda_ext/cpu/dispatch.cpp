#include "dispatch.h"

#include <atomic>
#include <cstring>

#include "../include/native_api.h"

namespace gaussavatar {
namespace {

constexpr const char* kNames[] = {"generic", "avx2", "avx512"};

bool supported(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (isa == Isa::avx512) return avx512;
  if (isa == Isa::avx2) return avx2;
#endif
  return isa == Isa::generic;
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
