// Every exported function with small and odd inputs, on every instruction set; meant to run under sanitizers.
#include "check.h"

int test::failures = 0;

int main() {
  test::first_call_without_memory();
  test::settings();
  for (const char* isa : {"generic", "avx2", "avx512"}) {
    int32_t available = 0;
    CHECK(ga_isa_available(isa, &available) == GA_OK);
    if (!available) continue;
    CHECK(ga_force_isa(isa) == GA_OK);
    for (int threads : {1, 3}) {
      CHECK(ga_set_threads(threads) == GA_OK);
      test::images();
      test::gaussians();
      test::meshes();
      test::skin();
      test::packing();
      test::descent();
      test::supervision();
    }
    std::printf("%s: done\n", isa);
  }
  std::printf("%d failures\n", test::failures);
  return test::failures == 0 ? 0 : 1;
}
