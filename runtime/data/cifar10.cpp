// CIFAR-10's binary files: records of a label byte and 3 x 32 x 32 pixels, channels first, without a header.
#include <algorithm>
#include <filesystem>

#include "runtime/atomic_file.h"
#include "runtime/data/formats.h"
#include "runtime/data/pixel_source.h"

namespace mezzo::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 32, kChannels = 3, kPixels = kSide * kSide, kRecord = 1 + kChannels * kPixels;
constexpr int kClasses = 10, kTrainingFiles = 5;

void append(PixelSet& set, const std::string& path) {
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  if (error) throw_file_error("read", path, error.value());
  if (size == 0 || size % kRecord != 0)
    throw Error(ErrorCode::bad_input,
                concat("'", path, "': ", size, " bytes are no whole number of records of ", kRecord), path,
                "download the binary version of CIFAR-10 again");
  if (size > kMaxPixelBytes)
    throw Error(ErrorCode::bad_input, concat("'", path, "' is too large for CIFAR-10"), path);
  const std::string bytes = read_file(path);
  for (int64_t at = 0; at + kRecord <= static_cast<int64_t>(bytes.size()); at += kRecord) {
    auto* record = reinterpret_cast<const uint8_t*>(bytes.data()) + at;
    if (record[0] >= kClasses)
      throw Error(ErrorCode::bad_input,
                  concat("'", path, "': record ", at / kRecord, " has label ", int{record[0]}), path,
                  "labels of CIFAR-10 are 0 to 9");
    set.labels.push_back(record[0]);
    for (int64_t p = 0; p < kPixels; p++)
      for (int64_t c = 0; c < kChannels; c++) set.pixels.push_back(record[1 + c * kPixels + p]);
  }
}

}  // namespace

bool is_cifar10_directory(const std::string& path) {
  std::error_code none;
  return fs::is_regular_file(fs::path(path) / "data_batch_1.bin", none) ||
         fs::is_regular_file(fs::path(path) / "test_batch.bin", none);
}

std::unique_ptr<DataSource> open_cifar10(const DataOptions& options, const ModelInputs& inputs) {
  PixelSet set;
  set.source = options.path;
  set.height = set.width = kSide;
  set.channels = kChannels;
  set.usual_mean = {0.4914, 0.4822, 0.4465};
  set.usual_std = {0.2470, 0.2435, 0.2616};
  set.padding = 4;
  if (!fs::is_directory(options.path)) {
    append(set, options.path);
  } else if (options.training) {
    for (int i = 1; i <= kTrainingFiles; i++)
      append(set, (fs::path(options.path) / concat("data_batch_", i, ".bin")).string());
  } else {
    append(set, (fs::path(options.path) / "test_batch.bin").string());
  }
  const fs::path names = fs::path(options.path) / "batches.meta.txt";
  if (fs::is_regular_file(names)) {
    std::string text = read_file(names.string()), word;
    for (char c : text)
      if (c != '\n') {
        word += c;
      } else if (!word.empty()) {
        set.classes.push_back(word);
        word.clear();
      }
  }
  return make_pixel_source(std::move(set), options, inputs);
}

}  // namespace mezzo::runtime
