// step_graph.h: from an .onnx file and the shapes of a batch to the graph that the passes start from.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "frontend/import.h"
#include "frontend/input_shapes.h"
#include "frontend/trainable.h"
#include "mezzo/options.h"
#include "passes/passes.h"
#include "runtime/npz.h"

namespace mezzo::runtime {

// A file that was read and checked, and the inputs it wants.
struct LoadedModel {
  explicit LoadedModel(const std::string& file_path);
  std::string path;
  frontend::ModelFile file;
  std::vector<frontend::InputInfo> inputs;
  std::vector<std::string> input_names() const;
  const std::string& hash() const { return file.hash(); }  // of its bytes
};

// What a graph is for.
enum class Purpose : uint8_t {
  train,      // one optimizer step on one batch
  window,     // one micro-batch of a window, and the graph that ends the window
  gradients,  // loss, outputs and gradients
  trace,      // trace_overflow of `train`
  evaluate,   // forward in inference mode, with the loss
  infer,      // forward in inference mode
};
inline bool is_training(Purpose p) { return p <= Purpose::trace; }

// Whose stages go to CompileOptions::dump_dir: what the user asked for, not what helps along the way.
inline bool is_dumped(Purpose p) { return p <= Purpose::gradients; }

// The shapes of one batch: what a compiled step is specific to.
struct Signature {
  std::map<std::string, ir::Dims> shapes;  // of the graph inputs
  std::optional<ir::Dims> labels;
  int64_t samples() const;  // extent of the first axis; 1 without any
  auto operator<=>(const Signature&) const = default;
};

struct StepGraph {
  ir::Graph graph;
  frontend::ImportReport report;
  std::vector<frontend::ParameterRow> parameters;  // empty for graphs that do not train
  std::string first_output;                        // "output:NAME"
  int64_t classes = 0;                             // that cross_entropy chooses from; 0 for other losses
};

// Imports the model for these shapes, attaches the loss and fixes what is trained. `values`: feeds, for
// models whose shapes depend on the values of inputs.
StepGraph build_step_graph(const LoadedModel& model, const Signature& signature,
                           const CompileOptions& options, Purpose purpose, const Arrays& values = {});

// The options of the passes for a purpose.
passes::Options pass_options(const CompileOptions& options, Purpose purpose, int64_t samples);

}  // namespace mezzo::runtime
