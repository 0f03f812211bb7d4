// The part of TensorFlow's C API that this folder calls, resolved by name at run time: the add-on is built
// without TensorFlow's headers and linked to none of its libraries. All names are in TensorFlow's public C
// headers (in brackets below), unchanged from 2.9 to 2.21.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace perception::tensorflow {

// Opaque to callers of the C API.
struct TF_Status;                 // c/tf_status.h
struct TF_Tensor;                 // c/tf_tensor.h
struct TF_OpDefinitionBuilder;    // c/ops.h
struct TF_ShapeInferenceContext;  // c/ops.h
struct TF_ShapeHandle;            // c/ops.h
struct TF_DimensionHandle;        // c/ops.h
struct TF_KernelBuilder;          // c/kernels.h
struct TF_OpKernelConstruction;   // c/kernels.h
struct TF_OpKernelContext;        // c/kernels.h

struct TF_Buffer {  // c/tf_buffer.h
  const void* data;
  size_t length;
  void (*data_deallocator)(void* data, size_t length);
};

enum TF_Code : int {  // c/tf_status.h
  TF_OK = 0,
  TF_INVALID_ARGUMENT = 3,
  TF_RESOURCE_EXHAUSTED = 8,
  TF_INTERNAL = 13,
};

enum TF_DataType : int { TF_FLOAT = 1, TF_INT32 = 3 };  // c/tf_datatype.h

using TF_Bool = unsigned char;  // c/c_api_macros.h

using ShapeFunction = void (*)(TF_ShapeInferenceContext* context, TF_Status* status);
using CreateKernel = void* (*)(TF_OpKernelConstruction* construction);
using ComputeKernel = void (*)(void* kernel, TF_OpKernelContext* context);
using DeleteKernel = void (*)(void* kernel);

