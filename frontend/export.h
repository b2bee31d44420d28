// export.h: the user's own file with new weights.
#pragma once
#include <map>
#include <string>

#include "frontend/model_file.h"
#include "ir/tensor.h"

namespace mezzo::frontend {

// Writes `model` to `path` with the initializers named in `values` replaced, everything else byte for byte as
// it was read: wire-level patching, no re-serialisation. Values are converted to the initializer's stored
// type (f32 masters of a 16-bit file). A name that is the output of an Identity of an initializer (an alias
// that was trained apart) becomes an initializer of its own in place of that node. With `tie_aliases`, as at import,
// copies (copies.h) follow their weight.
//
// External data: as long as no external tensor changes and the file stays in its directory, the old data file
// keeps serving; otherwise all external tensors go to `<path>.data`. Files appear complete or not at all
// (written beside, synced, renamed). Throws Error naming file or initializer: unknown name, other shape, full
// disk.
void export_model(const ModelFile& model, const std::map<std::string, ir::TensorPtr>& values,
                  const std::string& path, bool tie_aliases = false);

// The bytes of that file, all replaced tensors inline. For models without external data.
std::string patch_model(const ModelFile& model, const std::map<std::string, ir::TensorPtr>& values,
                        bool tie_aliases = false);

}  // namespace mezzo::frontend
