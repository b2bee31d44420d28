// atomic_file.h: output files that are either complete or absent, see ir/atomic_file.h.
#pragma once
#include "ir/atomic_file.h"

namespace mezzo::runtime {

using ir::AtomicFile;
using ir::read_file;
using ir::throw_file_error;
using ir::write_atomically;

}  // namespace mezzo::runtime
