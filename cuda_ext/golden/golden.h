// Results as bytes, so that those of two processors can be compared: a line "name kind count", then the numbers.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../tests/check.h"

namespace golden {

inline void require(int status, const char* what) {
  if (status == GA_OK) return;
  std::fprintf(stderr, "%s: status %d\n", what, status);
  std::exit(1);
}

template <class Number>
void put(const char* name, const char* kind, const Number* values, size_t count) {
  std::printf("%s %s %zu\n", name, kind, count);
  if (std::fwrite(values, sizeof(Number), count, stdout) != count) std::exit(1);
}

inline void put(const char* name, const std::vector<float>& values) { put(name, "f4", values.data(), values.size()); }
inline void put(const char* name, const std::vector<double>& values) { put(name, "f8", values.data(), values.size()); }
inline void put(const char* name, const std::vector<int32_t>& values) { put(name, "i4", values.data(), values.size()); }
inline void put(const char* name, const std::vector<uint8_t>& values) { put(name, "u1", values.data(), values.size()); }

void scene();      // a rasterized scene from standard input: image and gradients
void gaussians();  // activation, Adam
void images();     // losses, layers, backgrounds, packing
void surfaces();   // meshes, skin

}  // namespace golden
