// onnx_fuzz.cpp: whatever the bytes, reading and importing them gives a graph that verifies or an Error. Built with
// -DMEZZO_FUZZ=ON (clang); cmake/fuzz.cmake says how to run it.
#include <cstdint>
#include <string>

#include "frontend/import.h"
#include "frontend/inspect.h"
#include "ir/text.h"
#include "mezzo/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mezzo;
  try {
    frontend::ModelFile file = frontend::ModelFile::from_bytes(std::string(reinterpret_cast<const char*>(data), size));
    frontend::inspect(file);
    frontend::ImportOptions options;
    options.mode = static_cast<frontend::Mode>(size % 3);
    for (const frontend::InputInfo& input : frontend::model_inputs(file)) {
      ir::Dims dims;
      for (const frontend::OpenDim& dim : input.dims) dims.push_back(dim.size < 0 ? 2 : -1);
      options.shapes[input.name] = dims;
    }
    frontend::Imported imported = frontend::import_model(file, options);
    ir::verify(imported.graph);
  } catch (const Error&) {  // the expected answer to a bad file; InternalError and everything else is a finding
  }
  return 0;
}
