// Pictures of bytes, packed and unpacked, whole and broken.
#include "packing.h"

#include <array>

#include "check.h"

namespace test {
namespace {

using Bytes = std::vector<uint8_t>;

int64_t room_for(int32_t height, int32_t width, int32_t channels) {
  const int64_t groups = static_cast<int64_t>(height) * ((width + 63) / 64);
  return channels * (4 + (groups + 3) / 4 + 66 * groups) + 8;
}

// Noise up to `noise` on a slope; every third sample of what is beside differs.
void picture(int32_t height, int32_t width, int32_t channels, int noise) {
  const size_t count = static_cast<size_t>(height) * width * channels;
  const Floats random = numbers(count, 7, 0, 1);
  Bytes image(count), beside(count), back(count), one(static_cast<size_t>(height) * width);
  for (size_t i = 0; i < count; ++i) {
    image[i] = static_cast<uint8_t>(i / 5 + static_cast<size_t>(noise * random[i]));
    beside[i] = static_cast<uint8_t>(image[i] + (i / 64 % 3 == 0));
  }
  for (const uint8_t* other : {static_cast<const uint8_t*>(nullptr), static_cast<const uint8_t*>(beside.data())}) {
    Bytes packed(static_cast<size_t>(room_for(height, width, channels)));
    int64_t size = 0;
    const int64_t room = static_cast<int64_t>(packed.size());
    CHECK(ga_pack(image.data(), other, height, width, channels, room - 1, packed.data(), &size) == GA_BAD_ARGUMENT);
    CHECK(ga_pack(image.data(), other, height, width, channels, room, packed.data(), &size) == GA_OK);
    packed.resize(static_cast<size_t>(size));
    packed.shrink_to_fit();
    CHECK(ga_unpack(packed.data(), size, other, height, width, channels, -1, back.data()) == GA_OK && back == image);
    for (int32_t c = 0; c < channels; ++c) {
      CHECK(ga_unpack(packed.data(), size, other, height, width, channels, c, one.data()) == GA_OK);
      for (size_t i = 0; i < one.size(); ++i) CHECK(one[i] == image[i * channels + c]);
    }
    run_short_of_memory([&] { return ga_unpack(packed.data(), size, other, height, width, channels, -1, back.data()); });
    // Cut off, or with any byte changed, it is refused or is another picture; nothing beyond is touched.
    for (int64_t cut = 0; cut < size; cut += 1 + size / 50) {
      Bytes part(packed.begin(), packed.begin() + cut);
      CHECK(ga_unpack(part.data(), cut, other, height, width, channels, -1, back.data()) == GA_BAD_ARGUMENT);
    }
    for (size_t at = 0; at < packed.size(); at += 1 + packed.size() / 50) {
      Bytes spoilt = packed;
      spoilt[at] ^= static_cast<uint8_t>(0x91 + at);
      const int status = ga_unpack(spoilt.data(), size, other, height, width, channels, -1, back.data());
      CHECK(status == GA_OK || status == GA_BAD_ARGUMENT);
    }
  }
}

}  // namespace

void packing() {
  for (int noise : {0, 1, 6, 90, 255})
    for (const auto& [height, width, channels] : {std::array{0, 5, 3}, {3, 0, 1}, {1, 1, 1}, {4, 65, 2}, {7, 130, 3}, {5, 64, 4}})
      picture(height, width, channels, noise);
  int64_t size = 0;
  CHECK(ga_pack(nullptr, nullptr, 1, 1, 0, 100, nullptr, &size) == GA_BAD_ARGUMENT);
  CHECK(ga_unpack(nullptr, 0, nullptr, -1, 1, 1, -1, nullptr) == GA_BAD_ARGUMENT);
  CHECK(ga_unpack(nullptr, 0, nullptr, 1, 1, 1, -1, nullptr) == GA_BAD_ARGUMENT);
}

}  // namespace test
