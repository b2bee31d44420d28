// opset.h: operator set imports, of a model or of a local function.
#pragma once
#include <google/protobuf/repeated_ptr_field.h>

#include <string>
#include <string_view>

#include "frontend/model_file.h"

namespace mezzo::onnx {
class OperatorSetIdProto;
}

namespace mezzo::frontend {

// "ai.onnx" is another spelling of the default domain.
inline std::string canonical_domain(std::string_view domain) {
  return domain == "ai.onnx" ? std::string() : std::string(domain);
}

// Throws Error for a domain imported twice and for a version of the default domain outside docs/limits.md.
Opsets read_opsets(const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& imports,
                   std::string_view where);

}  // namespace mezzo::frontend