// clang-format off
#define PERCEPTION_TENSORFLOW_FUNCTIONS(F)                                                                   \
  /* c/tf_status.h */                                                                                        \
  F(TF_Status*, TF_NewStatus, ())                                                                            \
  F(void, TF_DeleteStatus, (TF_Status*))                                                                     \
  F(void, TF_SetStatus, (TF_Status*, TF_Code, const char* message))                                          \
  F(TF_Code, TF_GetCode, (const TF_Status*))                                                                 \
  F(const char*, TF_Message, (const TF_Status*))                                                             \
  /* c/tf_tensor.h */                                                                                        \
  F(void, TF_DeleteTensor, (TF_Tensor*))                                                                     \
  F(int, TF_NumDims, (const TF_Tensor*))                                                                     \
  F(int64_t, TF_Dim, (const TF_Tensor*, int axis))                                                           \
  F(size_t, TF_TensorByteSize, (const TF_Tensor*))                                                           \
  F(void*, TF_TensorData, (const TF_Tensor*))                                                                \
  /* c/c_api.h, c/tf_buffer.h */                                                                             \
  F(TF_Buffer*, TF_GetRegisteredKernelsForOp, (const char* op, TF_Status*))                                  \
  F(void, TF_DeleteBuffer, (TF_Buffer*))                                                                     \
  /* c/ops.h */                                                                                              \
  F(TF_OpDefinitionBuilder*, TF_NewOpDefinitionBuilder, (const char* op))                                    \
  F(void, TF_OpDefinitionBuilderAddAttr, (TF_OpDefinitionBuilder*, const char* spec))                        \
  F(void, TF_OpDefinitionBuilderAddInput, (TF_OpDefinitionBuilder*, const char* spec))                       \
  F(void, TF_OpDefinitionBuilderAddOutput, (TF_OpDefinitionBuilder*, const char* spec))                      \
  F(void, TF_OpDefinitionBuilderSetShapeInferenceFunction, (TF_OpDefinitionBuilder*, ShapeFunction))         \
  F(void, TF_RegisterOpDefinition, (TF_OpDefinitionBuilder*, TF_Status*))                                    \
  F(TF_ShapeHandle*, TF_NewShapeHandle, ())                                                                  \
  F(void, TF_DeleteShapeHandle, (TF_ShapeHandle*))                                                           \
  F(TF_DimensionHandle*, TF_NewDimensionHandle, ())                                                          \
  F(void, TF_DeleteDimensionHandle, (TF_DimensionHandle*))                                                   \
  F(int, TF_DimensionHandleValueKnown, (TF_DimensionHandle*))                                                \
  F(int64_t, TF_DimensionHandleValue, (TF_DimensionHandle*))                                                 \
  F(void, TF_ShapeInferenceContextGetInput, (TF_ShapeInferenceContext*, int i, TF_ShapeHandle*, TF_Status*)) \
  F(void, TF_ShapeInferenceContextSetOutput, (TF_ShapeInferenceContext*, int i, TF_ShapeHandle*, TF_Status*))\
  F(void, TF_ShapeInferenceContextSetUnknownShape, (TF_ShapeInferenceContext*, TF_Status*))                  \
  F(int, TF_ShapeInferenceContextRankKnown, (TF_ShapeInferenceContext*, TF_ShapeHandle*))                    \
  F(int64_t, TF_ShapeInferenceContextRank, (TF_ShapeInferenceContext*, TF_ShapeHandle*))                     \
  F(void, TF_ShapeInferenceContextDim,                                                                       \
    (TF_ShapeInferenceContext*, TF_ShapeHandle*, int64_t axis, TF_DimensionHandle*))                         \
  F(TF_ShapeHandle*, TF_ShapeInferenceContextVectorFromSize, (TF_ShapeInferenceContext*, size_t))            \
  F(void, TF_ShapeInferenceContextSubshape,                                                                  \
    (TF_ShapeInferenceContext*, TF_ShapeHandle*, int64_t start, int64_t end, TF_ShapeHandle*, TF_Status*))   \
  F(void, TF_ShapeInferenceContextConcatenateShapes,                                                         \
    (TF_ShapeInferenceContext*, TF_ShapeHandle*, TF_ShapeHandle*, TF_ShapeHandle* result, TF_Status*))       \
  /* c/kernels.h */                                                                                          \
  F(TF_KernelBuilder*, TF_NewKernelBuilder,                                                                  \
    (const char* op, const char* device, CreateKernel, ComputeKernel, DeleteKernel))                         \
  F(void, TF_RegisterKernelBuilder, (const char* kernel, TF_KernelBuilder*, TF_Status*))                     \
  F(void, TF_OpKernelConstruction_GetAttrInt32,                                                              \
    (TF_OpKernelConstruction*, const char* name, int32_t*, TF_Status*))                                      \
  F(void, TF_OpKernelConstruction_GetAttrBool,                                                               \
    (TF_OpKernelConstruction*, const char* name, TF_Bool*, TF_Status*))                                      \
  F(void, TF_OpKernelConstruction_Failure, (TF_OpKernelConstruction*, TF_Status*))                           \
  F(void, TF_OpKernelContext_Failure, (TF_OpKernelContext*, TF_Status*))                                     \
  F(void, TF_GetInput, (TF_OpKernelContext*, int i, TF_Tensor**, TF_Status*))                                \
  F(TF_Tensor*, TF_AllocateOutput,                                                                           \
    (TF_OpKernelContext*, int i, TF_DataType, const int64_t* dims, int rank, size_t bytes, TF_Status*))
// clang-format on

struct Api {
#define PERCEPTION_MEMBER(result, name, arguments) result(*name) arguments = nullptr;
  PERCEPTION_TENSORFLOW_FUNCTIONS(PERCEPTION_MEMBER)
#undef PERCEPTION_MEMBER
};

// Fills `api` from the TensorFlow that is loaded in this process, which then stays loaded, and says in
// `library` which file that is. Otherwise false, and why in `reason`.
bool find_api(Api& api, std::string& library, std::string& reason);

}  // namespace perception::tensorflow
