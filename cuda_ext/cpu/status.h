// Turns what may be thrown inside the library into the status that leaves it.
#pragma once

#include <new>
#include <stdexcept>

#include "../include/native_api.h"

namespace gaussavatar {

// Runs body; GA_OUT_OF_MEMORY where it ran out of memory, or asked for more than can be addressed.
template <class Body>
int guarded(Body body) {
  try {
    body();
    return GA_OK;
  } catch (const std::bad_alloc&) {
    return GA_OUT_OF_MEMORY;
  } catch (const std::length_error&) {
    return GA_OUT_OF_MEMORY;
  }
}

}  // namespace gaussavatar
