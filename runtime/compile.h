// compile.h: model file and shapes -> a program, through importer, passes and backend.
#pragma once
#include <memory>

#include "passes/plan_memory.h"
#include "runtime/step_graph.h"
#include "runtime/step_program.h"

namespace mezzo::runtime {

struct Compiled {
  std::unique_ptr<StepProgram> program;
  std::unique_ptr<StepProgram> window_end;  // Purpose::window: run after the last micro-batch
  ir::Graph states;                         // the State leaves of both, with their start values
  std::vector<passes::TracePoint> points;   // Purpose::trace: the meaning of output bad_node
  std::vector<passes::PlanRow> plan;        // of assign_precision
  std::vector<frontend::ParameterRow> parameters;
  frontend::ImportReport report;
  std::string first_output;     // name in the graph of the model's first output
  int64_t classes = 0;          // of cross_entropy; 0 for other losses
  passes::MemoryReport memory;  // zeros on the reference device
  double milliseconds = 0;      // wall clock of the compilation
};

// Throws Error for what the user can mend: shapes that do not fit, ops without a gradient, a plan that names
// nothing. `device`: for Device::cuda, the one the step will run on.
Compiled compile_step(const LoadedModel& model, const Signature& signature, const CompileOptions& options,
                      Purpose purpose, const Arrays& values = {},
                      std::shared_ptr<codegen::Device> device = nullptr);

// The overrides that the text of an edited precision plan asks for, relative to what the rules alone give.
std::vector<passes::PrecisionOverride> plan_overrides(const ir::Graph& graph, passes::Options options,
                                                      const std::string& text);

// The directory for compiled kernels: `option`, or $XDG_CACHE_HOME/mezzo, ~/.cache/mezzo; "" (no cache) for
// "none" and where there is no home.
std::string cache_directory(const std::string& option);

}  // namespace mezzo::runtime
