#include "runtime/data/image.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/data/files.h"

namespace mezzo::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

int largest_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  int most = 0;
  for (size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); i++)
    most = std::max(most, std::abs(a.pixels[i] - b.pixels[i]));
  return most;
}

TEST(DecodeImage, JpegOfAllColourSpaces) {
  for (int64_t channels : {1, 3}) {
    const Image picture = smooth(20, 31, channels), back = decode_image(jpeg(picture), channels, "p.jpg");
    EXPECT_EQ(back.height, 20);
    EXPECT_EQ(back.width, 31);
    EXPECT_LE(largest_difference(back, picture), 6) << channels;
  }
  // Inks without black are the lights themselves (stored inverted): c * 255 / 255.
  Image inks = smooth(8, 8, 4);
  for (size_t i = 3; i < inks.pixels.size(); i += 4) inks.pixels[i] = 255;
  const Image lights = decode_image(jpeg(inks), 3, "p.jpg");
  for (size_t p = 0; p < 64; p++)
    for (size_t c = 0; c < 3; c++) EXPECT_NEAR(lights.pixels[p * 3 + c], inks.pixels[p * 4 + c], 8);
  EXPECT_EQ(decode_image(jpeg(inks), 1, "p.jpg").pixels.size(), 64u);
  EXPECT_LE(largest_difference(decode_image(jpeg(smooth(16, 16, 3), TJFLAG_PROGRESSIVE), 3, "p"),
                               smooth(16, 16, 3)),
            6);
}

TEST(DecodeImage, GreyAndColourBecomeEachOther) {
  const Image grey = smooth(9, 9, 1), colour = decode_image(jpeg(grey), 3, "p.jpg");
  for (size_t p = 0; p < 81; p++) EXPECT_EQ(colour.pixels[3 * p], colour.pixels[3 * p + 2]);
  EXPECT_EQ(decode_image(jpeg(smooth(9, 9, 3)), 1, "p.jpg").channels, 1);
}

TEST(DecodeImage, PngIsExact) {
  for (int64_t channels : {1, 3}) {
    const Image picture = smooth(7, 5, channels);
    EXPECT_EQ(decode_image(png(picture), channels, "p.png").pixels, picture.pixels);
  }
}

// Every damage is one error that names the file; the marks at the start stay, so that the decoder sees it.
TEST(DecodeImage, DamageIsAnErrorNotACrash) {
  const std::string files[] = {jpeg(smooth(40, 40, 3)), png(smooth(40, 40, 3))};
  for (const std::string& whole : files)
    for (size_t keep : {size_t{4}, size_t{30}, whole.size() / 2, whole.size() * 9 / 10}) {
      const Error e = error_of([&] { decode_image(whole.substr(0, keep), 3, "class/broken.img"); });
      EXPECT_EQ(e.code(), ErrorCode::bad_input) << keep;
      EXPECT_THAT(e.what(), HasSubstr("class/broken.img")) << keep;
      EXPECT_THAT(e.hint(), HasSubstr("--skip-corrupt"));
    }
  for (const std::string& whole : files)
    for (size_t at = 2; at < std::min<size_t>(whole.size(), 400); at++) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 0x55);
      const Error e = error_of([&] { decode_image(changed, 3, "f"); });  // or a picture with wrong pixels
      EXPECT_TRUE(e.code() == ErrorCode::bad_input || std::string(e.what()) == "no error")
          << at << ": " << e.what();
    }
}

TEST(DecodeImage, SizesAreBoundedBeforeMemoryIsTaken) {
  std::string bomb = jpeg(smooth(8, 8, 3));
  const size_t frame = bomb.find("\xff\xc0");
  ASSERT_NE(frame, bomb.npos);
  bomb.replace(frame + 5, 4, "\x80\x00\x80\x00", 4);  // height and width
  EXPECT_THAT(error_of([&] { decode_image(bomb, 3, "b.jpg"); }).what(),
              HasSubstr("declares 32768 x 32768 pixels"));
  EXPECT_THAT(error_of([&] { decode_image("GIF89a", 3, "b.gif"); }).what(),
              HasSubstr("neither a JPEG nor a PNG"));
  EXPECT_THAT(error_of([&] { decode_image("", 3, "b.jpg"); }).what(), HasSubstr("the file is empty"));
}

