// mezzo-models NET OUT.onnx [--seed N]: writes a network with random weights.
// mezzo-models split DIGITS.npz TRAIN.npz TEST.npz: the digits as data files with the keys `input` and
// `labels`; the last 360 images, written by other people than the others, are the test set.
#include <cstdio>
#include <cstring>
#include <exception>
#include <iterator>
#include <map>

#include "models/nets.h"
#include "runtime/npz.h"

namespace {

using namespace mezzo;

const std::map<std::string, void (*)(models::OnnxBuilder&)> kNets = {{"mlp", models::mlp},
                                                                     {"lenet", models::lenet},
                                                                     {"digits_mlp", models::digits_mlp},
                                                                     {"digits_cnn", models::digits_cnn}};
constexpr int64_t kTestImages = 360;

int usage() {
  std::fprintf(stderr,
               "usage: mezzo-models NET OUT.onnx [--seed N]\n       mezzo-models split DIGITS.npz TRAIN.npz "
               "TEST.npz\nnets:");
  for (auto& [name, _] : kNets) std::fprintf(stderr, " %s", name.c_str());
  std::fprintf(stderr, "\n");
  return 2;
}

ir::Tensor rows(const ir::Tensor& t, int64_t begin, int64_t end) {
  ir::Dims dims = t.dims();
  const int64_t row = t.bytes() / dims[0];
  dims[0] = end - begin;
  ir::Tensor out({t.dtype(), dims});
  std::memcpy(out.data(), t.data() + begin * row, static_cast<size_t>(out.bytes()));
  return out;
}

void split(const char* digits, const char* train, const char* test) {
  const auto arrays = runtime::read_npz(digits);
  const ir::Tensor &images = arrays.at("images"), &labels = arrays.at("labels");
  const int64_t count = images.dims()[0], cut = count - kTestImages;
  runtime::write_npz(train, {{"input", rows(images, 0, cut)}, {"labels", rows(labels, 0, cut)}});
  runtime::write_npz(test, {{"input", rows(images, cut, count)}, {"labels", rows(labels, cut, count)}});
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 5 && std::string(argv[1]) == "split") return split(argv[2], argv[3], argv[4]), 0;
    const bool seeded = argc == 5 && std::string(argv[3]) == "--seed";
    if ((argc != 3 && !seeded) || !kNets.count(argv[1])) return usage();
    models::OnnxBuilder builder(argv[1], seeded ? std::stoull(argv[4]) : 1);
    kNets.at(argv[1])(builder);
    builder.write(argv[2]);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 3;
  }
}
