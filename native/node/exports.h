// What each file of this folder adds to the add-on's exports. src/native/binding.ts is the same list as
// TypeScript.
#pragma once

#include <napi.h>

#include "core/advantage/group_advantages.h"

namespace perception::node {

void export_kernels(Napi::Env env, Napi::Object exports);
void export_scoring(Napi::Env env, Napi::Object exports);

// The options object {scale, baseline, epsilon, ddof, clipLow, clipHigh}, all numbers.
AdvantageOptions advantage_options(const Napi::Object& options);

}  // namespace perception::node
