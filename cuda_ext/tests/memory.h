// Memory that runs out when a test wants it to: replaces the program's operator new.
#pragma once

namespace test {

enum class Memory { plenty, none, sometimes };

// From now on, and in all threads: every allocation succeeds, every one fails, or about one of three fails.
void set_memory(Memory memory);

}  // namespace test
