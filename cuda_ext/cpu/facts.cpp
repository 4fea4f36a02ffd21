// What other languages mirror of these sources: see ga_fact.
#include "activate.h"
#include "activate_math.h"
#include "blendshapes.h"
#include "descent.h"
#include "device_images.h"
#include "mesh.h"
#include "native_api.h"
#include "packing.h"
#include "skin.h"
#include "splat_math.h"
#include "ssim_math.h"

namespace {

struct Fact {
  const char* name;
  double value;
};

constexpr Fact kFacts[] = {
    {"BLUR", gaussavatar::kBlur},
    {"NEAR", gaussavatar::kNear},
    {"FAR", gaussavatar::kFar},
    {"MIN_ALPHA", gaussavatar::kMinAlpha},
    {"MAX_ALPHA", gaussavatar::kMaxAlpha},
    {"MIN_TRANSMITTANCE", gaussavatar::kMinTransmittance},
    {"JACOBIAN_MARGIN", gaussavatar::kJacobianMargin},
    {"LOG2_MIN_ALPHA", gaussavatar::kLog2MinAlpha},
    {"SSIM_WINDOW", gaussavatar::kWindow},
    {"SSIM_C1", gaussavatar::kC1},
    {"SSIM_C2", gaussavatar::kC2},
    {"SSIM_TAP_0", gaussavatar::kTap[0]},
    {"SSIM_TAP_1", gaussavatar::kTap[1]},
    {"SSIM_TAP_2", gaussavatar::kTap[2]},
    {"SSIM_TAP_3", gaussavatar::kTap[3]},
    {"SSIM_TAP_4", gaussavatar::kTap[4]},
    {"SSIM_TAP_5", gaussavatar::kTap[5]},
    {"LEAST_LENGTH", gaussavatar::kLeastLength},
    {"GRAZING", gaussavatar::kGrazing},
    {"FULL", gaussavatar::kFull},
    {"LEAST_AREA", gaussavatar::kLeastArea},
    {"BLOCK", gaussavatar::kBlock},
    {"GROUP", gaussavatar::kGroup},
    {"SAME_BLOCK", gaussavatar::kSameBlock},
    {"CHANNELS", gaussavatar::kChannels},
    {"BLEND_PARTS", GA_BLEND_PARTS},
    {"LOSS_ROWS", GA_LOSS_ROWS},
    {"OK", GA_OK},
    {"OUT_OF_MEMORY", GA_OUT_OF_MEMORY},
    {"NOT_AVAILABLE", GA_NOT_AVAILABLE},
    {"BAD_ARGUMENT", GA_BAD_ARGUMENT},
    {"DEVICE_ERROR", GA_DEVICE_ERROR},
    {"sizeof GaScene", sizeof(GaScene)},
    {"sizeof GaSceneGradients", sizeof(GaSceneGradients)},
    {"sizeof GaRaw", sizeof(GaRaw)},
    {"sizeof GaActivated", sizeof(GaActivated)},
    {"sizeof GaBlend", sizeof(GaBlend)},
    {"sizeof GaAdam", sizeof(GaAdam)},
    {"sizeof GaSkinScene", sizeof(GaSkinScene)},
    {"sizeof GaMeshLight", sizeof(GaMeshLight)},
    {"sizeof GaMeshMaterial", sizeof(GaMeshMaterial)},
    {"sizeof GaMeshScene", sizeof(GaMeshScene)},
};

}  // namespace

#ifndef GA_SOURCES
#define GA_SOURCES "unknown"  // the tests' program, which nobody looks for
#endif

int ga_sources(const char** key) {
  *key = GA_SOURCES;
  return GA_OK;
}

int ga_fact(int32_t index, const char** name, double* value) {
  if (index < 0 || index >= static_cast<int32_t>(sizeof(kFacts) / sizeof(kFacts[0]))) return GA_NOT_AVAILABLE;
  *name = kFacts[index].name;
  *value = kFacts[index].value;
  return GA_OK;
}
