// Token files: llm.c's (256 i32 of header: magic, version, count; then the tokens) and bare uint16 (nanoGPT).
// A sample is `sequence` tokens and, as labels, the same ones moved by one; samples do not overlap.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "ir/glob.h"
#include "runtime/atomic_file.h"
#include "runtime/data/formats.h"

namespace mezzo::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHeaderBytes = 256 * 4;
constexpr int32_t kMagic16 = 20240520, kVersion16 = 1;  // GPT-2 tokens, 2 bytes each
constexpr int32_t kMagic32 = 20240801, kVersion32 = 7;  // LLaMA 3 tokens, 4 bytes each
constexpr int kInt32Type = 6, kInt64Type = 7;           // ONNX

[[noreturn]] void bad(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::bad_input, concat("'", path, "': ", why), path,
              "a token file has llm.c's header, or is a sequence of uint16 without one");
}

class File {
 public:
  explicit File(const std::string& path)
      : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw_file_error("read", path, errno);
  }
  File(File&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  const std::string& path() const { return path_; }
  int64_t size() const {
    const off_t end = ::lseek(descriptor_, 0, SEEK_END);
    if (end < 0) throw_file_error("read", path_, errno);
    return end;
  }
  // Not mapped: a file that shrinks meanwhile is an error, not a crash.
  void read(int64_t at, void* to, int64_t bytes) const {
    auto* out = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t got = ::pread(descriptor_, out, static_cast<size_t>(bytes), at);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw_file_error("read", path_, errno);
      if (got == 0) bad(path_, "the file has become shorter");
      out += got;
      at += got;
      bytes -= got;
    }
  }

 private:
  std::string path_;
  int descriptor_;
};

// One file: `samples` windows from `offset` on.
struct Shard {
  File file;
  int64_t offset = 0, width = 2, tokens = 0, samples = 0;
};

Shard open_shard(const std::string& path, int64_t sequence) {
  Shard shard{File(path)};
  const int64_t size = shard.file.size();
  int32_t head[3] = {0, 0, 0};
  if (size >= static_cast<int64_t>(sizeof head)) shard.file.read(0, head, sizeof head);
  if (head[0] == kMagic16 || head[0] == kMagic32) {
    const int32_t version = head[0] == kMagic16 ? kVersion16 : kVersion32;
    shard.width = head[0] == kMagic16 ? 2 : 4;
    shard.offset = kHeaderBytes;
    shard.tokens = head[2];
    if (head[1] != version) bad(path, concat("has version ", head[1], " of the header, known is ", version));
    if (shard.tokens < 0 || size != kHeaderBytes + shard.tokens * shard.width)
      bad(path, concat("its header promises ", shard.tokens, " tokens, the file has ", size, " bytes"));
  } else {
    if (size % 2 != 0) bad(path, concat(size, " bytes are no whole number of tokens"));
    shard.tokens = size / 2;
  }
  shard.samples = shard.tokens > 0 ? (shard.tokens - 1) / sequence : 0;
  return shard;
}

std::vector<std::string> files_of(const std::string& path) {
  if (path.find_first_of("*?") == path.npos) return {path};
  std::vector<std::string> out;
  fs::path folder = fs::path(path).parent_path();
  const std::string pattern = fs::path(path).filename().string();
  for (auto& entry : fs::directory_iterator(folder.empty() ? "." : folder))
    if (ir::matches_glob(entry.path().filename().string(), pattern)) out.push_back(entry.path().string());
  if (out.empty()) throw Error(ErrorCode::bad_input, concat("no file matches '", path, "'"), path);
  if (static_cast<int64_t>(out.size()) > kMaxTokenFiles)
    bad(path, concat("matches more than ", kMaxTokenFiles, " files"));
  std::sort(out.begin(), out.end());
  return out;
}

// What an integer input other than the tokens holds, by the names transformers' exports use.
enum class Role : uint8_t { tokens, positions, ones, zeros };
struct Target {
  std::string input;
  Role role;
};

