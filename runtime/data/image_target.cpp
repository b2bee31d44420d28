#include "runtime/data/image_target.h"

#include <cmath>

namespace mezzo::runtime {
namespace {

constexpr int kFloatTypes[] = {1, 10, 11, 16};  // ONNX: float, float16, double, bfloat16

bool is_float(const frontend::InputInfo& input) {
  for (int type : kFloatTypes)
    if (input.onnx_type == type) return true;
  return false;
}

[[noreturn]] void no_pictures(const frontend::InputInfo& input, const std::string& why) {
  throw Error(ErrorCode::bad_input, concat("input '", input.name, "' is ", to_string(input), ": ", why),
              input.name,
              "pictures feed one float input (N, C, H, W), (N, H, W, C) or (N, K); use .npz for others");
}

std::vector<double> per_channel(const std::vector<double>& given, const std::vector<double>& usual,
                                int64_t channels, const char* flag) {
  std::vector<double> v = given.empty() ? usual : given;
  const auto wanted = static_cast<size_t>(channels);
  if (given.empty() && v.size() != wanted) v.assign(wanted, v.empty() ? 0 : v[0]);
  if (v.size() == 1) v.assign(wanted, v[0]);
  if (v.size() != wanted)
    throw Error(ErrorCode::usage, concat(v.size(), " numbers for pictures of ", channels, " channels"), flag,
                "give one number, or one per channel");
  return v;
}

}  // namespace

ImageTarget::ImageTarget(const ModelInputs& inputs, const ImageOptions& options, const Image& pictures,
                         const std::vector<double>& usual_mean, const std::vector<double>& usual_std) {
  if (inputs.size() != 1)
    throw Error(ErrorCode::bad_input, concat("the model has ", inputs.size(), " inputs, pictures feed one"),
                {}, "write the data set as .npz with one array per input");
  const frontend::InputInfo& in = inputs[0];
  input_ = in.name;
  if (!is_float(in) || !in.ranked) no_pictures(in, "not an input for pictures");
  auto size = [&](size_t axis) { return in.dims[axis].size; };
  auto is_channels = [&](size_t axis) { return size(axis) == 1 || size(axis) == 3; };
  int64_t c = -1, h = -1, w = -1;
  switch (in.dims.size()) {
    case 4: {
      const bool last = is_channels(3) && !is_channels(1);
      layout_ = last ? Layout::channels_last : Layout::channels_first;
      c = size(last ? 3 : 1);
      h = size(last ? 1 : 2);
      w = size(last ? 2 : 3);
      break;
    }
    case 3:
      layout_ = Layout::grey;
      c = 1;
      h = size(1);
      w = size(2);
      break;
    case 2: layout_ = Layout::flat; break;
    default: no_pictures(in, "not an input for pictures");
  }
  channels_ = c > 0 ? c : pictures.channels > 0 ? pictures.channels : 3;
  height_ = h > 0 ? h : pictures.height;
  width_ = w > 0 ? w : pictures.width;
  if (height_ < 1 || width_ < 1)
    no_pictures(in, concat("height and width are open; fix them with --shape ", input_, "=1,3,224,224"));
  if (channels_ != 1 && channels_ != 3)
    no_pictures(in, concat("pictures have 1 or 3 channels, not ", channels_));
  if (layout_ == Layout::flat && size(1) > 0 && size(1) != channels_ * height_ * width_)
    no_pictures(in, concat("pictures have ", channels_ * height_ * width_, " numbers"));
  const std::vector<double> mean = per_channel(options.mean, usual_mean, channels_, "--mean"),
                            deviation = per_channel(options.std, usual_std, channels_, "--std");
  for (size_t k = 0; k < mean.size(); k++) {
    if (!(deviation[k] > 0) || !std::isfinite(mean[k]))
      throw Error(ErrorCode::usage, "a standard deviation must be positive, a mean finite", "--std");
    factor_.push_back(static_cast<float>(1 / (255 * deviation[k])));
    offset_.push_back(static_cast<float>(-mean[k] / deviation[k]));
  }
}

ir::Tensor ImageTarget::batch(int64_t samples) const {
  const ir::Dims dims = layout_ == Layout::flat            ? ir::Dims{samples, channels_ * height_ * width_}
                        : layout_ == Layout::grey          ? ir::Dims{samples, height_, width_}
                        : layout_ == Layout::channels_last ? ir::Dims{samples, height_, width_, channels_}
                                                           : ir::Dims{samples, channels_, height_, width_};
  return ir::Tensor({ir::DType::f32, dims});
}

void ImageTarget::write(const Image& picture, ir::Tensor& batch, int64_t at) const {
  check(picture.height == height_ && picture.width == width_ && picture.channels == channels_,
        "a picture of another size than the model's");
  const int64_t pixels = height_ * width_;
  float* to = batch.as<float>().data() + at * pixels * channels_;
  const bool interleaved = layout_ == Layout::channels_last;
  for (int64_t c = 0; c < channels_; c++) {
    const float factor = factor_[static_cast<size_t>(c)], offset = offset_[static_cast<size_t>(c)];
    const uint8_t* from = picture.pixels.data() + c;
    float* first = to + (interleaved ? c : c * pixels);
    const int64_t step = interleaved ? channels_ : 1;
    for (int64_t i = 0; i < pixels; i++)
      first[i * step] = static_cast<float>(from[i * channels_]) * factor + offset;
  }
}

}  // namespace mezzo::runtime
