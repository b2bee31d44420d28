// tensor_reader.h: TensorProto -> ir::Tensor, with every check on its sizes.
#pragma once
#include <optional>
#include <string_view>

#include "frontend/payloads.h"
#include "ir/start_value.h"

namespace mezzo::frontend {

// ONNX's number of an element type. Strings, complex numbers and the types below 16 bits have no ir type.
std::optional<ir::DType> dtype_of(int onnx_type);
int onnx_type_of(ir::DType);
std::string onnx_type_name(int onnx_type);  // "float", "float8e4m3fn", "type 99"

// The declared type, checked: dims, known element type. `what` names the tensor in errors.
ir::Type tensor_type(const onnx::TensorProto& tensor, std::string_view what);

// Where the payload of a tensor with external data stands; nothing when it is in the message.
struct ExternalRange {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
};
std::optional<ExternalRange> external_range(const onnx::TensorProto& tensor, std::string_view what);

// A payload, raw or typed or external: exactly one of them and exactly as long as the dims say, or an Error.
ir::Tensor read_tensor(const onnx::TensorProto& tensor, const Payloads& payloads, std::string_view what);
// The same, checked now; elements that are not in the message are read when they are asked for.
ir::StartValue start_value(const onnx::TensorProto& tensor, const std::shared_ptr<const Payloads>& payloads,
                           std::string_view what);

}  // namespace mezzo::frontend
