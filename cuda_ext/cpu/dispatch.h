// Which instruction set's kernels run.
#pragma once

namespace gaussavatar {

enum class Isa { generic = 0, avx2 = 1, avx512 = 2 };

Isa current_isa();

// The table of the current instruction set. A *.isa.cpp file that defines kernels defines, per instruction set,
// `extern const Table table_name` in its namespace; GA_DISPATCH(Table, table_name) declares and picks it.
#if defined(__x86_64__)
#define GA_DISPATCH(Table, name)                                     \
  namespace generic { extern const Table name; }                     \
  namespace avx2 { extern const Table name; }                        \
  namespace avx512 { extern const Table name; }                      \
  inline const Table& current_##name() {                             \
    switch (current_isa()) {                                         \
      case Isa::avx512: return avx512::name;                         \
      case Isa::avx2: return avx2::name;                             \
      default: return generic::name;                                 \
    }                                                                \
  }
#else
#define GA_DISPATCH(Table, name)                                     \
  namespace generic { extern const Table name; }                     \
  inline const Table& current_##name() { return generic::name; }
#endif

}  // namespace gaussavatar
