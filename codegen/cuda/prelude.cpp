// prelude.cpp: the text in front of all kernels, and how it wants to be compiled.
#include <array>

#include "codegen/cuda/prelude_text.h"
#include "codegen/cuda/source.h"

namespace mezzo::codegen::cuda {

std::string_view prelude() { return {kPreludeText, sizeof kPreludeText - 1}; }

std::span<const char* const> compile_options() {
  static constexpr std::array<const char*, 6> kOptions{"--std=c++17",     "-default-device",  "--fmad=false",
                                                       "--prec-div=true", "--prec-sqrt=true", "--ftz=false"};
  return kOptions;
}

}  // namespace mezzo::codegen::cuda
