// limits.h: what a model file may at most ask for. docs/limits.md is the same table with the reasons.
#pragma once
#include <cstdint>

namespace mezzo::frontend {

inline constexpr int64_t kMaxFileBytes = (int64_t{1} << 31) - 1;  // one protobuf message
inline constexpr int64_t kMaxFields = 16'000'000;                 // length-delimited fields in a file
inline constexpr int64_t kMaxNodes = 1'000'000;  // in the file, and again after inlining functions
inline constexpr int kMaxGraphDepth = 24;        // If/Loop bodies within each other
inline constexpr int kMaxFunctionDepth = 64;     // functions calling functions
inline constexpr int64_t kMaxTrips = 4096;       // of a loop that is unrolled
inline constexpr int kMaxRank = 16;              // dimensions of one tensor
inline constexpr int kMaxNameBytes = 4096;       // any name in the file
inline constexpr int64_t kMinIrVersion = 3, kMaxIrVersion = 14;
inline constexpr int64_t kMinOpset = 6, kMaxOpset = 28;          // of the default domain
inline constexpr int64_t kMaxFoldedElements = int64_t{1} << 20;  // larger constant results stay in the graph
inline constexpr int64_t kMaxFoldedWork = int64_t{1} << 23;  // elements all folding of one import may produce

}  // namespace mezzo::frontend
