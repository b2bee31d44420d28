// machine.h: what a running kernel sees of the simulator. Shared by the simulator and by the modules that it
// compiles, so it is plain data and includes nothing.
#pragma once

namespace mezzo::cuda_sim {

using Word = unsigned long long;

// A piece of device memory, and how many bytes kernels have read from and written to it.
struct Region {
  Word begin, end;
  Word read = 0, written = 0;
};

struct Machine {
  unsigned thread = 0;   // of the block
  unsigned threads = 1;  // of a block
  unsigned block[3] = {0, 0, 0}, blocks[3] = {1, 1, 1};
  Region* regions = nullptr;  // sorted by address
  unsigned region_count = 0;
  Region* recent = nullptr;  // the last one found

  // Called by kernels. `line`: which call it is, so that threads that wait at different ones are noticed.
  void (*barrier)(Machine*, int line) = nullptr;
  // All lanes of `mask` meet. `exchange`: each gets the value of lane `source`. `meet`: the last one to come
  // calls `last` on the values of all 32 lanes (of those outside the mask: 0).
  Word (*exchange)(Machine*, unsigned mask, Word value, unsigned source, int line) = nullptr;
  void (*meet)(Machine*, unsigned mask, Word value, void (*last)(const Word* values), int line) = nullptr;
  char* (*shared)(Machine*, unsigned bytes, int line) = nullptr;
  void (*fail)(Machine*, const char* what) = nullptr;  // does not return
};

}  // namespace mezzo::cuda_sim
