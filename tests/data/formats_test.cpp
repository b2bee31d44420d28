// The readers of data files: what they give, and what they say about files that are wrong.
#include "runtime/data/formats.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include "tests/data/files.h"

namespace mezzo::runtime {
namespace {

using ir::DType;
using testing::ElementsAre;
using testing::HasSubstr;
using Bytes = std::vector<int>;

std::string bytes(const Bytes& values) { return {values.begin(), values.end()}; }

DataOptions options(const std::string& path, bool training = true) {
  DataOptions o;
  o.path = path;
  o.training = training;
  return o;
}

std::string message(const DataOptions& o, const ModelInputs& inputs) {
  const Error e = error_of([&] { open_data(o, inputs)->gather({0}, 0); });
  EXPECT_TRUE(e.code() == ErrorCode::bad_input || e.code() == ErrorCode::usage) << e.what();
  return e.what();
}

std::string gzip(const std::string& plain, const Scratch& scratch) {
  const std::string path = scratch.path("packed");
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, plain.data(), static_cast<unsigned>(plain.size()));
  gzclose(file);
  return read_file(path);
}

// Two pictures of 2 x 3.
const Bytes kPictures = {0, 0, 8, 3,  0,   0,   0,   2,   0, 0, 0, 2, 0, 0,
                         0, 3, 0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6};
const Bytes kLabels = {0, 0, 8, 1, 0, 0, 0, 2, 7, 9};

TEST(Idx, PicturesAndLabelsOfADirectory) {
  Scratch s;
  s.write("train-images-idx3-ubyte", bytes(kPictures));
  s.write("train-labels-idx1-ubyte.gz", gzip(bytes(kLabels), s));
  s.write("t10k-images-idx3-ubyte.gz", gzip(bytes(kPictures), s));
  s.write("t10k-labels-idx1-ubyte", bytes(kLabels));
  for (bool training : {true, false}) {
    auto data = open_data(options(s.path(), training), {input("x", {-1, 1, 2, 3})});
    EXPECT_EQ(data->samples(), 2);
    const Rows rows = data->gather({1, 0}, 0);
    EXPECT_EQ(rows.arrays.at("labels"), ir::Tensor::of({2}, {9, 7}, DType::i64));
    const ir::Tensor& x = rows.arrays.at("x");
    EXPECT_EQ(x.dims(), (ir::Dims{2, 1, 2, 3}));
    EXPECT_FLOAT_EQ(static_cast<float>(x.get(0)), 1.f / 255);
    EXPECT_FLOAT_EQ(static_cast<float>(x.get(7)), 0.2f);
  }
  DataOptions scaled = options(s.path("train-images-idx3-ubyte"));
  scaled.image.mean = {0.5};
  scaled.image.std = {0.25};
  const ir::Tensor flat = open_data(scaled, {input("x", {-1, 6})})->gather({0}, 0).arrays.at("x");
  EXPECT_EQ(flat.dims(), (ir::Dims{1, 6}));
  EXPECT_FLOAT_EQ(static_cast<float>(flat.get(0)), -2);
  EXPECT_FLOAT_EQ(static_cast<float>(flat.get(5)), 2);
  EXPECT_EQ(open_data(options(s.path()), {input("x", {-1, 2, 3})})->gather({0}, 0).arrays.at("x").dims(),
            (ir::Dims{1, 2, 3}));
}

TEST(Idx, HostileHeaders) {
  Scratch s;
  s.write("labels-idx1", bytes(kLabels));
  auto says = [&](const Bytes& pictures) {
    DataOptions o = options(s.write("images-idx3", bytes(pictures)));
    o.format = DataFormat::idx;
    return message(o, {input("x", {-1, 1, 2, 3})});
  };
  auto changed = [](size_t at, const Bytes& values) {
    Bytes out = kPictures;
    std::copy(values.begin(), values.end(), out.begin() + static_cast<int64_t>(at));
    return out;
  };
  EXPECT_THAT(says({}), HasSubstr("ends too early"));
  EXPECT_THAT(says({0, 0, 8}), HasSubstr("ends too early"));
  EXPECT_THAT(says(changed(0, {1})), HasSubstr("not an IDX file"));
  EXPECT_THAT(says(changed(2, {0x0d})), HasSubstr("elements of type 13"));
  EXPECT_THAT(says(changed(3, {200})), HasSubstr("has 200 dimensions"));
  EXPECT_THAT(says(changed(4, {255, 255, 255, 255, 255, 255, 255, 255})), HasSubstr("declares more than"));
  EXPECT_THAT(says(changed(4, {1, 0, 0, 0})), HasSubstr("ends too early"));
  EXPECT_THAT(says(changed(4, {0, 0, 0, 1})), HasSubstr("bytes follow the last element"));
  EXPECT_THAT(says(changed(8, {0, 0, 0, 0})), HasSubstr("bytes follow the last element"));
  EXPECT_THAT(says({0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3}), HasSubstr("pictures without pixels"));
  EXPECT_THAT(says({0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9}), HasSubstr("has 2 labels"));
  const std::string packed = gzip(bytes(kPictures), s);
  DataOptions o = options(s.write("images-idx3", packed.substr(0, packed.size() - 10)));
  EXPECT_THAT(message(o, {input("x", {-1, 1, 2, 3})}), HasSubstr("images-idx3"));
  o = options(s.write("pictures", bytes(kPictures)));
  EXPECT_THAT(message(o, {input("x", {-1, 1, 2, 3})}), HasSubstr("no labels lie beside"));
}

TEST(Idx, TheModelMustTakePictures) {
  Scratch s;
  s.write("labels-idx1", bytes(kLabels));
  const DataOptions o = options(s.write("images-idx3", bytes(kPictures)));
  EXPECT_THAT(message(o, {input("ids", {-1, 8}, 7)}), HasSubstr("not an input for pictures"));
  EXPECT_THAT(message(o, {input("a", {-1, 6}), input("b", {-1, 6})}), HasSubstr("the model has 2 inputs"));
  EXPECT_THAT(message(o, {input("x", {-1, 7})}), HasSubstr("pictures have 6 numbers"));
  EXPECT_THAT(message(o, {input("x", {-1, 3, 2, 3})}),
              HasSubstr("pictures of 1 channels, input 'x' takes 3"));
  DataOptions wrong = o;
  wrong.image.mean = {0.1, 0.2};
  EXPECT_THAT(message(wrong, {input("x", {-1, 6})}), HasSubstr("2 numbers for pictures of 1 channels"));
  wrong = o;
  wrong.sequence = 4;
  EXPECT_THAT(message(wrong, {input("x", {-1, 6})}), HasSubstr("--seq has no meaning for IDX"));
}

std::string cifar_record(int label, int shade) {
  std::string out(1, static_cast<char>(label));
  for (int c = 0; c < 3; c++)
    for (int p = 0; p < 1024; p++) out += static_cast<char>((shade + c * 50 + p / 32) % 256);
  return out;
}

TEST(Cifar10, RecordsNormalisationAndAugmentation) {
  Scratch s;
  for (int i = 1; i <= 5; i++) s.write(concat("data_batch_", i, ".bin"), cifar_record(i, 10 * i));
  s.write("test_batch.bin", cifar_record(0, 0) + cifar_record(9, 100));
  auto test = open_data(options(s.path(), false), {input("x", {-1, 3, 32, 32})});
  EXPECT_EQ(test->samples(), 2);
  const Rows rows = test->gather({1}, 0);
  EXPECT_EQ(rows.arrays.at("labels").get_int(0), 9);
  // Row 5 of the second channel.
  EXPECT_NEAR(rows.arrays.at("x").get(1024 + 5 * 32), (155 / 255.0 - 0.4822) / 0.2435, 1e-6);

  auto train = open_data(options(s.path()), {input("x", {-1, 3, 32, 32})});
  EXPECT_EQ(train->samples(), 5);
  const ir::Tensor first = train->gather({0, 1, 2, 3, 4}, 0).arrays.at("x");
  EXPECT_EQ(train->gather({0, 1, 2, 3, 4}, 0).arrays.at("x"), first);
  EXPECT_FALSE(train->gather({0, 1, 2, 3, 4}, 1).arrays.at("x") == first);
  // Neither the batch nor the order matters.
  const ir::Tensor single = train->gather({3}, 0).arrays.at("x");
  for (int64_t i = 0; i < single.count(); i++) ASSERT_EQ(single.get(i), first.get(3 * single.count() + i));
  DataOptions plain = options(s.path());
  plain.image.augment = false;
  auto same = open_data(plain, {input("x", {-1, 3, 32, 32})});
  EXPECT_EQ(same->gather({0}, 0).arrays.at("x"), same->gather({0}, 1).arrays.at("x"));
}

TEST(Cifar10, WrongFiles) {
  Scratch s;
  const ModelInputs inputs = {input("x", {-1, 3, 32, 32})};
  EXPECT_THAT(message(options(s.write("test_batch.bin", std::string(3000, 'a'))), inputs),
              HasSubstr("no whole number of records"));
  EXPECT_THAT(message(options(s.write("test_batch.bin", "")), inputs),
              HasSubstr("no whole number of records"));
  EXPECT_THAT(message(options(s.write("test_batch.bin", cifar_record(10, 0))), inputs),
              HasSubstr("record 0 has label 10"));
  EXPECT_THAT(message(options(s.path()), inputs), HasSubstr("data_batch_1.bin"));
}

class ImageFolderTest : public testing::Test {
 protected:
  ImageFolderTest() {
    scratch_.write("cat/b.jpg", jpeg(smooth(40, 50, 3, 5)));
    scratch_.write("cat/a.JPEG", jpeg(smooth(40, 30, 3, 90)));
    scratch_.write("ant/c.png", png(smooth(20, 20, 1)));
    scratch_.write("ant/notes.txt", "no picture");
  }
  Scratch scratch_;
  ModelInputs inputs_ = {input("x", {-1, 3, 16, 16})};
};

TEST_F(ImageFolderTest, SortedClassesAndFiles) {
  auto data = open_data(options(scratch_.path(), false), inputs_);
  EXPECT_THAT(data->classes(), ElementsAre("ant", "cat"));
  EXPECT_EQ(data->samples(), 3);
  const Rows rows = data->gather({0, 1, 2}, 0);
  EXPECT_EQ(rows.arrays.at("labels"), ir::Tensor::of({3}, {0, 1, 1}, DType::i64));
  // Resized to 18 (256/224 of 16), the middle 16, ImageNet's mean and deviation.
  const Image cut = centre_crop(decode_image(read_file(scratch_.path("cat/a.JPEG")), 3, "a"), 18, 16, 16);
  const ir::Tensor& x = rows.arrays.at("x");
  EXPECT_NEAR(x.get(768 + 256 + 5), (cut.pixels[5 * 3 + 1] / 255.0 - 0.456) / 0.224, 1e-5);
}

TEST_F(ImageFolderTest, AugmentationDependsOnSeedEpochAndSample) {
  auto x = [&](uint64_t seed, int64_t epoch) {
    DataOptions o = options(scratch_.path());
    o.seed = seed;
    return open_data(o, inputs_)->gather({0, 1, 2}, epoch).arrays.at("x");
  };
  EXPECT_EQ(x(1, 0), x(1, 0));
  EXPECT_FALSE(x(1, 0) == x(2, 0));
  EXPECT_FALSE(x(1, 0) == x(1, 1));
}

TEST_F(ImageFolderTest, TrainAndVal) {
  Scratch s;
  for (const char* part : {"train", "val"})
    for (const char* name : {"ant", "bee"})
      s.write(concat(part, "/", name, "/1.jpg"), jpeg(smooth(20, 20, 3)));
  s.write("train/bee/2.jpg", jpeg(smooth(20, 20, 3)));
  EXPECT_EQ(open_data(options(s.path()), inputs_)->samples(), 3);
  EXPECT_EQ(open_data(options(s.path(), false), inputs_)->samples(), 2);
  std::filesystem::rename(s.path("val"), s.path("validation"));
  EXPECT_EQ(open_data(options(s.path()), inputs_)->samples(), 3);
  EXPECT_EQ(open_data(options(s.path(), false), inputs_)->samples(), 2);
  std::filesystem::remove_all(s.path("validation"));
  EXPECT_THAT(open_data(options(s.path()), inputs_)->classes(), ElementsAre("ant", "bee"));
  EXPECT_THAT(error_of([&] { open_data(options(s.path(), false), inputs_); }).what(),
              HasSubstr("has a folder train, and none to evaluate on"));
  std::filesystem::remove_all(s.path("train/bee"));
  EXPECT_THAT(message(options(s.path("train")), inputs_), HasSubstr("has one folder, 'ant'"));
}

TEST_F(ImageFolderTest, CorruptPicturesAreErrorsOrCounted) {
  const std::string whole = jpeg(smooth(40, 30, 3));
  scratch_.write("cat/a.JPEG", whole.substr(0, whole.size() / 2));
  EXPECT_THAT(error_of([&] {
                open_data(options(scratch_.path(), false), inputs_)->gather({0, 1, 2}, 0);
              }).what(),
              HasSubstr("cat/a.JPEG': not a readable JPEG"));
  DataOptions skip = options(scratch_.path(), false);
  skip.skip_corrupt = true;
  const Rows rows = open_data(skip, inputs_)->gather({0, 1, 2}, 0);
  EXPECT_EQ(rows.samples, 2);
  EXPECT_EQ(rows.corrupt, 1);
  EXPECT_EQ(rows.arrays.at("x").dims()[0], 2);
  EXPECT_EQ(rows.arrays.at("labels"), ir::Tensor::of({2}, {0, 1}, DType::i64));
}

TEST_F(ImageFolderTest, FoldersWithoutClassesOrPictures) {
  Scratch s;
  EXPECT_THAT(message(options(s.path()), inputs_), HasSubstr("has no folders, which would be the classes"));
  s.write("a.jpg", jpeg(smooth(8, 8, 3)));
  EXPECT_THAT(message(options(s.path()), inputs_), HasSubstr("has no folders, which would be the classes"));
  scratch_.write("dog/readme", "");
  EXPECT_THAT(message(options(scratch_.path()), inputs_), HasSubstr("dog' is a class without pictures"));
  std::filesystem::remove_all(scratch_.path("dog"));
  EXPECT_THAT(message(options(scratch_.path()), {input("x", {-1, 4, 16, 16})}),
              HasSubstr("1 or 3 channels, not 4"));
  DataOptions small = options(scratch_.path("cat"));
  small.image.resize = 8;
  for (const char* name : {"x", "y"}) scratch_.write(concat("cat/", name, "/1.jpg"), jpeg(smooth(8, 8, 3)));
  EXPECT_THAT(message(small, inputs_), HasSubstr("pictures resized to 8 are cut to 16 x 16"));
}

TEST_F(ImageFolderTest, InputsOfEveryLayout) {
  const DataOptions o = options(scratch_.path(), false);
  const ir::Tensor first = open_data(o, inputs_)->gather({1}, 0).arrays.at("x"),
                   last = open_data(o, {input("x", {-1, 16, 16, 3})})->gather({1}, 0).arrays.at("x");
  EXPECT_EQ(last.dims(), (ir::Dims{1, 16, 16, 3}));
  for (int64_t p = 0; p < 256; p++)
    for (int64_t c = 0; c < 3; c++) ASSERT_EQ(first.get(c * 256 + p), last.get(p * 3 + c));
  EXPECT_EQ(open_data(o, {input("x", {-1, 3, -1, -1})})->gather({1}, 0).arrays.at("x").dims(),
            (ir::Dims{1, 3, 224, 224}));
}

template <class T>
std::string tokens(const std::vector<int32_t>& head, const std::vector<T>& values) {
  std::vector<int32_t> header(head.empty() ? 0 : 256);
  std::copy(head.begin(), head.end(), header.begin());
  std::string out(reinterpret_cast<const char*>(header.data()), header.size() * 4);
  return out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

const ModelInputs kGpt = {input("input_ids", {-1, 3}, 7)};

TEST(Tokens, WindowsAndShiftedLabels) {
  Scratch s;
  const std::vector<uint16_t> narrow = {1, 2, 3, 4, 5, 6, 50000};
  const std::vector<uint32_t> wide = {1, 2, 3, 4, 5, 6, 128000};
  const std::string files[] = {s.write("a.bin", tokens({}, narrow)),
                               s.write("b.bin", tokens({20240520, 1, 7}, narrow)),
                               s.write("c.bin", tokens({20240801, 7, 7}, wide))};
  for (const std::string& file : files) {
    auto data = open_data(options(file), kGpt);
    EXPECT_EQ(data->samples(), 2);
    const Rows rows = data->gather({1, 0}, 0);
    EXPECT_EQ(rows.arrays.at("input_ids"), ir::Tensor::of({2, 3}, {4, 5, 6, 1, 2, 3}, DType::i64));
    EXPECT_EQ(rows.arrays.at("labels").get_int(2), file == files[2] ? 128000 : 50000);
    EXPECT_EQ(rows.arrays.at("labels").get_int(3), 2);
  }
}

TEST(Tokens, ShardsPositionsAndMasks) {
  Scratch s;
  const std::vector<uint16_t> a = {1, 2, 3, 4, 5}, b = {6, 7, 8, 9, 10, 11, 12};
  s.write("t_1.bin", tokens({20240520, 1, 7}, b));
  s.write("t_0.bin", tokens({20240520, 1, 5}, a));
  DataOptions o = options(s.path("t_*.bin"));
  o.sequence = 3;
  const ModelInputs inputs = {input("input_ids", {-1, -1}, 7), input("position_ids", {-1, -1}, 7),
                              input("attention_mask", {-1, -1}, 1)};
  auto data = open_data(o, inputs);
  EXPECT_EQ(data->samples(), 3);  // 1 + 2: no sample crosses files
  const Rows rows = data->gather({0, 2}, 0);
  EXPECT_EQ(rows.arrays.at("input_ids"), ir::Tensor::of({2, 3}, {1, 2, 3, 9, 10, 11}, DType::i64));
  EXPECT_EQ(rows.arrays.at("position_ids"), ir::Tensor::of({2, 3}, {0, 1, 2, 0, 1, 2}, DType::i64));
  EXPECT_EQ(rows.arrays.at("attention_mask"), ir::Tensor::of({2, 3}, {1, 1, 1, 1, 1, 1}, DType::i64));
}

TEST(Tokens, HostileFiles) {
  Scratch s;
  const std::vector<uint16_t> some = {1, 2, 3, 4, 5, 6, 7};
  auto says = [&](const std::string& content) { return message(options(s.write("t.bin", content)), kGpt); };
  EXPECT_THAT(says(tokens({20240520, 2, 7}, some)), HasSubstr("t.bin': has version 2 of the header"));
  EXPECT_THAT(says(tokens({20240520, 1, 8}, some)), HasSubstr("its header promises 8 tokens"));
  EXPECT_THAT(says(tokens({20240520, 1, -1}, some)), HasSubstr("its header promises -1 tokens"));
  EXPECT_THAT(says(tokens({20240801, 7, 0x7fffffff}, some)),
              HasSubstr("its header promises 2147483647 tokens"));
  EXPECT_THAT(says(tokens({20240520, 1, 7}, some).substr(0, 500)), HasSubstr("its header promises 7 tokens"));
  EXPECT_THAT(says("abc"), HasSubstr("no whole number of tokens"));
  EXPECT_THAT(says(""), HasSubstr("has 0 tokens, fewer than one sample of 3"));
  EXPECT_THAT(says(tokens({}, std::vector<uint16_t>{1, 2, 3})), HasSubstr("has 3 tokens"));
  EXPECT_THAT(message(options(s.path("none_*.bin")), kGpt), HasSubstr("no file matches"));
  EXPECT_THAT(message(options(s.write("t.bin", tokens({}, some))), {input("input_ids", {-1, -1}, 7)}),
              HasSubstr("leaves the length"));
  EXPECT_THAT(message(options(s.path("t.bin")), {input("x", {-1, 3})}), HasSubstr("tokens are integers"));
}

}  // namespace
}  // namespace mezzo::runtime
