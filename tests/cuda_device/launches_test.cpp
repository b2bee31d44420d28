// How many launches a training step of the published networks is. Sizes are the real ones, as the layouts of
// kernels depend on them; of layers that are all alike two and three are planned, and the rest is counted
// from these.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "codegen/cuda/source.h"
#include "codegen/launch_list.h"
#include "codegen/product_sizes.h"
#include "ir/op.h"
#include "models/nets.h"
#include "passes/pipeline.h"
#include "runtime/step_graph.h"

namespace mezzo::testing_cuda {
namespace {

using runtime::Purpose;

struct Launches {
  int64_t kernels = 0, products = 0, copies = 0;
  int64_t total() const { return kernels + products + copies; }
};
Launches operator+(Launches a, Launches b) {
  return {a.kernels + b.kernels, a.products + b.products, a.copies + b.copies};
}
Launches operator*(int64_t n, Launches a) { return {n * a.kernels, n * a.products, n * a.copies}; }

// Lowers nothing, but counts: products are one call of a library, and a kernel behind it where a bias is
// added before the rounding to 16 bits.
class Counting : public codegen::Lowering {
 public:
  class Nothing : public codegen::Launch {
   public:
    void run(std::byte* const*, std::byte*) override {}
  };
  std::unique_ptr<codegen::Launch> lower(const ir::Node& node) override {
    if (auto kind = codegen::product_kind(node)) {
      count.products++;
      const bool biased = *kind == codegen::ProductKind::dot || *kind == codegen::ProductKind::convolution;
      count.kernels += biased && node.has(2) && ir::is_low(node.type().dtype);
    } else {
      count.kernels += static_cast<int64_t>(codegen::cuda::emit_node(node, 0).launches.size());
    }
    return std::make_unique<Nothing>();
  }
  std::unique_ptr<codegen::Launch> copy(const ir::Type&, std::string) override {
    count.copies++;
    return std::make_unique<Nothing>();
  }
  void finish() override {}

  Launches count;
};

using Build = void (*)(models::OnnxBuilder&, const models::NetOptions&);

Launches launches_of(Build build, const models::NetOptions& sizes, const runtime::Signature& signature,
                     const Optimizer& optimizer) {
  const auto file =
      std::filesystem::path(testing::TempDir()) / concat("mezzo_launches_", ::getpid(), ".onnx");
  models::OnnxBuilder builder("net", 1);
  build(builder, sizes);
  builder.write(file.string());
  CompileOptions options;
  options.precision = Precision::bf16;
  options.optimizer = optimizer;
  const runtime::LoadedModel model(file.string());
  std::filesystem::remove(file);
  ir::Graph step = std::move(runtime::build_step_graph(model, signature, options, Purpose::train).graph);
  const ir::Graph planned =
      passes::run_pipeline(std::move(step),
                           runtime::pass_options(options, Purpose::train, signature.samples()))
          .step;
  Counting counting;
  codegen::LaunchList list(planned, counting);
  counting.count.kernels++;  // that hands the results to the host
  return counting.count;
}

void tell(const char* what, const Launches& l, int64_t most) {
  std::printf(
      "%-24s %4lld launches a step: %lld generated kernels, %lld products and convolutions, %lld copies\n",
      what, static_cast<long long>(l.total()), static_cast<long long>(l.kernels),
      static_cast<long long>(l.products), static_cast<long long>(l.copies));
  EXPECT_LE(l.total(), most) << what;
  EXPECT_GT(l.products, 0) << what;
}

TEST(LaunchesPerStep, ResNet50) {
  tell("resnet50 bf16 x256",
       launches_of(models::resnet50, {}, {{{"input", {256, 3, 224, 224}}}, ir::Dims{256}},
                   SGD{.lr = 0.1, .momentum = 0.9}),
       730);
}

// Twelve layers from two and three.
Launches of_twelve(Build build, models::NetOptions sizes, const runtime::Signature& signature) {
  sizes.vocabulary = 4096;
  Launches by_layers[2];
  for (int64_t k : {0, 1}) {
    sizes.layers = 2 + k;
    by_layers[k] = launches_of(build, sizes, signature, AdamW{.lr = 1e-4});
  }
  return by_layers[0] + 10 * (by_layers[1] + -1 * by_layers[0]);
}

TEST(LaunchesPerStep, BertBase) {
  const ir::Dims ids{32, 128};
  tell("bert_base bf16 x32x128",
       of_twelve(models::bert_base, {.sequence = 128},
                 {{{"input_ids", ids}, {"attention_mask", ids}, {"token_type_ids", ids}}, ir::Dims{32}}),
       710);
}

TEST(LaunchesPerStep, Gpt2) {
  const ir::Dims ids{16, 1024};
  tell("gpt2 bf16 x16x1024", of_twelve(models::gpt2, {.sequence = 1024}, {{{"input_ids", ids}}, ids}), 640);
}

}  // namespace
}  // namespace mezzo::testing_cuda
