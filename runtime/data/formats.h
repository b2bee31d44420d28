// formats.h: the sources of open_data, one per kind of file.
#pragma once
#include "runtime/data/source.h"

namespace mezzo::runtime {

std::unique_ptr<DataSource> open_npz(const DataOptions& options, const ModelInputs& inputs);
// An image file `...images-idx3-ubyte` (or idx4), with its labels beside it as `...labels-idx1-ubyte`, or a
// directory with MNIST's `train-` and `t10k-` pairs; each also with `.gz`.
std::unique_ptr<DataSource> open_idx(const DataOptions& options, const ModelInputs& inputs);
// CIFAR-10's binary version: a directory with data_batch_1.bin ... and test_batch.bin, or one such file.
std::unique_ptr<DataSource> open_cifar10(const DataOptions& options, const ModelInputs& inputs);
// One folder per class (labels in the order of their names, by bytes) with .jpg, .jpeg and .png files; or a
// directory with `train` and `val`.
std::unique_ptr<DataSource> open_image_folder(const DataOptions& options, const ModelInputs& inputs);
// llm.c's token files (by their header) or bare uint16 tokens (nanoGPT): one file, or a pattern with * and ?.
std::unique_ptr<DataSource> open_tokens(const DataOptions& options, const ModelInputs& inputs);

// Where `path` is a directory that holds the files of these formats.
bool is_mnist_directory(const std::string& path);
bool is_cifar10_directory(const std::string& path);

// Limits (docs/limits.md).
inline constexpr int64_t kMaxPixelBytes = int64_t{1} << 34;  // of an IDX or CIFAR-10 data set
inline constexpr int64_t kMaxImageFiles = int64_t{1} << 26;  // of a folder
inline constexpr int64_t kMaxTokenFiles = 65536;

}  // namespace mezzo::runtime
