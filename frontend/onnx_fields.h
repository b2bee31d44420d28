// onnx_fields.h: numbers of the fields on the way from a model to the elements of an initializer.
#pragma once
#include <cstdint>

namespace mezzo::frontend {

inline constexpr uint32_t kModelGraph = 7, kGraphNode = 1, kGraphInitializer = 5, kGraphInput = 11,
                          kTensorName = 8, kTensorRaw = 9, kTensorExternal = 13, kTensorLocation = 14;

}  // namespace mezzo::frontend
