// npz.h: numpy's .npz files (a zip of .npy arrays), read with hostile files in mind and written atomically.
// The format is the one of numpy's own description, "numpy.lib.format", versions 1 to 3.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "ir/tensor.h"

namespace mezzo::runtime {

using Arrays = std::map<std::string, ir::Tensor>;

// Limits (docs/limits.md): sizes a file declares are checked against these before anything is allocated.
inline constexpr int64_t kMaxNpzEntries = 65536;
inline constexpr int64_t kMaxNpzBytes = int64_t{64} << 30;          // all arrays of one file together
inline constexpr int64_t kMaxNpzDeflatedBytes = int64_t{16} << 30;  // those of them that are compressed
inline constexpr int64_t kMaxNpyHeader = 65536;
inline constexpr int64_t kMaxNpyRank = 32;

// All arrays of the file by name (without ".npy"). Either byte order, C and Fortran order (transposed),
// stored and deflated entries. Throws Error(bad_input) naming the file and array for anything malformed or
// not numeric.
Arrays read_npz(const std::string& path);

// Arrays as numpy reads them: bool, 8- to 64-bit integers, f16, f32, f64; bf16 is widened to f32, because
// numpy has no such type. The same arrays give the same bytes.
void write_npz(const std::string& path, const Arrays& arrays);

// One array in .npy form: the two halves that the functions above are made of. `name` is for messages only.
ir::Tensor parse_npy(std::string_view bytes, const std::string& name);
std::string format_npy(const ir::Tensor& tensor);

}  // namespace mezzo::runtime
