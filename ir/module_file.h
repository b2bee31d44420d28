// module_file.h: a graph in files: the text form, and beside it one .npy file per elided constant, named by
// its content, so that all dumps of one folder share them.
#pragma once
#include "ir/text.h"

namespace mezzo::ir {

// Writes `text` (as print() gave it, perhaps with comment lines before it) to `path`, and `tensors` beside it
// unless they are there. Throws Error when a file cannot be written.
void write_module(const std::string& path, std::string_view text, const TensorMap& tensors);

struct ModuleFile {
  std::string comments;  // the comment lines before the graph, without "# "
  Graph graph;
};
// Throws Error for a file that cannot be read, is no module, or lacks a constant (or has a damaged one)
// beside it.
ModuleFile read_module(const std::string& path);

// numpy's format, version 1.0; bf16 as <u2, which numpy lacks.
void write_npy(const std::string& path, const Tensor& tensor);
Tensor read_npy(const std::string& path);

}  // namespace mezzo::ir
