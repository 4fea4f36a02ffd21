// Packs pictures of bytes without loss, and unpacks them: see packing.h.
#include "../include/packing.h"

#include <cstring>
#include <utility>

#include "buffer.h"
#include "packing_rows.h"
#include "status.h"

namespace {

using namespace gaussavatar;

constexpr int kSpan = kBlock * kGroup, kMostChannels = 255;

struct Shape {
  int32_t height, width, channels;

  int64_t groups_per_row() const { return (static_cast<int64_t>(width) + kSpan - 1) / kSpan; }
  int64_t groups() const { return height * groups_per_row(); }
  int64_t code_bytes() const { return (groups() + 3) / 4; }
  int64_t row() const { return groups_per_row() * kSpan; }
  int64_t stride() const { return static_cast<int64_t>(width) * channels; }
  bool valid() const { return height >= 0 && width >= 0 && channels >= 1 && channels <= kMostChannels; }
  // The channel that a channel's values are taken less; itself: none. Colours differ little from green.
  int base(int channel) const { return channels == 3 ? 1 : channel; }
};

// Eight bytes to eight numbers of `width` bits, one behind the other.
uint64_t gather(uint64_t word, int width) {
  const uint64_t one = (uint64_t{1} << width) - 1;
  uint64_t packed = 0;
  for (int i = 0; i < 8; ++i) packed |= (word >> (8 * i) & one) << (i * width);
  return packed;
}

class Packer {
 public:
  Packer(const uint8_t* image, const uint8_t* beside, const Shape& shape)
      : image_(image), beside_(beside), shape_(shape), kernels_(current_packing_kernels()) {
    rows_.reserve(5 * static_cast<size_t>(shape.row()) + 1);
  }

  // Writes a channel and returns where it ends.
  uint8_t* channel(int channel, uint8_t* codes) {
    const int64_t width = shape_.row();
    uint8_t *above = rows_.data(), *row = above + width, *other = row + width, *numbers = other + width;
    std::memset(above, 0, 3 * width);
    std::memset(codes, 0, shape_.code_bytes());
    uint8_t* to = codes + shape_.code_bytes();
    int64_t number = 0;
    for (int y = 0; y < shape_.height; ++y) {
      take(image_, y, channel, row);
      if (beside_ != nullptr) take(beside_, y, channel, other);
      kernels_.left_over(row, above, width, numbers + width, numbers);
      for (int64_t x = 0; x < width; x += kSpan, ++number) {
        const int code = group(numbers + x, row + x, beside_ == nullptr ? nullptr : other + x, to);
        codes[number / 4] |= static_cast<uint8_t>(code << (2 * (number % 4)));
      }
      std::swap(above, row);
    }
    return to;
  }

 private:
  void take(const uint8_t* image, int y, int channel, uint8_t* row) {
    kernels_.take(image + y * shape_.stride(), shape_.width, shape_.channels, channel, shape_.base(channel), row);
  }

  static uint64_t word(const uint8_t* from) {
    uint64_t word;
    std::memcpy(&word, from, 8);
    return word;
  }

  static int group(const uint8_t* numbers, const uint8_t* row, const uint8_t* other, uint8_t*& to) {
    int widths[kGroup], same = 0, still = 0;
    for (int b = 0; b < kGroup; ++b) {
      uint64_t any = word(numbers + b * kBlock) | word(numbers + b * kBlock + 8);
      any |= any >> 32, any |= any >> 16, any |= any >> 8;
      widths[b] = 0;
      for (uint64_t rest = any & 0xff; rest != 0; rest >>= 1) ++widths[b];
      const bool as_beside = other != nullptr && std::memcmp(row + b * kBlock, other + b * kBlock, kBlock) == 0;
      still += widths[b] == 0, same += as_beside;
      if (widths[b] != 0 && as_beside) widths[b] = kSameBlock;
    }
    if (still == kGroup) return kStill;
    if (same == kGroup) return kSameGroup;
    *to++ = static_cast<uint8_t>(widths[0] | widths[1] << 4);
    *to++ = static_cast<uint8_t>(widths[2] | widths[3] << 4);
    for (int b = 0; b < kGroup; ++b) {
      if (widths[b] == kSameBlock) continue;
      for (int half = 0; half < 2; ++half, to += widths[b]) {
        const uint64_t packed = gather(word(numbers + b * kBlock + 8 * half), widths[b]);
        std::memcpy(to, &packed, 8);  // what is too much is written over by what comes next
      }
    }
    return kMixed;
  }

