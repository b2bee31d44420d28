// inspect.h: what is in a file, for `mezzo inspect`.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "frontend/input_shapes.h"
#include "frontend/model_file.h"

namespace mezzo::frontend {

struct InitializerInfo {
  std::string name, type;  // "float[64,3,7,7]"
  int64_t bytes = 0;
  bool external = false;
};

struct Inspection {
  int64_t ir_version = 0;
  std::string producer;  // name and version
  Opsets opsets;
  std::vector<InputInfo> inputs, outputs;
  std::vector<InitializerInfo> initializers;
  int64_t parameter_count = 0;                  // elements of float initializers
  int64_t node_count = 0;                       // of the main graph and all bodies
  std::map<std::string, int64_t> op_histogram;  // domain.op for other domains
  std::vector<std::string> functions;           // domain.name
  std::map<std::string, std::string> metadata;
};
Inspection inspect(const ModelFile& model);

}  // namespace mezzo::frontend
