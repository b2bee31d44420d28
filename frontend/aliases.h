// aliases.h: weights that an exporter merged because they were equal when the file was written.
#pragma once
#include <map>
#include <string>

#include "frontend/model_file.h"

namespace mezzo::frontend {

// By alias, the initializer whose value it had: the output of an Identity that has a weight's name, of a
// float initializer that something else uses, too. Other Identities merely pass a weight on (PyTorch's alias,
// detach and slices of everything).
std::map<std::string, std::string> find_aliases(const ModelFile& model);

}  // namespace mezzo::frontend
