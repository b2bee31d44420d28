#include "models/data_files.h"

#include <turbojpeg.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "mezzo/error.h"
#include "runtime/atomic_file.h"
#include "runtime/data/image.h"
#include "runtime/npz.h"

namespace mezzo::models {
namespace {

ir::Tensor rows(const ir::Tensor& t, int64_t begin, int64_t end) {
  ir::Dims dims = t.dims();
  const int64_t row = t.bytes() / dims[0];
  dims[0] = end - begin;
  ir::Tensor out({t.dtype(), dims});
  std::memcpy(out.data(), t.data() + begin * row, static_cast<size_t>(out.bytes()));
  return out;
}

std::string jpeg(const runtime::Image& image) {
  constexpr int kQuality = 95;
  tjhandle encoder = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int status =
      tjCompress2(encoder, image.pixels.data(), static_cast<int>(image.width), 0,
                  static_cast<int>(image.height), TJPF_GRAY, &bytes, &size, TJSAMP_GRAY, kQuality, 0);
  std::string out(reinterpret_cast<char*>(bytes), status == 0 ? size : 0);
  tjFree(bytes);
  tjDestroy(encoder);
  check(status == 0, "libjpeg-turbo does not write");
  return out;
}

enum Token : int64_t { kPadding, kUnknown, kFirst, kSeparator, kWords };

std::vector<std::string> words_of(const std::string& path) {
  std::vector<std::string> out(1);
  for (unsigned char c : runtime::read_file(path))
    if (std::isalpha(c))
      out.back() += static_cast<char>(std::tolower(c));
    else if (!out.back().empty())
      out.emplace_back();
  out.pop_back();
  return out;
}

// Passages, each with its label.
struct Passages {
  std::vector<std::vector<int64_t>> ids;
  std::vector<int64_t> labels;

  void write(const std::string& path, int64_t sequence) const {
    const auto count = static_cast<int64_t>(ids.size());
    const ir::Type type{ir::DType::i64, {count, sequence}};
    ir::Tensor tokens(type), mask(type), types(type), classes({ir::DType::i64, {count}});
    for (int64_t n = 0; n < count; n++) {
      const std::vector<int64_t>& row = ids[static_cast<size_t>(n)];
      for (size_t i = 0; i < row.size(); i++) {
        tokens.set_int(n * sequence + static_cast<int64_t>(i), row[i]);
        mask.set_int(n * sequence + static_cast<int64_t>(i), 1);
      }
      classes.set_int(n, labels[static_cast<size_t>(n)]);
    }
    runtime::write_npz(
        path,
        {{"input_ids", tokens}, {"attention_mask", mask}, {"token_type_ids", types}, {"labels", classes}});
  }
};

}  // namespace

void split_digits(const std::string& digits, const std::string& train, const std::string& test) {
  const auto arrays = runtime::read_npz(digits);
  const ir::Tensor &images = arrays.at("images"), &labels = arrays.at("labels");
  const int64_t count = images.dims()[0], cut = count - kTestImages;
  runtime::write_npz(train, {{"input", rows(images, 0, cut)}, {"labels", rows(labels, 0, cut)}});
  runtime::write_npz(test, {{"input", rows(images, cut, count)}, {"labels", rows(labels, cut, count)}});
}

void digits_folder(const std::string& digits, const std::string& folder) {
  constexpr int64_t kSide = 8, kLarge = 32;
  const auto arrays = runtime::read_npz(digits);
  const ir::Tensor &images = arrays.at("images"), &labels = arrays.at("labels");
  const int64_t count = images.dims()[0];
  for (int64_t n = 0; n < count; n++) {
    runtime::Image small{kSide, kSide, 1, {}};
    for (int64_t p = 0; p < kSide * kSide; p++)  // grey values of the file run from 0 to 16
      small.pixels.push_back(static_cast<uint8_t>(std::min(255.0, images.get(n * kSide * kSide + p) * 16)));
    const std::filesystem::path place = std::filesystem::path(folder) /
                                        (n < count - kTestImages ? "train" : "val") /
                                        std::to_string(labels.get_int(n));
    std::filesystem::create_directories(place);
    const std::string bytes = jpeg(runtime::resize(small, kLarge, kLarge)),
                      path = (place / concat(n, ".jpg")).string();
    // Not one by one through to the disk, which takes half a minute for all.
    std::ofstream file(path, std::ios::binary);
    if (!file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush())
      throw Error(ErrorCode::bad_input, concat("cannot write '", path, "'"), path);
  }
}

int64_t passages(const std::vector<std::string>& texts, int64_t sequence, const std::string& train,
                 const std::string& test) {
  constexpr size_t kStride = 3;  // words between the starts of two passages
  Passages parts[2];
  std::map<std::string, int64_t> vocabulary;
  std::vector<std::vector<std::string>> files;
  for (const std::string& path : texts) files.push_back(words_of(path));
  // Words of the test part that the training part does not have are unknown ones.
  for (auto& words : files)
    for (size_t i = 0; i < words.size() * 4 / 5; i++) vocabulary.try_emplace(words[i], 0);
  int64_t next = kWords;
  for (auto& [word, id] : vocabulary) id = next++;
  const auto length = static_cast<size_t>(sequence - 2);
  for (size_t label = 0; label < files.size(); label++) {
    const auto& words = files[label];
    const size_t cut = words.size() * 4 / 5;
    for (int part = 0; part < 2; part++) {
      const size_t begin = part ? cut : 0, end = part ? words.size() : cut;
      for (size_t at = begin; at + length / 2 <= end; at += kStride) {
        std::vector<int64_t> row{kFirst};
        for (size_t i = at; i < std::min(at + length, end); i++) {
          auto found = vocabulary.find(words[i]);
          row.push_back(found == vocabulary.end() ? int64_t{kUnknown} : found->second);
        }
        row.push_back(kSeparator);
        parts[part].ids.push_back(std::move(row));
        parts[part].labels.push_back(static_cast<int64_t>(label));
      }
    }
  }
  parts[0].write(train, sequence);
  parts[1].write(test, sequence);
  return next;
}

}  // namespace mezzo::models
