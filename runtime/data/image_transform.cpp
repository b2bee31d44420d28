#include <algorithm>
#include <array>
#include <cmath>

#include "mezzo/error.h"
#include "runtime/data/image.h"

namespace mezzo::runtime {
namespace {

// Weights are fixed-point numbers of this many bits behind the point, as in Pillow, whose results are bit for
// bit the same.
constexpr int kWeightBits = 32 - 8 - 2;

// What the pixel `at` of the result takes from which pixels of the source.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

// A triangle as wide as a pixel of the coarser of both sides, around the centre of every result pixel.
std::vector<Taps> triangle_taps(int64_t from, int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), reach = std::max(scale, 1.0);
  std::vector<Taps> all(static_cast<size_t>(to));
  for (int64_t at = 0; at < to; at++) {
    const double centre = (static_cast<double>(at) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
    const int64_t last = std::min(from, static_cast<int64_t>(centre + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t i = first; i < last; i++) {
      double distance = std::abs((static_cast<double>(i) - centre + 0.5) * (1.0 / reach));
      weights.push_back(std::max(0.0, 1.0 - distance));
      sum += weights.back();
    }
    Taps& taps = all[static_cast<size_t>(at)];
    taps.first = first;
    for (double w : weights)
      taps.weights.push_back(static_cast<int32_t>(0.5 + w * (1.0 / sum) * (1 << kWeightBits)));
  }
  return all;
}

uint8_t round_to_byte(int64_t sum) {
  return static_cast<uint8_t>(std::clamp<int64_t>((sum + (1 << (kWeightBits - 1))) >> kWeightBits, 0, 255));
}

// One direction: every line of `count` result pixels is made from a line of the source, whose pixels lie
// `step` bytes apart.
Image resize_width(const Image& in, int64_t width) {
  Image out{in.height, width, in.channels, {}};
  out.pixels.resize(static_cast<size_t>(out.height * out.width * out.channels));
  const std::vector<Taps> taps = triangle_taps(in.width, width);
  uint8_t* to = out.pixels.data();
  for (int64_t y = 0; y < in.height; y++) {
    const uint8_t* line = in.pixels.data() + y * in.width * in.channels;
    for (const Taps& t : taps)
      for (int64_t c = 0; c < in.channels; c++) {
        int64_t sum = 0;
        const uint8_t* pixel = line + t.first * in.channels + c;
        for (size_t k = 0; k < t.weights.size(); k++, pixel += in.channels) sum += *pixel * t.weights[k];
        *to++ = round_to_byte(sum);
      }
  }
  return out;
}

Image resize_height(const Image& in, int64_t height) {
  Image out{height, in.width, in.channels, {}};
  const int64_t line = in.width * in.channels;
  out.pixels.resize(static_cast<size_t>(height * line));
  const std::vector<Taps> taps = triangle_taps(in.height, height);
  std::vector<int64_t> sums(static_cast<size_t>(line));
  for (int64_t y = 0; y < height; y++) {
    const Taps& t = taps[static_cast<size_t>(y)];
    std::fill(sums.begin(), sums.end(), 0);
    for (size_t k = 0; k < t.weights.size(); k++) {
      const uint8_t* from = in.pixels.data() + (t.first + static_cast<int64_t>(k)) * line;
      for (int64_t i = 0; i < line; i++) sums[static_cast<size_t>(i)] += from[i] * t.weights[k];
    }
    for (int64_t i = 0; i < line; i++)
      out.pixels[static_cast<size_t>(y * line + i)] = round_to_byte(sums[static_cast<size_t>(i)]);
  }
  return out;
}

}  // namespace

Image crop(const Image& in, const Box& box) {
  Image out{box.height, box.width, in.channels, {}};
  out.pixels.resize(static_cast<size_t>(box.height * box.width * in.channels));
  const int64_t left = std::max<int64_t>(box.left, 0), right = std::min(box.left + box.width, in.width);
  if (left >= right) return out;
  for (int64_t y = std::max<int64_t>(box.top, 0); y < std::min(box.top + box.height, in.height); y++) {
    const uint8_t* from = in.pixels.data() + (y * in.width + left) * in.channels;
    std::copy_n(from, (right - left) * in.channels,
                out.pixels.data() + ((y - box.top) * box.width + left - box.left) * in.channels);
  }
  return out;
}

Image flip(const Image& in) {
  Image out = in;
  for (int64_t y = 0; y < in.height; y++)
    for (int64_t x = 0; x < in.width; x++)
      std::copy_n(in.pixels.data() + (y * in.width + x) * in.channels, in.channels,
                  out.pixels.data() + (y * in.width + in.width - 1 - x) * in.channels);
  return out;
}

Image resize(const Image& in, int64_t height, int64_t width) {
  check(height > 0 && width > 0 && in.height > 0 && in.width > 0, "resize of or to nothing");
  Image out = in.width == width ? in : resize_width(in, width);
  return in.height == height ? out : resize_height(out, height);
}

Box random_resized_box(int64_t height, int64_t width, SampleRandom& random) {
  const auto area = static_cast<double>(height * width);
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; i++) {
    const double part = area * random.uniform(0.08, 1);
    const double ratio = std::exp(random.uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
    const auto w = static_cast<int64_t>(std::nearbyint(std::sqrt(part * ratio)));
    const auto h = static_cast<int64_t>(std::nearbyint(std::sqrt(part / ratio)));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const int64_t top = random.below(height - h + 1);
    return {top, random.below(width - w + 1), h, w};
  }
  // Too long or too high for any: the largest part in the middle whose sides are allowed.
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  Box box{0, 0, height, width};
  if (ratio < 3.0 / 4) box.height = static_cast<int64_t>(std::nearbyint(static_cast<double>(width) * 4 / 3));
  if (ratio > 4.0 / 3) box.width = static_cast<int64_t>(std::nearbyint(static_cast<double>(height) * 4 / 3));
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

Image centre_crop(const Image& in, int64_t shorter, int64_t height, int64_t width) {
  const int64_t longer = std::max(in.height, in.width) * shorter / std::min(in.height, in.width);
  Image scaled = in.height < in.width ? resize(in, shorter, longer) : resize(in, longer, shorter);
  auto middle = [](int64_t all, int64_t part) {
    return static_cast<int64_t>(std::nearbyint(static_cast<double>(all - part) / 2));
  };
  return crop(scaled, {middle(scaled.height, height), middle(scaled.width, width), height, width});
}

}  // namespace mezzo::runtime
