// What each file of this folder adds to the add-on's exports. src/native/binding.ts is the same list as
// TypeScript.
#pragma once

#include <napi.h>

#include "core/advantage/group_advantages.h"
#include "core/reward/recipe.h"

namespace perception::node {

void export_kernels(Napi::Env env, Napi::Object exports);
void export_scoring(Napi::Env env, Napi::Object exports);
void export_metrics(Napi::Env env, Napi::Object exports);
void export_tensorflow(Napi::Env env, Napi::Object exports);
void export_cuda(Napi::Env env, Napi::Object exports);

// The options object {scale, baseline, epsilon, ddof, clipLow, clipHigh}, all numbers.
AdvantageOptions advantage_options(const Napi::Object& options);

// A recipe as NativeRecipe of src/native/binding.ts.
Recipe recipe_from(const Napi::Object& object);

}  // namespace perception::node
