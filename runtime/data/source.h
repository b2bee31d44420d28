// source.h: samples for training and evaluation, whatever files they come from.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "frontend/input_shapes.h"
#include "runtime/npz.h"

namespace mezzo::runtime {

// Samples of a batch: arrays by the names of graph inputs, and the labels under their key; the first axis
// counts the samples.
struct Rows {
  Arrays arrays;
  int64_t samples = 0;
  int64_t corrupt = 0;  // asked for, but left out because they cannot be read
};

// Not thread-safe; one thread at a time asks.
class DataSource {
 public:
  virtual ~DataSource() = default;
  virtual int64_t samples() const = 0;
  // The samples `indices`. What is random about them is a function of the seed, `epoch` and the index, so
  // that neither order nor batch size matter. Throws Error(bad_input) naming the file for a sample that
  // cannot be read, unless corrupt ones are to be left out.
  virtual Rows gather(const std::vector<int64_t>& indices, int64_t epoch) const = 0;
  // What was found, for the user: "image folder, 10 classes".
  virtual std::string describe() const = 0;
  // Names of the classes by label, where the files have them.
  virtual std::vector<std::string> classes() const { return {}; }
};

enum class DataFormat : uint8_t { automatic, npz, idx, cifar10, folder, tokens };

struct ImageOptions {
  std::vector<double> mean,
      std;              // of pixels / 255, one or one per channel; empty: the usual ones of the format
  bool augment = true;  // random crops and flips of training data, where the format has usual ones
  int64_t resize = 0;   // shorter side before the centre crop of evaluation; 0: 256/224 of the crop
};

struct DataOptions {
  std::string path;
  DataFormat format = DataFormat::automatic;
  bool training = true;           // augments; chooses the part of a directory that holds both parts
  std::string labels = "labels";  // "" where the loss takes none
  uint64_t seed = 0;
  int64_t sequence = 0;  // tokens per sample; 0: the model's
  bool skip_corrupt = false;
  ImageOptions image;
};

// What the model takes, as far as it is known: the inputs of the file with the shapes a user has fixed.
using ModelInputs = std::vector<frontend::InputInfo>;

// Opens what `path` is: an .npz file, IDX images (MNIST), CIFAR-10 binary files, a folder of images per
// class, token files. Throws Error(bad_input) naming the file, Error(usage) for options without meaning
// there.
std::unique_ptr<DataSource> open_data(const DataOptions& options, const ModelInputs& inputs);

}  // namespace mezzo::runtime
