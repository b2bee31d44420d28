// input_shapes.h: what the file says about its inputs, and what is left open there.
#pragma once
#include <string>
#include <vector>

#include "frontend/import.h"

namespace mezzo::frontend {

struct OpenDim {
  int64_t size = -1;   // -1: open
  std::string symbol;  // name of an open dimension; may be empty
};
struct InputInfo {
  std::string name;
  int onnx_type = 0;    // 0: not a tensor
  bool ranked = false;  // false: the file does not even say how many dimensions
  std::vector<OpenDim> dims;
};

// The inputs to feed (those without an initializer), in file order; and the outputs.
std::vector<InputInfo> model_inputs(const ModelFile& model);
std::vector<InputInfo> model_outputs(const ModelFile& model);
std::string to_string(const InputInfo& info);  // "float[batch,3,224,224]"

// Static types of all inputs. Throws Error(usage) when a dimension stays open or two sources contradict each
// other, and Error(unsupported) for inputs that are not tensors of a supported type.
std::vector<ir::Type> bind_input_types(const std::vector<InputInfo>& inputs, const ImportOptions& options);

}  // namespace mezzo::frontend
