// Steps of Adam along outer products, of any size and of numbers that are none.
#include "descent.h"

#include <array>

#include "check.h"

namespace test {
namespace {

constexpr GaAdam kAdam = {1e-2, 1.5, 0.9, 0.999, 1e-15};

void steps(int32_t rank, int32_t height, int64_t width) {
  const size_t count = static_cast<size_t>(height) * width;
  const Floats rows = numbers(static_cast<size_t>(rank) * height, 1), columns = numbers(static_cast<size_t>(rank) * width, 2);
  const Floats before = numbers(count, 3);
  Floats matrix = before, mean = numbers(count, 4), square = numbers(count, 5, 0.0f, 1.0f);
  const Floats moment = mean;
  CHECK(ga_outer_adam(rows.data(), columns.data(), rank, height, width, &kAdam, matrix.data(), mean.data(), square.data()) == GA_OK);
  CHECK(all_finite(matrix) && all_finite(mean) && all_between(square, 0.0f, 2.0f));
  for (int32_t i = 0; i < height; ++i)
    for (int64_t j = 0; j < width; ++j) {
      double gradient = 0;
      for (int32_t r = 0; r < rank; ++r) gradient += double{rows[static_cast<size_t>(r) * height + i]} * columns[r * width + j];
      const size_t at = static_cast<size_t>(i) * width + j;
      CHECK(std::fabs(mean[at] - (0.9 * moment[at] + 0.1 * gradient)) < 1e-6);
      CHECK((matrix[at] < before[at]) == (mean[at] > 0) || std::fabs(mean[at]) < 1e-5);
    }
  run_short_of_memory([&] {
    return ga_outer_adam(rows.data(), columns.data(), rank, height, width, &kAdam, matrix.data(), mean.data(), square.data());
  });
}

}  // namespace

void descent() {
  for (const auto& [rank, height, width] : {std::array{0, 3, 5}, {1, 0, 4}, {2, 3, 0}, {1, 1, 1}, {3, 2, 37}, {2, 5, 4100}})
    steps(rank, height, width);
  Floats one = {1.0f}, none = {kNan}, moment = {0.0f}, square = {0.0f};
  CHECK(ga_outer_adam(none.data(), one.data(), 1, 1, 1, &kAdam, one.data(), moment.data(), square.data()) == GA_OK);
  CHECK(ga_outer_adam(nullptr, nullptr, -1, 1, 1, &kAdam, nullptr, nullptr, nullptr) == GA_BAD_ARGUMENT);
  CHECK(ga_outer_adam(nullptr, nullptr, 1, 1, -1, &kAdam, nullptr, nullptr, nullptr) == GA_BAD_ARGUMENT);
}

}  // namespace test
