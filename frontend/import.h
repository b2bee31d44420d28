// import.h: an ONNX file -> a Graph of f32 ONNX-named ops with static shapes.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "frontend/call.h"
#include "frontend/metadata.h"
#include "frontend/model_file.h"
#include "ir/graph.h"

namespace mezzo::frontend {

struct ImportOptions {
  Mode mode = Mode::as_exported;
  // What binds symbolic dimensions: whole shapes by graph input, single dimensions by their name in the file,
  // and the symbolic first dimension of every input.
  std::map<std::string, ir::Dims> shapes;
  std::map<std::string, int64_t> dims;
  std::optional<int64_t> batch;
  // Identity(initializer) in a file exported for inference: true = the same parameter, false = a parameter of
  // its own that starts equal (exporters merge weights that merely happen to be equal).
  bool tie_aliases = false;
  // Values of graph inputs, for models whose shapes depend on them. Used only where a shape, an axis or the
  // like must be known; ImportReport::baked says for which inputs that happened, and the graph holds for just
  // these values.
  std::map<std::string, ir::TensorPtr> values;
};

struct Alias {
  std::string name, of;  // value name, initializer
  bool tied;
};

struct ImportReport {
  std::vector<Alias> aliases;
  std::vector<std::string> notes;  // one line each: what was decided on the user's behalf
  std::vector<std::string> baked;  // inputs whose values the graph depends on
  int64_t nodes = 0;               // in the file, functions inlined
  int64_t folded = 0;              // of these, evaluated at import
};

struct Imported {
  // Inputs carry the file's names. Float initializers are states of kind parameter (statistic for BatchNorm's
  // running ones, which get an update when training), with their values in graph.tensors; 16-bit ones are f32
  // states behind a Cast. All else is constant. Outputs are named output:<name>. Dropout in training draws
  // from state `mezzo.key` (u32[2]: seed, step), whose updates are the caller's.
  ir::Graph graph;
  ImportReport report;
  std::map<std::string, Role> roles;  // of initializers
};

// What is thrown when nodes cannot be imported; the message names all of them.
class UnsupportedNodes : public Error {
 public:
  struct Node {
    std::string label, op, reason, hint;  // as they may be printed; the hint may be empty
  };
  explicit UnsupportedNodes(std::vector<Node> list);
  std::vector<Node> nodes;
};

// Throws Error: bad_input for contradictions in the file, usage for shapes that do not fit or are missing;
// UnsupportedNodes.
Imported import_model(const ModelFile& model, const ImportOptions& options = {});

}  // namespace mezzo::frontend
