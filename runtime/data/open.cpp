// open_data: which kind of data set a path is.
#include <filesystem>
#include <fstream>

#include "runtime/data.h"
#include "runtime/data/formats.h"

namespace mezzo::runtime {
namespace {

namespace fs = std::filesystem;

std::string first_bytes(const std::string& path) {
  std::string bytes(12, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return bytes;
}

// Directories by the files in them, files by their first bytes and, where a format has no mark, by their
// name. What is none of the others is taken for .npz, whose reader says what is wrong.
DataFormat detect(const std::string& path) {
  std::error_code none;
  if (fs::is_directory(path, none)) {
    if (is_cifar10_directory(path)) return DataFormat::cifar10;
    return is_mnist_directory(path) ? DataFormat::idx : DataFormat::folder;
  }
  if (!fs::exists(path, none))
    return path.find_first_of("*?") == path.npos ? DataFormat::npz : DataFormat::tokens;
  const std::string bytes = first_bytes(path), name = fs::path(path).filename().string();
  if (bytes.starts_with("PK")) return DataFormat::npz;
  if (bytes.starts_with("\x1f\x8b") || (bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[2] == 8))
    return DataFormat::idx;
  if (!name.ends_with(".bin")) return DataFormat::npz;
  const bool batch = name.starts_with("data_batch_") || name.starts_with("test_batch");
  return batch ? DataFormat::cifar10 : DataFormat::tokens;
}

const char* name_of(DataFormat format) {
  switch (format) {
    case DataFormat::npz: return ".npz";
    case DataFormat::idx: return "IDX";
    case DataFormat::cifar10: return "CIFAR-10";
    case DataFormat::folder: return "an image folder";
    default: return "token files";
  }
}

void refuse(bool given, const char* flag, DataFormat format) {
  if (given) throw Error(ErrorCode::usage, concat(flag, " has no meaning for ", name_of(format)), flag);
}

class NpzSource : public DataSource {
 public:
  explicit NpzSource(Dataset data) : data_(std::move(data)) {}
  int64_t samples() const override { return data_.samples(); }
  Rows gather(const std::vector<int64_t>& indices, int64_t) const override {
    return {data_.gather(indices), static_cast<int64_t>(indices.size()), 0};
  }
  std::string describe() const override { return concat(samples(), " samples"); }

 private:
  Dataset data_;
};

}  // namespace

std::unique_ptr<DataSource> open_npz(const DataOptions& options, const ModelInputs& inputs) {
  std::vector<std::string> names;
  for (const frontend::InputInfo& input : inputs) names.push_back(input.name);
  return std::make_unique<NpzSource>(Dataset(read_npz(options.path), names, options.labels, options.path));
}

std::unique_ptr<DataSource> open_data(const DataOptions& options, const ModelInputs& inputs) {
  DataFormat format = options.format == DataFormat::automatic ? detect(options.path) : options.format;
  const bool pictures =
      format == DataFormat::idx || format == DataFormat::cifar10 || format == DataFormat::folder;
  refuse(options.sequence > 0 && format != DataFormat::tokens, "--seq", format);
  refuse(!options.image.mean.empty() && !pictures, "--mean", format);
  refuse(!options.image.std.empty() && !pictures, "--std", format);
  refuse(options.image.resize > 0 && format != DataFormat::folder, "--resize", format);
  switch (format) {
    case DataFormat::idx: return open_idx(options, inputs);
    case DataFormat::cifar10: return open_cifar10(options, inputs);
    case DataFormat::folder: return open_image_folder(options, inputs);
    case DataFormat::tokens: return open_tokens(options, inputs);
    default: return open_npz(options, inputs);
  }
}

}  // namespace mezzo::runtime
