// safetensors.h: the safetensors format: u64 length of a JSON header, the header, the bytes of all tensors.
#pragma once
#include <map>
#include <string>

#include "runtime/npz.h"

namespace mezzo::runtime {

inline constexpr int64_t kMaxSafetensorsHeader = 100'000'000;  // the format's own limit

struct Safetensors {
  Arrays tensors;
  std::map<std::string, std::string> metadata;
};

// Atomic. The same content gives the same bytes.
void write_safetensors(const std::string& path, const std::map<std::string, const ir::Tensor*>& tensors,
                       const std::map<std::string, std::string>& metadata);

// Throws Error(bad_input) naming the file and what is wrong: a header that is no JSON object, unknown types,
// extents whose product overflows, offsets that leave holes, overlap or do not end with the file.
Safetensors read_safetensors(const std::string& path);

}  // namespace mezzo::runtime
