// The plain C interface of the native CPU library; gaussavatar/native/abi.py mirrors it.
//
// Every function returns a GaStatus. Where it is not GA_OK, outputs hold nothing of use, and nothing is leaked.
#pragma once

#include <stdint.h>

#define GA_EXPORT __attribute__((visibility("default")))

extern "C" {

enum GaStatus {
  GA_OK = 0,
  GA_OUT_OF_MEMORY = -1,
  GA_NOT_AVAILABLE = -2,  // this processor or this build does not have it
  GA_BAD_ARGUMENT = -3,   // a size below zero, or a null where something has to be
  GA_DEVICE_ERROR = -4    // the CUDA runtime reported an error
};

// A batch of frames. Strides are in floats from one frame to the next; 0 shares one frame's data.
typedef struct {
  const float *means, *quats, *scales, *opacities, *colors;  // [batch][count][3|4|3|1|3]
  const float *T_camera_world, *K;                           // [batch][16|9], row-major
  int64_t means_stride, quats_stride, scales_stride, opacities_stride, colors_stride;
  int64_t T_stride, K_stride;
  int32_t batch, count, width, height;
} GaScene;

// Contiguous [batch][...] outputs; every element is written.
typedef struct {
  float *means, *quats, *scales, *opacities, *colors, *T_camera_world;
} GaSceneGradients;

GA_EXPORT int ga_isa(const char** name);
GA_EXPORT int ga_force_isa(const char* name);
GA_EXPORT int ga_isa_available(const char* name, int32_t* available);
GA_EXPORT int ga_set_threads(int32_t threads);  // 0: as many as there are cores
GA_EXPORT int ga_get_threads(int32_t* threads);

// The hash of the sources and the system that this was built from, as build.py works it out.
GA_EXPORT int ga_sources(const char** key);

// The index-th constant that another language mirrors: a number of the semantics, or the size of a struct.
// GA_NOT_AVAILABLE behind the last one.
GA_EXPORT int ga_fact(int32_t index, const char** name, double* value);

// rgb [batch][height][width][3], alpha [batch][height][width]. When saved is not null it receives a handle for
// ga_raster_backward, which ga_raster_free gives back.
GA_EXPORT int ga_raster_forward(const GaScene* scene, float* rgb, float* alpha, void** saved);
GA_EXPORT int ga_raster_backward(const GaScene* scene, void* saved, const float* v_rgb, const float* v_alpha,
                                 const GaSceneGradients* gradients);
GA_EXPORT int ga_raster_free(void* saved);

// loss = sum over pixels of weight * (mean_c |pred - target| + dssim_weight * mean_c (1 - SSIM)) / sum of weight; zero
// where all weights are, not a number where their sum is negative or not a number.
// Images are [batch][height][width][3], weight is [batch][height][width]; gradient is dloss/dpred, or null.
GA_EXPORT int ga_photometric(const float* pred, const float* target, const float* weight, int32_t batch, int32_t height,
                             int32_t width, double dssim_weight, double* loss, float* gradient);
GA_EXPORT int ga_ssim(const float* pred, const float* target, int32_t batch, int32_t height, int32_t width, float* map);

// image = face + (1 - face_alpha) (mouth + (1 - mouth_alpha) under), images [pixels][3], alphas [pixels]. The gradient
// for face is v_image itself; v_under may be null.
GA_EXPORT int ga_composite_forward(const float* face, const float* face_alpha, const float* mouth,
                                   const float* mouth_alpha, const float* under, int64_t pixels, float* image);
GA_EXPORT int ga_composite_backward(const float* v_image, const float* face_alpha, const float* mouth,
                                    const float* mouth_alpha, const float* under, int64_t pixels, float* v_face_alpha,
                                    float* v_mouth, float* v_mouth_alpha, float* v_under);
}
