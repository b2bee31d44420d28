// Bytes that the backward kernels of well-known operations move, all launches together, next to reading what
// the gradient needs and writing what it gives once. The formulas are the ops' own gradient rules.
#include <iostream>

#include "formulas.h"

namespace mezzo::cuda_sim {
namespace {

constexpr double kMost = 1.15;  // of the least traffic

using ir::DType;
using ir::Value;

// Gradients of the inputs that `needs` names, of an op whose first output has gradient dy. `out` stands for
// outputs that the forward pass stored; the others are computed again.
ir::Values gradient(const char* op, ir::Attrs attrs, const ir::Values& in, Value dy, std::vector<bool> needs,
                    ir::Values out = {}) {
  const ir::Node* node = dy.node->graph().add(ir::get_op(op), in, std::move(attrs));
  for (int k = static_cast<int>(out.size()); k < node->output_count(); k++) out.push_back(node->out(k));
  ir::Values of_outputs(out.size());
  of_outputs[0] = dy;
  needs.resize(in.size());
  ir::Grad g{*node, in, out, of_outputs, needs};
  ir::Values all = node->op().grad(g), wanted;
  for (size_t i = 0; i < needs.size(); i++)
    if (needs[i]) wanted.push_back(ir::sum_to(all[i], in[i].dims()));
  return wanted;
}

Value wide(Value v) { return ir::cast(v, DType::f32); }
Value low(Value v) { return ir::cast(v, DType::bf16); }

class BackwardTraffic : public testing::Test {
 protected:
  template <class F>
  void add(const std::string& what, const std::vector<ir::Type>& types, F build) {
    uint64_t& least = least_[what];
    for (const ir::Type& t : types) least += static_cast<uint64_t>(t.bytes());
    formulas_.add(what, types, [&](const ir::Values& in) {
      ir::Values out = build(in);
      for (Value v : out) least += static_cast<uint64_t>(v.type().bytes());
      return out;
    });
  }
  Formulas formulas_;
  std::map<std::string, uint64_t> least_;
};

TEST_F(BackwardTraffic, IsNearTheLeast) {
  const ir::Type rows{DType::bf16, {256, 768}};
  // As many as fill a GPU: with fewer of them the partial sums of the gain's gradient weigh more.
  const ir::Type many_rows{DType::bf16, {8192, 256}}, gain{DType::f32, {256}};
  add("softmax backward", {rows, rows}, [](const ir::Values& x) {
    Value y = wide(x[0]);
    return ir::Values{low(gradient("Softmax", {}, {y}, wide(x[1]), {true}, {y})[0])};
  });
  add("layer norm backward", {many_rows, gain, gain, many_rows}, [](const ir::Values& x) {
    ir::Values g =
        gradient("LayerNormalization", {}, {wide(x[0]), x[1], x[2]}, wide(x[3]), {true, true, true});
    return ir::Values{low(g[0]), g[1], g[2]};
  });
  add("batch norm backward",
      {{DType::bf16, {4, 256, 8, 8}}, {DType::f32, {256}}, {DType::bf16, {4, 256, 8, 8}}},
      [](const ir::Values& x) {
        Value zero = ir::expand(x[0].node->graph().constant(0.0), {256});
        ir::Values g = gradient("BatchNormalization", {{"training_mode", int64_t{1}}},
                                {wide(x[0]), x[1], zero, zero, zero}, wide(x[2]), {true, true, true});
        return ir::Values{low(g[0]), g[1], g[2]};
      });
  // What does not fit on the chip is read twice: nothing can be written before the statistics are known.
  for (bool last : {true, false}) {
    const std::string order = last ? ", channels last" : "";
    const ir::Type x{DType::bf16, last ? ir::Dims{32, 28, 28, 16} : ir::Dims{32, 16, 28, 28}},
        channel{DType::f32, {16}};
    auto first = [last](Value v) { return last ? ir::transpose(v, {0, 3, 1, 2}) : v; };
    auto stored = [last](Value v) { return low(last ? ir::transpose(v, {0, 2, 3, 1}) : v); };
    auto norm = [=](Value v, Value scale) {
      Value zero = ir::expand(v.node->graph().constant(0.0), {16});
      return v.node->graph().add(ir::get_op("BatchNormalization"), {first(wide(v)), scale, zero, zero, zero},
                                 {{"training_mode", int64_t{1}}});
    };
    add("batch norm of large channels" + order, {x, channel}, [=](const ir::Values& in) {
      const ir::Node* n = norm(in[0], in[1]);
      return ir::Values{stored(n->out(0)), n->out(3), n->out(4)};
    });
    least_["batch norm of large channels" + order] += static_cast<uint64_t>(x.bytes());
  }
  // Mean and deviation come from the forward pass.
  const ir::Type pixels{DType::bf16, {25088, 16}}, kept{DType::f32, {1, 16}};
  add("batch norm backward of large channels", {pixels, {DType::f32, {16}}, pixels, kept, kept},
      [](const ir::Values& in) {
        Value zero = ir::expand(in[0].node->graph().constant(0.0), {16}), x = wide(in[0]), dy = wide(in[2]);
        ir::Values g =
            gradient("BatchNormalization", {{"training_mode", int64_t{1}}}, {x, in[1], zero, zero, zero}, dy,
                     {true, true, true}, {x, zero, zero, in[3], in[4]});
        return ir::Values{low(g[0]), g[1], g[2]};
      });
  least_["batch norm backward of large channels"] += static_cast<uint64_t>(2 * pixels.bytes());
  add("cross entropy backward", {{DType::bf16, {256, 1000}}, {DType::i64, {256}}}, [](const ir::Values& x) {
    Value one = x[0].node->graph().constant(1.0);
    return ir::Values{low(gradient("SoftmaxCrossEntropyLoss", {}, {wide(x[0]), x[1]}, one, {true})[0])};
  });
  std::map<std::string, uint64_t> moved;
  std::map<std::string, size_t> launches;
  formulas_.check(3, [&](const std::string& what, const NodeRuns::Outcome& o) {
    moved[what] += o.traffic.moved;
    launches[what] += o.source->launches.size();
  });
  for (const auto& [what, least] : least_) {
    const double ratio = static_cast<double>(moved[what]) / static_cast<double>(least);
    std::cout << "bytes over least: " << ratio << " in " << launches[what] << " launches, " << what << "\n";
    EXPECT_LE(ratio, kMost) << what;
    EXPECT_GE(ratio, 0.99) << what << ": something that must be read is not";
  }
}

// The optimizer's whole update: parameter, two slots and gradient in, all but the gradient out, and the
// 16-bit copy of a weight: 28 or 30 bytes of a parameter. The finite check, which must be over before
// anything is written, reads the gradient once more: 4.
TEST_F(BackwardTraffic, OfAdamWIsNearTheLeast) {
  Net net = dense_net(8, 192, 10);
  auto step =
      passes::run_pipeline(std::move(net.graph), passes::read_options("low=bf16 optimizer=adamw lr=0.01"))
          .step;
  uint64_t parameters = 0, copies = 0;
  for (const auto& n : step.nodes()) {
    if (!ir::is_state(*n)) continue;
    if (n->s("kind") == "parameter") parameters += static_cast<uint64_t>(n->type().bytes());
    if (n->s("kind") == "copy") copies += static_cast<uint64_t>(n->type().bytes());
  }
  ASSERT_GT(copies, 0u);
  formulas_.add_graph("step", std::make_unique<ir::Graph>(std::move(step)), std::move(net.feeds));
  uint64_t moved = 0;
  formulas_.check(1, [&](const std::string&, const NodeRuns::Outcome& o) {
    if (ir::is_kernel(*o.node) && o.node->phase == ir::Phase::update && o.traffic.moved > parameters)
      moved += o.traffic.moved;
  });
  const double ratio = static_cast<double>(moved) / static_cast<double>(7 * parameters + copies);
  std::cout << "bytes over least: " << ratio << ", AdamW\n";
  EXPECT_LE(ratio, kMost);
  EXPECT_GE(ratio, 0.99);
}

}  // namespace
}  // namespace mezzo::cuda_sim
