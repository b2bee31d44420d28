// image.h: pictures in memory, from files, and cut and scaled as training wants them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/random.h"

namespace mezzo::runtime {

// Rows of interleaved 8-bit channels: 1 grey, 3 RGB.
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

// Limits (docs/limits.md), checked against what a header declares before memory is asked for.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 26;
inline constexpr int64_t kMaxImageBytes = int64_t{1} << 28;

// JPEG or PNG, by its first bytes, with `channels` channels (1 or 3; converted where the file has others).
// Throws Error(bad_input) naming `name` for anything that is not a complete picture.
Image decode_image(std::string_view bytes, int64_t channels, const std::string& name);

struct Box {
  int64_t top = 0, left = 0, height = 0, width = 0;
};
// The part of the image; what lies outside of it is black.
Image crop(const Image& image, const Box& box);
Image flip(const Image& image);  // left to right
// Bilinear with a filter as wide as a target pixel (antialiased), rounded to 8 bits after each direction:
// what torchvision's transforms give for PIL images.
Image resize(const Image& image, int64_t height, int64_t width);

// torchvision's RandomResizedCrop: 8 to 100 % of the area, sides 3:4 to 4:3.
Box random_resized_box(int64_t height, int64_t width, SampleRandom& random);
// torchvision's Resize(shorter) followed by CenterCrop.
Image centre_crop(const Image& image, int64_t shorter, int64_t height, int64_t width);

}  // namespace mezzo::runtime