std::vector<Target> targets_of(const ModelInputs& inputs) {
  std::vector<Target> out;
  bool tokens = false;
  for (const frontend::InputInfo& input : inputs) {
    Role role = input.name == "position_ids"     ? Role::positions
                : input.name == "attention_mask" ? Role::ones
                : input.name == "token_type_ids" ? Role::zeros
                                                 : Role::tokens;
    if (input.onnx_type != kInt32Type && input.onnx_type != kInt64Type && role != Role::ones)
      throw Error(ErrorCode::bad_input,
                  concat("input '", input.name, "' is ", to_string(input), ", tokens are integers"),
                  input.name);
    if (role == Role::tokens && std::exchange(tokens, true))
      throw Error(ErrorCode::bad_input,
                  concat("the model has two inputs for tokens, the second is '", input.name, "'"), input.name,
                  "write the data set as .npz with one array per input");
    out.push_back({input.name, role});
  }
  if (!tokens) throw Error(ErrorCode::bad_input, "the model has no input for tokens", {});
  return out;
}

class Tokens : public DataSource {
 public:
  Tokens(const DataOptions& options, const ModelInputs& inputs)
      : options_(options), targets_(targets_of(inputs)) {
    for (const frontend::InputInfo& input : inputs)
      if (options_.sequence == 0 && input.dims.size() == 2 && input.dims[1].size > 0)
        options_.sequence = input.dims[1].size;
    if (options_.sequence == 0)
      throw Error(ErrorCode::usage, "the model leaves the length of its sequences open", "--seq",
                  "give it with --seq N");
    for (const std::string& path : files_of(options.path)) {
      shards_.push_back(open_shard(path, options_.sequence));
      samples_ += shards_.back().samples;
      tokens_ += shards_.back().tokens;
    }
    if (samples_ == 0)
      throw Error(ErrorCode::bad_input,
                  concat("'", options.path, "' has ", tokens_, " tokens, fewer than one sample of ",
                         options_.sequence, " and the next one"),
                  options.path, "use a shorter --seq");
  }

  int64_t samples() const override { return samples_; }
  std::string describe() const override {
    return concat(tokens_, " tokens in ", shards_.size(), shards_.size() == 1 ? " file" : " files", ", ",
                  samples_, " samples of ", options_.sequence);
  }

  Rows gather(const std::vector<int64_t>& indices, int64_t) const override {
    Rows rows;
    rows.samples = static_cast<int64_t>(indices.size());
    const int64_t length = options_.sequence;
    const ir::Type type{ir::DType::i64, {rows.samples, length}};
    ir::Tensor tokens(type), labels(type), positions(type);
    std::vector<int64_t> window;
    for (int64_t k = 0; k < rows.samples; k++) {
      read_window(indices[static_cast<size_t>(k)], window);
      std::copy_n(window.data(), length, tokens.as<int64_t>().data() + k * length);
      std::copy_n(window.data() + 1, length, labels.as<int64_t>().data() + k * length);
      for (int64_t i = 0; i < length; i++) positions.as<int64_t>()[static_cast<size_t>(k * length + i)] = i;
    }
    for (const Target& t : targets_)
      rows.arrays.emplace(t.input, t.role == Role::tokens      ? tokens
                                   : t.role == Role::positions ? positions
                                   : t.role == Role::ones      ? ir::Tensor::filled(type, 1)
                                                               : ir::Tensor(type));
    if (!options_.labels.empty()) rows.arrays.emplace(options_.labels, std::move(labels));
    return rows;
  }

 private:
  void read_window(int64_t index, std::vector<int64_t>& out) const {
    auto shard = shards_.begin();
    for (; index >= shard->samples; ++shard) index -= shard->samples;
    const int64_t count = options_.sequence + 1;
    const int64_t at = shard->offset + index * options_.sequence * shard->width;
    std::vector<char> bytes(static_cast<size_t>(count * shard->width));
    shard->file.read(at, bytes.data(), count * shard->width);
    out.resize(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; i++) {
      uint16_t narrow = 0;
      uint32_t wide = 0;
      const char* from = bytes.data() + i * shard->width;
      std::memcpy(shard->width == 2 ? static_cast<void*>(&narrow) : &wide, from,
                  static_cast<size_t>(shard->width));
      out[static_cast<size_t>(i)] = shard->width == 2 ? narrow : wide;
    }
  }

  DataOptions options_;
  std::vector<Target> targets_;
  std::vector<Shard> shards_;
  int64_t samples_ = 0, tokens_ = 0;
};

}  // namespace

std::unique_ptr<DataSource> open_tokens(const DataOptions& options, const ModelInputs& inputs) {
  try {
    return std::make_unique<Tokens>(options, inputs);
  } catch (const fs::filesystem_error& e) {
    throw_file_error("read", options.path, e.code().value());
  }
}

}  // namespace mezzo::runtime
