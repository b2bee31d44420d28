// image_target.h: the graph input that pictures go to, and how bytes become its numbers.
#pragma once
#include "runtime/data/image.h"
#include "runtime/data/source.h"

namespace mezzo::runtime {

// The one float input of the model: (N, C, H, W), (N, H, W, C), (N, H, W) or (N, K).
class ImageTarget {
 public:
  // `height` and `width` are those of the pictures where the model leaves them open (0: it must not, of
  // `channels` the same), `channels` is how many they have (0: 3 where the model leaves it open). Throws
  // Error(bad_input) for a model that takes no pictures, Error(usage) for a mean or deviation that does not
  // fit.
  ImageTarget(const ModelInputs& inputs, const ImageOptions& options, const Image& pictures,
              const std::vector<double>& usual_mean, const std::vector<double>& usual_std);

  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int64_t channels() const { return channels_; }
  const std::string& input() const { return input_; }
  // Zeros for a batch of `samples`.
  ir::Tensor batch(int64_t samples) const;
  // (pixel / 255 - mean) / std of a picture of exactly this size, as row `at` of the batch.
  void write(const Image& picture, ir::Tensor& batch, int64_t at) const;

 private:
  enum class Layout : uint8_t { channels_first, channels_last, grey, flat };
  std::string input_;
  Layout layout_ = Layout::channels_first;
  int64_t channels_ = 0, height_ = 0, width_ = 0;
  std::vector<float> factor_, offset_;  // per channel: pixel * factor + offset
};

}  // namespace mezzo::runtime
