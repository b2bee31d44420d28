// pixel_source.h: small pictures that are all in memory.
#pragma once
#include "runtime/data/image_target.h"

namespace mezzo::runtime {

// `count` pictures of one size, interleaved channels, with their labels.
struct PixelSet {
  std::string source;  // for messages
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels, labels;
  std::vector<double> usual_mean, usual_std;
  int64_t padding =
      0;  // augmentation: a random crop out of this many black pixels around, and flips; 0: none
  std::vector<std::string> classes;
  int64_t count() const { return static_cast<int64_t>(labels.size()); }
};

std::unique_ptr<DataSource> make_pixel_source(PixelSet set, const DataOptions& options,
                                              const ModelInputs& inputs);

}  // namespace mezzo::runtime
