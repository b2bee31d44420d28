// Pictures from JPEG files (libjpeg-turbo) and PNG files (libpng).
#include <png.h>
#include <turbojpeg.h>

#include <array>
#include <cstring>
#include <memory>

#include "mezzo/error.h"
#include "runtime/data/image.h"

namespace mezzo::runtime {
namespace {

[[noreturn]] void corrupt(const std::string& name, const std::string& why) {
  throw Error(ErrorCode::bad_input, concat("'", name, "': ", why), name,
              "replace or remove the file, or leave such files out with --skip-corrupt");
}

void check_size(int64_t height, int64_t width, const std::string& name) {
  if (height < 1 || width < 1) corrupt(name, "a picture without pixels");
  if (height > kMaxImagePixels / width)
    corrupt(name, concat("declares ", width, " x ", height, " pixels, more than ", kMaxImagePixels));
}

Image blank(int64_t height, int64_t width, int64_t channels) {
  Image image{height, width, channels, {}};
  image.pixels.resize(static_cast<size_t>(height * width * channels));
  return image;
}

// Four inks to three lights. Adobe's files, the only ones in use, store the inks inverted.
Image from_inks(const Image& inks) {
  Image out = blank(inks.height, inks.width, 3);
  const uint8_t* from = inks.pixels.data();
  uint8_t* to = out.pixels.data();
  for (int64_t i = 0; i < inks.height * inks.width; i++, from += 4)
    for (int c = 0; c < 3; c++) *to++ = static_cast<uint8_t>((from[c] * from[3] + 127) / 255);
  return out;
}

// Luma of ITU-R 601 in 16-bit fixed point.
Image grey(const Image& rgb) {
  Image out = blank(rgb.height, rgb.width, 1);
  const uint8_t* from = rgb.pixels.data();
  for (uint8_t& to : out.pixels) {
    to = static_cast<uint8_t>((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 0x8000) >> 16);
    from += 3;
  }
  return out;
}

struct CloseDecoder {
  void operator()(void* handle) const { tjDestroy(handle); }
};

Image decode_jpeg(std::string_view bytes, int64_t channels, const std::string& name) {
  std::unique_ptr<void, CloseDecoder> decoder(tjInitDecompress());
  check(decoder != nullptr, "libjpeg-turbo does not start");
  auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto size = static_cast<unsigned long>(bytes.size());
  auto reason = [&] { return concat("not a readable JPEG: ", tjGetErrorStr2(decoder.get())); };
  // Bytes between markers harm nothing and are common; a warning of anything else means lost pixels.
  auto lost = [&](int status) {
    return status != 0 && (tjGetErrorCode(decoder.get()) != TJERR_WARNING ||
                           !std::strstr(tjGetErrorStr2(decoder.get()), "extraneous bytes"));
  };
  int width = 0, height = 0, sampling = 0, colours = 0;
  if (lost(tjDecompressHeader3(decoder.get(), data, size, &width, &height, &sampling, &colours)))
    corrupt(name, reason());
  check_size(height, width, name);
  const bool inks = colours == TJCS_CMYK || colours == TJCS_YCCK;
  Image image = blank(height, width, inks ? 4 : channels);
  const int format = inks ? TJPF_CMYK : channels == 1 ? TJPF_GRAY : TJPF_RGB;
  // The exact transform, and a bound on the scans of a progressive file, each of which costs a pass.
  if (lost(tjDecompress2(decoder.get(), data, size, image.pixels.data(), width, 0, height, format,
                         TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS)))
    corrupt(name, reason());
  if (!inks) return image;
  return channels == 1 ? grey(from_inks(image)) : from_inks(image);
}

struct ClosePng {
  void operator()(png_image* image) const { png_image_free(image); }
};

Image decode_png(std::string_view bytes, int64_t channels, const std::string& name) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  std::unique_ptr<png_image, ClosePng> closes(&header);
  auto lost = [&] { return PNG_IMAGE_FAILED(header) || header.warning_or_error != 0; };
  auto reason = [&] { return concat("not a readable PNG: ", header.message); };
  if (!png_image_begin_read_from_memory(&header, bytes.data(), bytes.size()) || lost())
    corrupt(name, reason());
  check_size(header.height, header.width, name);
  header.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  Image image = blank(header.height, header.width, channels);
  png_color black{0, 0, 0};  // behind transparent pixels
  if (!png_image_finish_read(&header, &black, image.pixels.data(), 0, nullptr) || lost())
    corrupt(name, reason());
  return image;
}

}  // namespace

Image decode_image(std::string_view bytes, int64_t channels, const std::string& name) {
  check(channels == 1 || channels == 3, "an image with ", channels, " channels");
  if (bytes.starts_with("\xff\xd8")) return decode_jpeg(bytes, channels, name);
  if (bytes.starts_with("\x89PNG")) return decode_png(bytes, channels, name);
  corrupt(name, bytes.empty() ? "the file is empty" : "neither a JPEG nor a PNG file");
}

}  // namespace mezzo::runtime
