// IDX files (MNIST): big-endian header 00 00 TYPE RANK, one u32 per dimension, then the elements.
#include <zlib.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "runtime/atomic_file.h"
#include "runtime/data/formats.h"
#include "runtime/data/pixel_source.h"

namespace mezzo::runtime {
namespace {

namespace fs = std::filesystem;

constexpr uint8_t kUnsignedByte = 0x08;

[[noreturn]] void bad(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::bad_input, concat("'", path, "': ", why), path, "download or write the file again");
}

struct Close {
  void operator()(gzFile file) const { gzclose(file); }
};

struct Bytes {
  ir::Dims dims;
  std::vector<uint8_t> values;
};

// zlib reads files that are not compressed as they are.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {
    errno = 0;
    file_.reset(gzopen(path.c_str(), "rb"));
    if (!file_) throw_file_error("read", path, errno ? errno : ENOMEM);
  }
  void read(uint8_t* to, size_t count) {
    while (count > 0) {
      const auto part = static_cast<unsigned>(std::min<size_t>(count, 1u << 24));
      const int got = gzread(file_.get(), to, part);
      if (got <= 0) bad(path_, got < 0 ? "damaged compressed data" : "the file ends too early");
      to += got;
      count -= static_cast<size_t>(got);
    }
  }
  void must_end() {
    uint8_t more;
    if (gzread(file_.get(), &more, 1) != 0) bad(path_, "bytes follow the last element");
  }

 private:
  std::string path_;
  std::unique_ptr<gzFile_s, Close> file_;
};

Bytes read_bytes(const std::string& path, size_t least_rank, size_t most_rank) {
  Reader reader(path);
  std::array<uint8_t, 4> head{};
  reader.read(head.data(), head.size());
  if (head[0] != 0 || head[1] != 0) bad(path, "not an IDX file");
  if (head[2] != kUnsignedByte)
    bad(path, concat("holds elements of type ", int{head[2]}, ", not unsigned bytes (8)"));
  if (head[3] < least_rank || head[3] > most_rank) bad(path, concat("has ", int{head[3]}, " dimensions"));
  Bytes out;
  int64_t count = 1;
  for (int i = 0; i < head[3]; i++) {
    std::array<uint8_t, 4> d{};
    reader.read(d.data(), d.size());
    out.dims.push_back(int64_t{d[0]} << 24 | int64_t{d[1]} << 16 | int64_t{d[2]} << 8 | d[3]);
    if (out.dims.back() > 0 && count > kMaxPixelBytes / out.dims.back())
      bad(path, concat("declares more than ", kMaxPixelBytes, " bytes"));
    count *= out.dims.back();
  }
  // Grows with what is really there: a header of 16 bytes must not cost gigabytes.
  constexpr int64_t kPart = 1 << 24;
  for (int64_t have = 0; have < count; have += kPart) {
    const int64_t part = std::min(kPart, count - have);
    out.values.resize(static_cast<size_t>(have + part));
    reader.read(out.values.data() + have, static_cast<size_t>(part));
  }
  reader.must_end();
  return out;
}

// `dir/name` or `dir/name.gz`; "" when neither is there.
std::string existing(const fs::path& file) {
  for (const char* suffix : {"", ".gz"}) {
    std::error_code none;
    if (fs::is_regular_file(file.string() + suffix, none)) return file.string() + suffix;
  }
  return {};
}

// The labels of ...images-idx3-ubyte are in ...labels-idx1-ubyte, perhaps compressed where the other is not.
std::string labels_beside(const std::string& images) {
  fs::path path(images);
  std::string name = path.filename().string();
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  for (const char* rank : {"idx3", "idx4", "idx2"})
    for (const char* mark : {"-", "."}) {
      const std::string from = concat("images", mark, rank);
      if (size_t at = name.find(from); at != name.npos) {
        std::string labels = name;
        labels.replace(at, from.size(), concat("labels", mark, "idx1"));
        if (std::string found = existing(path.parent_path() / labels); !found.empty()) return found;
      }
    }
  throw Error(ErrorCode::bad_input, concat("no labels lie beside '", images, "'"), images,
              "name the pair like train-images-idx3-ubyte and train-labels-idx1-ubyte");
}

std::string image_file(const DataOptions& options) {
  if (!fs::is_directory(options.path)) return options.path;
  const char* name = options.training ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte";
  std::string file = existing(fs::path(options.path) / name);
  if (file.empty()) bad(options.path, concat("has no file ", name));
  return file;
}

// Channels come first in IDX files of rank 4.
std::vector<uint8_t> interleave(const Bytes& images) {
  const int64_t channels = images.dims[1], pixels = images.dims[2] * images.dims[3];
  std::vector<uint8_t> out(images.values.size());
  for (int64_t n = 0; n < images.dims[0]; n++)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t p = 0; p < pixels; p++)
        out[static_cast<size_t>((n * pixels + p) * channels + c)] =
            images.values[static_cast<size_t>((n * channels + c) * pixels + p)];
  return out;
}

}  // namespace

bool is_mnist_directory(const std::string& path) {
  return !existing(fs::path(path) / "train-images-idx3-ubyte").empty() ||
         !existing(fs::path(path) / "t10k-images-idx3-ubyte").empty();
}

std::unique_ptr<DataSource> open_idx(const DataOptions& options, const ModelInputs& inputs) {
  PixelSet set;
  set.source = image_file(options);
  Bytes images = read_bytes(set.source, 3, 4);
  const std::string label_file = labels_beside(set.source);
  Bytes labels = read_bytes(label_file, 1, 1);
  if (labels.dims[0] != images.dims[0])
    bad(label_file,
        concat("has ", labels.dims[0], " labels, '", set.source, "' has ", images.dims[0], " pictures"));
  const bool grey = images.dims.size() == 3;
  set.channels = grey ? 1 : images.dims[1];
  set.height = images.dims[grey ? 1 : 2];
  set.width = images.dims[grey ? 2 : 3];
  if (set.height < 1 || set.width < 1 || set.channels < 1) bad(set.source, "has pictures without pixels");
  set.pixels = grey ? std::move(images.values) : interleave(images);
  set.labels = std::move(labels.values);
  set.usual_mean = {0};
  set.usual_std = {1};
  return make_pixel_source(std::move(set), options, inputs);
}

}  // namespace mezzo::runtime
