// Other backgrounds and coverage, of any number of pixels.
#include "supervision.h"

#include "check.h"

namespace test {
namespace {

void pixels_of(int32_t batch, int64_t pixels) {
  const size_t count = static_cast<size_t>(batch * pixels);
  const Floats frames = numbers(3 * count, 1, 0, 1), under = numbers(3 * count, 2, 0, 1), head = numbers(count, 3, 0, 1);
  const Floats inside = numbers(count, 4, 0, 1), colors = numbers(static_cast<size_t>(3 * batch), 5, 0, 1);
  std::vector<uint8_t> chosen(static_cast<size_t>(batch));
  for (int32_t b = 0; b < batch; ++b) chosen[b] = b % 2;
  Floats frames_out(3 * count), under_out(3 * count), v_face(count), v_mouth(count);
  CHECK(ga_other_background(frames.data(), under.data(), head.data(), chosen.data(), colors.data(), batch, pixels,
                            frames_out.data(), under_out.data()) == GA_OK);
  CHECK(all_between(frames_out, -1.0f, 2.0f) && all_between(under_out, 0.0f, 1.0f));
  for (size_t i = 0; i < 3 * static_cast<size_t>(batch > 0 ? pixels : 0); ++i) CHECK(frames_out[i] == frames[i]);
  double sums[2] = {-1, -1};
  const int64_t all = batch * pixels;
  const auto coverage = [&] { return ga_coverage(head.data(), inside.data(), head.data(), inside.data(), all, sums); };
  CHECK(coverage() == GA_OK && sums[0] >= 0 && sums[1] >= 0 && sums[0] <= static_cast<double>(count));
  run_short_of_memory(coverage);
  const float v[2] = {1, 1};
  CHECK(ga_coverage_backward(head.data(), head.data(), inside.data(), all, v, v_face.data(), v_mouth.data()) == GA_OK);
  CHECK(all_between(v_face, 0.0f, 1.0f) && all_between(v_mouth, -1.0f, 0.0f));
}

}  // namespace

void supervision() {
  for (const int32_t batch : {0, 1, 3})
    for (const int64_t pixels : {0, 1, 15, 16, 1025, 16384 + 7}) pixels_of(batch, pixels);
  CHECK(ga_coverage(nullptr, nullptr, nullptr, nullptr, -1, nullptr) == GA_BAD_ARGUMENT);
  CHECK(ga_coverage_backward(nullptr, nullptr, nullptr, -1, nullptr, nullptr, nullptr) == GA_BAD_ARGUMENT);
  CHECK(ga_other_background(nullptr, nullptr, nullptr, nullptr, nullptr, -1, 1, nullptr, nullptr) == GA_BAD_ARGUMENT);
}

}  // namespace test
