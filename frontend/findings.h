// findings.h: what somebody who wants to train a file should know about it, each with a repair.
#pragma once
#include <string>
#include <vector>

#include "frontend/import.h"

namespace mezzo::frontend {

struct Finding {
  enum class Level : uint8_t {
    obstacle,  // the file cannot be trained as it is
    warning,   // it can, but not as the network it was exported from
    note,      // what was decided or assumed
  };
  Level level = Level::note;
  std::string kind;                // "folded-batchnorm", "aliased-weight" ...
  std::vector<std::string> nodes;  // ONNX nodes, initializers or inputs concerned, as they may be printed
  std::string what;
  std::string repair;  // empty: nothing needs to be done
};
std::string_view name(Finding::Level);

// What the file itself says, without importing it: folded BatchNorm, lost Dropout, weights that the exporter
// merged, copied or renamed, open dimensions. In that order, each kind at most once for all its nodes.
std::vector<Finding> examine_file(const ModelFile& model);

// The decisions of an import: values of inputs that the graph depends on, training flags that were
// overridden.
std::vector<Finding> examine_import(const ImportReport& report);

// The objective on a graph that has one: scores which the model has normalised already.
std::vector<Finding> examine_objective(const ir::Graph& graph);

// An error that ended the import or what follows it, one finding per node concerned.
std::vector<Finding> examine_error(const Error& error);

}  // namespace mezzo::frontend
