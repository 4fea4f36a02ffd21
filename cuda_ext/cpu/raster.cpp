// The rasterizer's C interface: frames side by side when there are enough of them, threads inside a frame otherwise.
#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "raster_frame.h"
#include "status.h"
#include "threads.h"

namespace gaussavatar {
namespace {

// Frames that were given back, kept for their memory.
class FrameStock {
 public:
  // Room for all at once, so that giving back needs no memory and never fails.
  FrameStock() { frames_.reserve(kKept); }
  std::unique_ptr<Frame> take() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (frames_.empty()) return std::make_unique<Frame>();
    auto frame = std::move(frames_.back());
    frames_.pop_back();
    return frame;
  }
  void give(std::unique_ptr<Frame> frame) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (frames_.size() < kKept) frames_.push_back(std::move(frame));
  }

 private:
  static constexpr size_t kKept = 64;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Frame>> frames_;
};

FrameStock& stock() {
  static FrameStock* frames = new FrameStock;
  return *frames;
}

struct Saved {
  std::vector<std::unique_ptr<Frame>> frames;
  ~Saved() {
    for (auto& frame : frames) stock().give(std::move(frame));
  }
};

void attach(Frame& frame, const GaScene& scene, int b) {
  frame.count = scene.count, frame.width = scene.width, frame.height = scene.height;
  frame.tiles_x = (scene.width + kTile - 1) / kTile, frame.tiles_y = (scene.height + kTile - 1) / kTile;
  frame.camera = make_camera(scene.T_camera_world + b * scene.T_stride, scene.K + b * scene.K_stride, scene.width,
                             scene.height);
  frame.means = scene.means + b * scene.means_stride, frame.quats = scene.quats + b * scene.quats_stride;
  frame.scales = scene.scales + b * scene.scales_stride;
  frame.opacities = scene.opacities + b * scene.opacities_stride;
  frame.colors = scene.colors + b * scene.colors_stride;
}

// Slot boundaries are multiples of the widest vector.
int slot_begin(int count, int slot, int slots) {
  const int64_t groups = (count + 15) / 16;
  return std::min<int64_t>(count, groups * slot / slots * 16);
}

void forward_frame(Frame& frame, bool keep, float* rgb, float* alpha) {
  const BlendKernels& blend = current_blend_kernels();
  const ProjectKernels& project = current_project_kernels();
  const int n = frame.count, slots = frame.slots, tiles = frame.tiles();
  frame.splats.reserve(n), frame.boxes.reserve(n), frame.depth_bits.reserve(n), frame.rank.reserve(n);
  parallel_for(slots, [&](int slot) {
    project.forward(frame, slot_begin(n, slot, slots), slot_begin(n, slot + 1, slots));
  });
  bin_frame(frame);
  if (keep) {
    frame.tile_used.reserve(tiles);
    frame.transmittance.reserve(static_cast<size_t>(tiles) * kTilePixels);
    frame.last.reserve(static_cast<size_t>(tiles) * kTilePixels);
  }
  if (slots == 1) {
    for (int tile = 0; tile < tiles; ++tile) blend.forward(frame, tile, keep, rgb, alpha);
  } else {
    parallel_for(tiles, [&](int tile) { blend.forward(frame, tile, keep, rgb, alpha); });
  }
}

// Splits the tiles among slots by their work: largest first, each to the slot with the least. Fixed by the scene and
// the number of slots, so gradients do not depend on timing.
std::vector<std::vector<int>> share_tiles(const Frame& frame) {
  std::vector<int> tiles(frame.tiles());
  for (int i = 0; i < frame.tiles(); ++i) tiles[i] = i;
  std::vector<std::vector<int>> shares(frame.slots);
  if (frame.slots == 1) {
    shares[0] = std::move(tiles);
    return shares;
  }
  std::stable_sort(tiles.begin(), tiles.end(),
                   [&](int a, int b) { return frame.tile_used[a] > frame.tile_used[b]; });
  std::vector<uint64_t> load(frame.slots, 0);
  for (int tile : tiles) {
    const size_t slot = std::min_element(load.begin(), load.end()) - load.begin();
    load[slot] += frame.tile_used[tile] + 1;
    shares[slot].push_back(tile);
  }
  return shares;
}