Image pattern() {
  Image image{5, 7, 3, {}};
  for (int y = 0; y < 5; y++)
    for (int x = 0; x < 7; x++)
      for (int c = 0; c < 3; c++)
        image.pixels.push_back(static_cast<uint8_t>((31 * y + 17 * x + 91 * c + y * x * 7) % 256));
  return image;
}

// The numbers of Pillow 12's Image.resize(..., BILINEAR).
TEST(Resize, EqualsPillow) {
  EXPECT_THAT(
      resize(pattern(), 3, 4).pixels,
      ElementsAre(24, 115, 200, 55, 146, 149, 92, 183, 134, 123, 156, 55, 78, 167, 133, 126, 172, 64, 172,
                  115, 110, 178, 94, 158, 133, 149, 59, 157, 55, 124, 107, 110, 172, 90, 175, 128));
  EXPECT_THAT(resize(pattern(), 2, 7).pixels,
              ElementsAre(31, 122, 201, 55, 146, 167, 79, 158, 86, 103, 182, 110, 127, 148, 134, 139, 172, 77,
                          163, 91, 101, 93, 184, 89, 131, 141, 69, 169, 74, 95, 126, 112, 133, 164, 92, 171,
                          97, 130, 128, 135, 156, 166));
  const std::vector<uint8_t> larger = resize(pattern(), 8, 9).pixels;
  EXPECT_THAT(std::vector<uint8_t>(larger.end() - 27, larger.end()),
              ElementsAre(124, 215, 50, 154, 74, 80, 189, 24, 115, 167, 59, 150, 3, 94, 185, 38, 129, 220, 73,
                          164, 113, 108, 199, 34, 138, 229, 64));
  EXPECT_EQ(resize(pattern(), 5, 7).pixels, pattern().pixels);
}

TEST(Crop, CutsAndSurroundsWithBlack) {
  const Image grey{2, 2, 1, {1, 2, 3, 4}};
  EXPECT_THAT(crop(grey, {0, 1, 2, 1}).pixels, ElementsAre(2, 4));
  EXPECT_THAT(crop(grey, {-1, -1, 2, 2}).pixels, ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(crop(grey, {1, 1, 2, 2}).pixels, ElementsAre(4, 0, 0, 0));
  EXPECT_THAT(crop(grey, {5, 5, 1, 2}).pixels, ElementsAre(0, 0));
  EXPECT_THAT(flip(grey).pixels, ElementsAre(2, 1, 4, 3));
}

TEST(CentreCrop, ShorterSideThenTheMiddle) {
  const Image wide = smooth(10, 40, 1);
  EXPECT_EQ(centre_crop(wide, 10, 8, 8).pixels, crop(wide, {1, 16, 8, 8}).pixels);
  const Image high = smooth(40, 10, 1), cut = centre_crop(high, 20, 16, 16);
  EXPECT_EQ(cut.pixels, crop(resize(high, 80, 20), {32, 2, 16, 16}).pixels);
}

TEST(RandomResizedBox, StaysInsideAndInItsBounds) {
  double least = 1, most = 0;
  for (int64_t i = 0; i < 2000; i++) {
    SampleRandom random(7, 3, i);
    const Box b = random_resized_box(60, 100, random);
    ASSERT_TRUE(b.top >= 0 && b.left >= 0 && b.height > 0 && b.width > 0 && b.top + b.height <= 60 &&
                b.left + b.width <= 100);
    const double ratio = static_cast<double>(b.width) / static_cast<double>(b.height);
    ASSERT_TRUE(ratio > 0.7 && ratio < 1.4) << ratio;
    const double part = static_cast<double>(b.width * b.height) / 6000;
    least = std::min(least, part);
    most = std::max(most, part);
  }
  EXPECT_NEAR(least, 0.08, 0.02);
  EXPECT_GT(most, 0.7);  // 3600 * 4 / 3 of 6000 at the most
  SampleRandom random(1, 1, 1);
  const Box b = random_resized_box(10, 1000, random);  // no allowed part: the middle
  EXPECT_EQ(b.height, 10);
  EXPECT_EQ(b.width, 13);
  EXPECT_EQ(b.left, 493);
}

}  // namespace
}  // namespace mezzo::runtime
