// Instruction set, threads, constants.
#include <cstring>

#include "check.h"

namespace test {

void settings() {
  const char* name = nullptr;
  CHECK(ga_isa(&name) == GA_OK && name != nullptr);
  int32_t available = -1;
  CHECK(ga_isa_available(name, &available) == GA_OK && available == 1);
  CHECK(ga_isa_available("sse9", &available) == GA_OK && available == 0);
  CHECK(ga_force_isa("sse9") == GA_NOT_AVAILABLE);
  const char* after = nullptr;
  CHECK(ga_isa(&after) == GA_OK && std::strcmp(name, after) == 0);

  int32_t threads = 0;
  CHECK(ga_set_threads(-1) == GA_BAD_ARGUMENT);
  CHECK(ga_set_threads(5) == GA_OK && ga_get_threads(&threads) == GA_OK && threads == 5);
  CHECK(ga_set_threads(0) == GA_OK && ga_get_threads(&threads) == GA_OK && threads >= 1);

  const char* sources = nullptr;
  CHECK(ga_sources(&sources) == GA_OK && sources != nullptr);

  double value = 0.0;
  int32_t facts = 0;
  while (ga_fact(facts, &name, &value) == GA_OK) ++facts;
  CHECK(facts > 20 && ga_fact(facts, &name, &value) == GA_NOT_AVAILABLE);
  CHECK(ga_fact(-1, &name, &value) == GA_NOT_AVAILABLE);
}

}  // namespace test