void backward_frame(Frame& frame, const float* v_rgb, const float* v_alpha, const FrameGradients& out,
                    float* v_T_camera_world) {
  const BlendKernels& blend = current_blend_kernels();
  const ProjectKernels& project = current_project_kernels();
  const int n = frame.count, slots = frame.slots;
  const size_t size = static_cast<size_t>(frame.visible) * kGradientStride;
  frame.gradients.reserve(size * slots);
  const auto shares = share_tiles(frame);
  parallel_for(slots, [&](int slot) {
    float* gradients = frame.gradients.data() + size * slot;
    std::fill(gradients, gradients + size, 0.0f);
    for (int tile : shares[slot]) blend.backward(frame, tile, v_rgb, v_alpha, gradients);
  });
  std::vector<double> pose(static_cast<size_t>(slots) * 12, 0.0);
  parallel_for(slots, [&](int slot) {
    project.backward(frame, slot_begin(n, slot, slots), slot_begin(n, slot + 1, slots), out, &pose[slot * 12]);
  });
  for (int slot = 1; slot < slots; ++slot)
    for (int k = 0; k < 12; ++k) pose[k] += pose[slot * 12 + k];
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) v_T_camera_world[4 * i + j] = static_cast<float>(pose[3 * i + j]);
    v_T_camera_world[4 * i + 3] = static_cast<float>(pose[9 + i]);
  }
  for (int j = 0; j < 4; ++j) v_T_camera_world[12 + j] = 0.0f;
}

// Frames [0, side_by_side) run one per thread; the rest one after the other with all threads inside.
int side_by_side(int batch) {
  const int threads = thread_count();
  return batch / threads * threads;
}

bool is_sound(const GaScene& scene) {
  return scene.batch >= 0 && scene.count >= 0 && scene.width > 0 && scene.height > 0;
}

template <class Body>
void for_each_frame(int batch, Body body) {
  const int together = side_by_side(batch);
  parallel_for(together, body);
  for (int b = together; b < batch; ++b) body(b);
}

}  // namespace
}  // namespace gaussavatar

int ga_raster_forward(const GaScene* scene, float* rgb, float* alpha, void** saved) {
  using namespace gaussavatar;
  if (!is_sound(*scene)) return GA_BAD_ARGUMENT;
  const size_t pixels = static_cast<size_t>(scene->width) * scene->height;
  return guarded([&] {
    auto state = std::make_unique<Saved>();
    for (int b = 0; b < scene->batch; ++b) state->frames.push_back(stock().take());
    const int together = side_by_side(scene->batch), threads = thread_count();
    for_each_frame(scene->batch, [&](int b) {
      Frame& frame = *state->frames[b];
      attach(frame, *scene, b);
      frame.slots = b < together ? 1 : threads;
      forward_frame(frame, saved != nullptr, rgb + b * pixels * 3, alpha + b * pixels);
    });
    if (saved != nullptr) *saved = state.release();
  });
}

int ga_raster_backward(const GaScene* scene, void* saved, const float* v_rgb, const float* v_alpha,
                       const GaSceneGradients* gradients) {
  using namespace gaussavatar;
  if (saved == nullptr || !is_sound(*scene)) return GA_BAD_ARGUMENT;
  auto& frames = static_cast<Saved*>(saved)->frames;
  if (frames.size() != static_cast<size_t>(scene->batch)) return GA_BAD_ARGUMENT;
  const size_t pixels = static_cast<size_t>(scene->width) * scene->height, n = scene->count;
  return guarded([&] {
    for_each_frame(scene->batch, [&](int b) {
      Frame& frame = *frames[b];
      attach(frame, *scene, b);
      const FrameGradients out{gradients->means + b * n * 3, gradients->quats + b * n * 4,
                               gradients->scales + b * n * 3, gradients->opacities + b * n,
                               gradients->colors + b * n * 3};
      backward_frame(frame, v_rgb + b * pixels * 3, v_alpha + b * pixels, out, gradients->T_camera_world + b * 16);
    });
  });
}

int ga_raster_free(void* saved) {
  delete static_cast<gaussavatar::Saved*>(saved);
  return GA_OK;
}
