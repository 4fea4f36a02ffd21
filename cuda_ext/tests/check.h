// What the tests share: a check that is counted, numbers from a seed, and calls under scarce memory.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

#include "memory.h"
#include "native_api.h"

namespace test {

extern int failures;

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
      ++test::failures;                                                              \
    }                                                                                \
  } while (false)

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Vectors have exactly the size that is asked for, so that the sanitizer sees the first element beyond.
using Floats = std::vector<float>;

inline Floats numbers(size_t count, uint32_t seed, float low = -1.0f, float high = 1.0f) {
  Floats values(count);
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = low + (high - low) * static_cast<float>(seed >> 8) / 16777216.0f;
  }
  return values;
}

inline bool all_finite(const Floats& values) {
  for (const float value : values)
    if (!std::isfinite(value)) return false;
  return true;
}

inline bool all_between(const Floats& values, float low, float high) {
  for (const float value : values)
    if (!(value >= low && value <= high)) return false;
  return true;
}

inline bool equal(const Floats& a, const Floats& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!(a[i] == b[i])) return false;
  return true;
}

// Runs a call many times while memory comes and goes. It says so each time, and the process lives. Returns how often
// memory ran out. `call` gives a status.
template <class Call>
int run_short_of_memory(Call call) {
  int failed = 0;
  for (int round = 0; round < 60; ++round) {
    set_memory(Memory::sometimes);
    const int status = call();
    set_memory(Memory::plenty);
    CHECK(status == GA_OK || status == GA_OUT_OF_MEMORY);
    failed += status == GA_OUT_OF_MEMORY;
  }
  CHECK(call() == GA_OK);
  return failed;
}

void images();
void gaussians();
void meshes();
void skin();
void packing();
void descent();
void supervision();
void settings();
// Before anything has used the pool: no thread can be started, and the work is done all the same.
void first_call_without_memory();

}  // namespace test
