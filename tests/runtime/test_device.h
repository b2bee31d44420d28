// test_device.h: what the training tests run on: the CPU, or, with MEZZO_TEST_DEVICE=cuda, the first GPU that
// is found; tests/cuda_sim/fake has one for machines without any.
#pragma once
#include <cstdlib>
#include <string_view>

#include "mezzo/options.h"

namespace mezzo::runtime {

inline Device test_device() {
  const char* name = std::getenv("MEZZO_TEST_DEVICE");
  return name && std::string_view(name) == "cuda" ? Device::cuda : Device::cpu;
}

}  // namespace mezzo::runtime
