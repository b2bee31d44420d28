// pipeline.h: the passes in order, and the runner: it verifies after every pass (in release builds, too),
// times, dumps, and turns whatever goes wrong inside Mezzo into an InternalError with a file that shows it.
#pragma once
#include <functional>
#include <span>

#include "ir/text.h"
#include "passes/passes.h"

namespace mezzo::passes {

struct PassRow {
  std::string_view name;                     // unique; a pass that runs again is NAME-2
  void (*function)(Graph&, const Options&);  // null for the row of accumulate, which makes a second graph
  bool training = false;                     // left out when a graph without gradients is built
  bool in_steps = false;                     // also runs on the bodies of TimeLoops, after the graph
};
std::span<const PassRow> pipeline();
// Throws Error listing the names when there is no such row.
const PassRow& find_pass(std::string_view name);

// What the runner tells after a pass. Number 0, "import", is the graph as it came.
struct PassEvent {
  int number;  // position in the pipeline, from 1
  std::string_view pass;
  std::string_view graph;  // "" for the step, "window" for the graph that ends an accumulation window
  bool changed;            // the text is another one than before
  double milliseconds;
  const std::string& text;  // canonical, without the options comment
  const ir::TensorMap& tensors;
};
using PassObserver = std::function<void(const PassEvent&)>;

struct RunOptions {
  bool training = true;
  std::string first, last;  // rows to begin and end with; empty: all. MEZZO_DEBUG=stop=PASS sets `last`
  PassObserver observer = {};
  std::string dump_dir;  // one NN-PASS.ir for every pass that changed something; MEZZO_DEBUG=dump=DIR sets it to DIR/0, DIR/1 ... in turn
  std::string reproducer_dir;  // where an InternalError leaves its .ir; empty: the folder for temporary files
};

// The graphs of one training step. `window` ends an accumulation window (Options::accumulate > 1).
struct StepGraphs {
  Graph step;
  std::optional<Graph> window;
};
StepGraphs run_pipeline(Graph graph, const Options& options, const RunOptions& run = {});

// One pass as the runner does it: on a canonical graph, verified afterwards. For `mezzo opt` and tests.
void run_pass(Graph& graph, const PassRow& row, const Options& options, const RunOptions& run = {});

}  // namespace mezzo::passes
