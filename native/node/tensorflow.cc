// The operations in TensorFlow, and what their attributes refer to by number.
#include "node/arguments.h"
#include "node/exports.h"
#include "node/job.h"
#include "tensorflow/registration.h"
#include "tensorflow/registry.h"

namespace perception::node {
namespace {

Napi::Object object(const Napi::Value& value, const char* name) {
  if (!value.IsObject())
    throw ArgumentError{{Code::kInvalidArgument, std::string(name) + ": expected an object"}};
  return value.As<Napi::Object>();
}

// registerTensorflow() -> {registered, reason, library, gpuReason}
Napi::Value register_tensorflow(const Napi::CallbackInfo& info) {
  const tensorflow::Registration registration = tensorflow::register_operations();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("registered", registration.registered);
  result.Set("reason", registration.reason);
  result.Set("library", registration.library);
  result.Set("gpuReason", registration.gpu_reason);
  return result;
}

// tensorflowRecipe(recipe: NativeRecipe) -> number
Napi::Value tensorflow_recipe(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), tensorflow::keep_recipe(recipe_from(object(info[0], "recipe"))));
}

// tensorflowFormula(formula: NativeAdvantageOptions) -> number
Napi::Value tensorflow_formula(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           tensorflow::keep_formula(advantage_options(object(info[0], "formula"))));
}

}  // namespace

void export_tensorflow(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, auto body) {
    exports.Set(name,
                Napi::Function::New(
                    env, [body](const Napi::CallbackInfo& info) { return exported(info, body); }, name));
  };
  add("registerTensorflow", register_tensorflow);
  add("tensorflowRecipe", tensorflow_recipe);
  add("tensorflowFormula", tensorflow_formula);
}

}  // namespace perception::node