  const uint8_t *image_, *beside_;
  Shape shape_;
  const PackingKernels& kernels_;
  Buffer<uint8_t> rows_;
};

// Where every channel's bytes begin; the last entry is the end. False where they do not fill `size`.
bool find_channels(const uint8_t* packed, int64_t size, const Shape& shape, int64_t* starts) {
  if (size < 4 * shape.channels) return false;
  starts[0] = 4 * shape.channels;
  for (int c = 0; c < shape.channels; ++c) {
    uint32_t bytes;
    std::memcpy(&bytes, packed + 4 * c, 4);
    if (bytes < shape.code_bytes()) return false;
    starts[c + 1] = starts[c] + bytes;
  }
  return starts[shape.channels] == size;
}

// Row by row, all channels that are wanted, so that each is woven into the picture while it is in the cache.
bool unpack(const uint8_t* packed, const int64_t* starts, const uint8_t* beside, const Shape& shape, int only,
            uint8_t* image) {
  const PackingKernels& kernels = current_packing_kernels();
  const int64_t width = shape.row();
  Buffer<uint8_t> rows;
  rows.reserve(static_cast<size_t>(width) * (2 * shape.channels + 1) + 1);
  std::memset(rows.data(), 0, static_cast<size_t>(width) * (2 * shape.channels + 1));
  uint8_t* other = rows.data() + width * 2 * shape.channels;
  Packed channels[kMostChannels];
  uint8_t* lines[kMostChannels] = {};
  bool wanted[kMostChannels];
  for (int c = 0; c < shape.channels; ++c) {
    wanted[c] = only < 0 || c == only || c == shape.base(only);
    const uint8_t* codes = packed + starts[c];
    channels[c] = {codes, codes + shape.code_bytes(), packed + starts[c + 1], 0};
  }
  for (int y = 0; y < shape.height; ++y) {
    for (int c = 0; c < shape.channels; ++c) {
      if (!wanted[c]) continue;
      uint8_t* pair = rows.data() + 2 * c * width;
      lines[c] = pair + (y % 2) * width;
      if (beside != nullptr)
        kernels.take(beside + y * shape.stride(), shape.width, shape.channels, c, shape.base(c), other);
      if (!kernels.next(channels[c], pair + (1 - y % 2) * width, beside == nullptr ? nullptr : other, width, lines[c]))
        return false;
    }
    if (only < 0) {
      kernels.weave(lines, shape.width, shape.channels, image + y * shape.stride());
      continue;
    }
    uint8_t* out = image + static_cast<int64_t>(y) * shape.width;
    const uint8_t *own = lines[only], *base = lines[shape.base(only)];
    for (int x = 0; x < shape.width; ++x) out[x] = own == base ? own[x] : own[x] + base[x];
  }
  for (int c = 0; c < shape.channels; ++c)
    if (wanted[c] && channels[c].from != channels[c].end) return false;
  return true;
}

}  // namespace

int ga_pack(const uint8_t* image, const uint8_t* beside, int32_t height, int32_t width, int32_t channels, int64_t room,
            uint8_t* packed, int64_t* size) {
  const Shape shape{height, width, channels};
  if (!shape.valid() || size == nullptr) return GA_BAD_ARGUMENT;
  const int64_t most = channels * (4 + shape.code_bytes() + (2 + kSpan) * shape.groups()) + 8;
  if (room < most) return GA_BAD_ARGUMENT;
  return guarded([&] {
    Packer packer(image, beside, shape);
    uint8_t* to = packed + 4 * channels;
    for (int c = 0; c < channels; ++c) {
      uint8_t* end = packer.channel(c, to);
      const uint32_t bytes = static_cast<uint32_t>(end - to);
      std::memcpy(packed + 4 * c, &bytes, 4);
      to = end;
    }
    *size = to - packed;
  });
}

int ga_unpack(const uint8_t* packed, int64_t size, const uint8_t* beside, int32_t height, int32_t width,
              int32_t channels, int32_t only, uint8_t* image) {
  const Shape shape{height, width, channels};
  if (!shape.valid() || only >= channels) return GA_BAD_ARGUMENT;
  int64_t starts[kMostChannels + 1];
  if (!find_channels(packed, size, shape, starts)) return GA_BAD_ARGUMENT;
  bool whole = false;
  const int status = guarded([&] { whole = unpack(packed, starts, beside, shape, only, image); });
  return status == GA_OK && !whole ? GA_BAD_ARGUMENT : status;
}
