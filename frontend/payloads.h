// payloads.h: tensor elements that are not in the parsed message: in files beside the model, and those of
// large initializers in the model's own file.
#pragma once
#include <unordered_map>

#include "frontend/external_data.h"
#include "frontend/model_bytes.h"

namespace mezzo::onnx {
class TensorProto;
}

namespace mezzo::frontend {

// Raw data that outline_of() has cut out of a tensor.
struct CutPayload {
  uint64_t offset = 0, size = 0;  // in the model's bytes
  size_t at = 0;                  // where its field stood in the tensor's message
};

struct Payloads {
  ExternalData external;
  ModelBytes own;
  std::unordered_map<const onnx::TensorProto*, CutPayload> cut;
};

}  // namespace mezzo::frontend
