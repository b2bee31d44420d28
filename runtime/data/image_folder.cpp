// A folder of pictures per class, as torchvision's ImageFolder reads it, with the usual transforms of
// ImageNet training: a random resized crop and flips, or the centre of the resized picture.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "runtime/atomic_file.h"
#include "runtime/data/formats.h"
#include "runtime/data/image_target.h"

namespace mezzo::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUsualSide = 224;

[[noreturn]] void bad(const std::string& path, const std::string& why, const std::string& hint) {
  throw Error(ErrorCode::bad_input, concat("'", path, "' ", why), path, hint);
}

bool is_picture(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
}

// Names in the order of their bytes, which no locale changes.
std::vector<std::string> folders_in(const std::string& path) {
  std::vector<std::string> names;
  for (auto& entry : fs::directory_iterator(path))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

struct Sample {
  std::string path;
  int64_t label;
};

struct Folder {
  std::string path;
  std::vector<std::string> classes;
  std::vector<Sample> samples;
};

// `path`, or its part for this purpose when it holds `train` and other parts of a data set, and nothing else.
std::string part_of(const DataOptions& options) {
  constexpr std::string_view kTraining = "train", kEvaluation[] = {"val", "valid", "validation", "test"};
  const std::vector<std::string> names = folders_in(options.path);
  auto there = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const auto others = std::count_if(std::begin(kEvaluation), std::end(kEvaluation), there);
  if (!there(kTraining) || names.size() != 1 + static_cast<size_t>(others)) return options.path;
  if (options.training) return (fs::path(options.path) / kTraining).string();
  for (std::string_view name : kEvaluation)
    if (there(name)) return (fs::path(options.path) / name).string();
  bad(options.path, "has a folder train, and none to evaluate on", "put that into a folder val beside it");
}

Folder list_folder(const DataOptions& options) {
  Folder out;
  out.path = part_of(options);
  out.classes = folders_in(out.path);
  const char* hint = "put the .jpg, .jpeg or .png files of each class into a folder of their own";
  if (out.classes.empty()) bad(out.path, "has no folders, which would be the classes", hint);
  if (out.classes.size() == 1)
    bad(out.path, concat("has one folder, '", out.classes[0], "': there is nothing to tell it from"), hint);
  for (size_t label = 0; label < out.classes.size(); label++) {
    const fs::path folder = fs::path(out.path) / out.classes[label];
    std::vector<std::string> files;
    for (auto& entry : fs::recursive_directory_iterator(folder))
      if (is_picture(entry.path()) && entry.is_regular_file()) files.push_back(entry.path().string());
    if (files.empty()) bad(folder.string(), "is a class without pictures", hint);
    std::sort(files.begin(), files.end());
    for (std::string& file : files) out.samples.push_back({std::move(file), static_cast<int64_t>(label)});
    if (static_cast<int64_t>(out.samples.size()) > kMaxImageFiles)
      bad(out.path, concat("has more than ", kMaxImageFiles, " pictures"), {});
  }
  return out;
}

class ImageFolder : public DataSource {
 public:
  ImageFolder(Folder folder, const DataOptions& options, const ModelInputs& inputs)
      : folder_(std::move(folder)),
        options_(options),
        target_(inputs, options.image, {kUsualSide, kUsualSide, 0, {}}, {0.485, 0.456, 0.406},
                {0.229, 0.224, 0.225}) {
    const int64_t side = std::min(target_.height(), target_.width());
    // 256 for 224.
    shorter_ = options.image.resize > 0 ? options.image.resize : (side * 256 + 112) / 224;
    const int64_t longest = std::max(target_.height(), target_.width());
    if (shorter_ < side || longest > (int64_t{1} << 14) || shorter_ > (int64_t{1} << 14))
      throw Error(
          ErrorCode::usage,
          concat("pictures resized to ", shorter_, " are cut to ", target_.width(), " x ", target_.height()),
          "--resize", "the shorter side must not be shorter than the cut, nor longer than 16384");
  }

  int64_t samples() const override { return static_cast<int64_t>(folder_.samples.size()); }
  std::vector<std::string> classes() const override { return folder_.classes; }
  std::string describe() const override {
    return concat(samples(), " pictures of ", folder_.classes.size(), " classes from '", folder_.path, "', ",
                  options_.training && options_.image.augment ? "random resized crops and flips"
                                                              : concat("resized to ", shorter_, ", centre"),
                  " of ", target_.width(), " x ", target_.height());
  }

  Rows gather(const std::vector<int64_t>& indices, int64_t epoch) const override {
    Rows rows;
    std::vector<Image> pictures;
    std::vector<int64_t> labels;
    for (int64_t index : indices) {
      const Sample& sample = folder_.samples[static_cast<size_t>(index)];
      try {
        pictures.push_back(picture(sample.path, index, epoch));
      } catch (const Error& e) {
        if (!options_.skip_corrupt || e.code() != ErrorCode::bad_input) throw;
        rows.corrupt++;
        continue;
      }
      labels.push_back(sample.label);
    }
    rows.samples = static_cast<int64_t>(pictures.size());
    ir::Tensor batch = target_.batch(rows.samples), ids({ir::DType::i64, {rows.samples}});
    for (size_t k = 0; k < pictures.size(); k++) {
      target_.write(pictures[k], batch, static_cast<int64_t>(k));
      ids.set_int(static_cast<int64_t>(k), labels[k]);
    }
    rows.arrays.emplace(target_.input(), std::move(batch));
    if (!options_.labels.empty()) rows.arrays.emplace(options_.labels, std::move(ids));
    return rows;
  }

 private:
  Image picture(const std::string& path, int64_t index, int64_t epoch) const {
    std::error_code error;
    const auto size = static_cast<int64_t>(fs::file_size(path, error));
    if (error) throw_file_error("read", path, error.value());
    if (size > kMaxImageBytes) bad(path, concat("has more than ", kMaxImageBytes, " bytes"), {});
    const Image whole = decode_image(read_file(path), target_.channels(), path);
    if (!options_.training || !options_.image.augment)
      return centre_crop(whole, shorter_, target_.height(), target_.width());
    SampleRandom random(options_.seed, epoch, index);
    Image cut = crop(whole, random_resized_box(whole.height, whole.width, random));
    Image scaled = resize(cut, target_.height(), target_.width());
    return random.below(2) ? flip(scaled) : scaled;
  }

  Folder folder_;
  DataOptions options_;
  ImageTarget target_;
  int64_t shorter_ = 0;
};

}  // namespace

std::unique_ptr<DataSource> open_image_folder(const DataOptions& options, const ModelInputs& inputs) {
  try {
    return std::make_unique<ImageFolder>(list_folder(options), options, inputs);
  } catch (const fs::filesystem_error& e) {
    throw_file_error("read", e.path1().empty() ? options.path : e.path1().string(), e.code().value());
  }
}

}  // namespace mezzo::runtime
