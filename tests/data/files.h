// files.h: small data sets on disk for the tests of their readers.
#pragma once
#include <gtest/gtest.h>
#include <png.h>
#include <turbojpeg.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "runtime/atomic_file.h"
#include "runtime/data/image.h"
#include "runtime/data/source.h"

namespace mezzo::runtime {

// A directory of its own for one test, removed at its end.
class Scratch {
 public:
  Scratch() {
    static int count = 0;
    dir_ = std::filesystem::path(testing::TempDir()) / concat("mezzo_data_", ::getpid(), "_", count++);
    std::filesystem::create_directories(dir_);
  }
  ~Scratch() { std::filesystem::remove_all(dir_); }
  std::string path(const std::string& name = {}) const {
    return name.empty() ? dir_.string() : (dir_ / name).string();
  }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    write_atomically(path(name), bytes);
    return path(name);
  }

 private:
  std::filesystem::path dir_;
};

inline Error error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return Error(ErrorCode::usage, "no error");
}

// A smooth picture, which JPEG keeps within a few grey values.
inline Image smooth(int64_t height, int64_t width, int64_t channels, int64_t shade = 0) {
  Image image{height, width, channels, {}};
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++)
      for (int64_t c = 0; c < channels; c++)
        image.pixels.push_back(static_cast<uint8_t>((2 * y + 3 * x + 40 * c + shade) % 256 / 2 + 60));
  return image;
}

inline std::string jpeg(const Image& image, int flags = 0) {
  tjhandle encoder = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int format = image.channels == 1 ? TJPF_GRAY : image.channels == 3 ? TJPF_RGB : TJPF_CMYK;
  const int status = tjCompress2(encoder, image.pixels.data(), static_cast<int>(image.width), 0,
                                 static_cast<int>(image.height), format, &bytes, &size,
                                 image.channels == 1 ? TJSAMP_GRAY : TJSAMP_444, 95, flags);
  EXPECT_EQ(status, 0) << tjGetErrorStr2(encoder);
  std::string out(reinterpret_cast<char*>(bytes), size);
  tjFree(bytes);
  tjDestroy(encoder);
  return out;
}

inline std::string png(const Image& image) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  EXPECT_TRUE(png_image_write_to_memory(&header, nullptr, &size, 0, image.pixels.data(), 0, nullptr));
  std::string out(size, '\0');
  EXPECT_TRUE(png_image_write_to_memory(&header, out.data(), &size, 0, image.pixels.data(), 0, nullptr));
  out.resize(size);
  return out;
}

// An input as a model's file declares it; -1: open.
inline frontend::InputInfo input(const std::string& name, const std::vector<int64_t>& dims,
                                 int onnx_type = 1) {
  frontend::InputInfo info{name, onnx_type, true, {}};
  for (int64_t d : dims) info.dims.push_back({d, {}});
  return info;
}

}  // namespace mezzo::runtime
