// "golden scene" rasterizes the scene on standard input, "golden functions" calls everything else with numbers from
// seeds; results go to standard output. packaging/golden.py compares them. GAUSSAVATAR_ISA is looked at by Python alone,
// so that the second word names the instruction set.
#include <cstring>

#include "golden.h"

int main(int count, char** words) {
  if (count != 3) {
    std::fprintf(stderr, "expected: golden scene|functions generic|avx2|avx512\n");
    return 2;
  }
  golden::require(ga_force_isa(words[2]), words[2]);
  golden::require(ga_set_threads(2), "threads");
  if (std::strcmp(words[1], "scene") == 0) {
    golden::scene();
    return 0;
  }
  golden::gaussians();
  golden::images();
  golden::surfaces();
  return 0;
}
