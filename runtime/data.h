// data.h: a data set in memory, and the order in which its samples are visited.
#pragma once
#include <string>
#include <vector>

#include "ir/tensor.h"
#include "runtime/npz.h"

namespace mezzo::runtime {

// `feed` as a value of a graph input: floats from any number, integers from integers, bool from bool; extents
// must agree. Throws Error(bad_input) naming the input for anything else, and for an integer that does not
// fit.
ir::Tensor convert_feed(const std::string& name, const ir::Tensor& feed, const ir::Type& wanted);

// Throws Error(bad_input) naming the array and position of the first NaN.
void refuse_nan(const std::string& name, const ir::Tensor& values);

// The name among `names` nearest to `wrong` if it is near enough to be a slip, else "".
std::string nearest_name(const std::string& wrong, const std::vector<std::string>& names);

// A data set: arrays whose first axis counts the samples. Names are those of graph inputs; labels are called
// "labels".
class Dataset {
 public:
  // `inputs` are the graph's inputs (without labels); `labels_key` names the array of labels, "" when there
  // are none. Throws Error(bad_input) for a missing or superfluous array, different numbers of samples, no
  // samples, NaN.
  Dataset(Arrays arrays, const std::vector<std::string>& inputs, const std::string& labels_key,
          std::string source);

  int64_t samples() const { return samples_; }
  const Arrays& arrays() const { return arrays_; }
  // The rows `indices` of every array.
  Arrays gather(const std::vector<int64_t>& indices) const;

 private:
  Arrays arrays_;
  int64_t samples_ = 0;
};

// Visits all samples once per epoch in batches of `batch`; the last one of an epoch may be shorter. The order
// depends on the seed and the number of the epoch only, on every machine.
class BatchOrder {
 public:
  BatchOrder(int64_t samples, int64_t batch, bool shuffle, uint64_t seed);
  int64_t batches_per_epoch() const { return (samples_ + batch_ - 1) / batch_; }
  // Sample indices of the next batch; goes on to the next epoch by itself.
  std::vector<int64_t> next();
  // The epoch that next() will draw from, counting from 0.
  int64_t epoch() const { return epoch_; }
  bool at_epoch_start() const { return at_ == 0; }
  // A position in the order: samples of `epoch` that next() has returned.
  struct Place {
    int64_t epoch = 0, taken = 0;
  };
  Place place() const { return {epoch_, at_}; }
  void go_to(const Place& place);

 private:
  void start_epoch();
  int64_t samples_, batch_, epoch_ = 0, at_ = 0;
  bool shuffle_;
  uint64_t seed_;
  std::vector<int64_t> order_;
};

}  // namespace mezzo::runtime
