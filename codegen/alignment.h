// alignment.h: where buffers that share one allocation begin.
#pragma once
#include "ir/round_up.h"

namespace mezzo::codegen {

constexpr int64_t kHostAlign = 64;     // bytes; a cache line, and the widest vector
constexpr int64_t kDeviceAlign = 256;  // bytes; as the driver's own allocations

constexpr int64_t host_aligned(int64_t bytes) { return ir::round_up(bytes, kHostAlign); }
constexpr int64_t device_aligned(int64_t bytes) { return ir::round_up(bytes, kDeviceAlign); }

}  // namespace mezzo::codegen
