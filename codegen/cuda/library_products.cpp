#include "codegen/cuda/library_products.h"

#include <algorithm>

#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::codegen::cuda {
namespace {

// A graph of one Kernel that computes `value` of its inputs.
template <class F>
ir::Graph one_kernel(const std::vector<ir::Type>& inputs, F value) {
  ir::Graph body, g;
  ir::Values inside, outside;
  for (size_t i = 0; i < inputs.size(); i++) {
    inside.push_back(body.input(concat("i", i), inputs[i]));
    outside.push_back(g.input(concat("i", i), inputs[i]));
  }
  body.outputs = {{"o", value(inside)}};
  g.add(ir::get_op("Kernel"), outside, {}, std::make_unique<ir::Graph>(std::move(body)));
  return g;
}

// x + bias along `axis`, rounded to `out`. The libraries' own bias would have to be rounded to 16 bits first.
ir::Graph add_bias(const ir::Type& x, size_t axis, ir::DType out) {
  return one_kernel({x, {x.dtype, {x.dims[axis]}}}, [&](const ir::Values& v) {
    ir::Dims shape(x.dims.size(), 1);
    shape[axis] = x.dims[axis];
    ir::Value sum = v[0] + ir::reshape(v[1], shape);
    return out == x.dtype ? sum : ir::cast(sum, out);
  });
}

// Filters with their channels moved to the end, or back.
ir::Graph move_channels(const ir::Type& filter, bool to_end) {
  ir::Ints perm{0};
  const auto rank = static_cast<int64_t>(filter.dims.size());
  if (!to_end) perm.push_back(rank - 1);
  for (int64_t i = to_end ? 2 : 1; i < (to_end ? rank : rank - 1); i++) perm.push_back(i);
  if (to_end) perm.push_back(1);
  return one_kernel({filter}, [&](const ir::Values& v) { return ir::transpose(v[0], perm); });
}

// The type of a filter whose channels are at the end.
ir::Type channels_at_end(const ir::Type& filter) {
  ir::Dims dims = filter.dims;
  std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
  return {filter.dtype, dims};
}

}  // namespace

std::unique_ptr<Launch> LibraryProducts::kernel(const ir::Graph& one_kernel) {
  return kernels_.add([&](int number) { return emit_kernel(*one_kernel.nodes().back(), number); });
}

std::unique_ptr<Launch> LibraryProducts::add(const ir::Node& node, ProductKind kind) {
  return kind == ProductKind::dot ? matmul(node) : convolution(node, kind);
}

std::unique_ptr<Launch> LibraryProducts::call(const MatmulPlan& plan) {
  const auto& library = cublaslt_library();
  if (!library) return nullptr;
  if (!matmuls_) matmuls_.emplace(library.api, kernels_.shared_device(), cache_dir_);
  return matmuls_->add(plan);
}

std::unique_ptr<Launch> LibraryProducts::matmul(const ir::Node& dot) {
  const bool bias = dot.has(2);
  const ir::Type& type = dot.type();
  const int result = static_cast<int>(dot.input_count());
  auto plan = plan_matmul(dot, type.dtype, bias);
  const bool apart = !plan && bias;
  ir::Type wide{ir::compute_type(type.dtype), type.dims};
  if (apart) plan = plan_matmul(dot, wide.dtype, false);
  if (!plan) return nullptr;
  auto product = call(*plan);
  if (!product) return nullptr;
  auto chain = std::make_unique<Chain>();
  const int target = apart ? chain->buffer(wide.bytes()) : result;
  chain->add(std::move(product),
             {0, 1, bias && !apart ? 2 : Chain::kAbsent, Chain::kAbsent, target, Chain::kAbsent});
  if (apart) chain->add(kernel(add_bias(wide, wide.dims.size() - 1, type.dtype)), {target, 2, result});
  return chain;
}

std::unique_ptr<Launch> LibraryProducts::add_epilogue(const ir::Node& node) {
  auto plan = plan_epilogue(node);
  auto product = plan ? call(*plan) : nullptr;
  if (!product) return nullptr;
  auto chain = std::make_unique<Chain>();
  const int result = static_cast<int>(node.input_count());
  chain->add(std::move(product), {0, 1, node.has(2) ? 2 : Chain::kAbsent, node.has(3) ? 3 : Chain::kAbsent,
                                  result, node.output_count() > 1 ? result + 1 : Chain::kAbsent});
  return chain;
}

DnnLibrary& LibraryProducts::dnn() {
  if (!dnn_) dnn_.emplace(cudnn_library().api, kernels_.shared_device(), cache_dir_);
  return *dnn_;
}

std::unique_ptr<Launch> LibraryProducts::attention(const ir::Node& node) {
  if (!cudnn_library()) return nullptr;
  auto plan = plan_attention(node);
  return plan ? dnn_attention(dnn(), *plan) : nullptr;
}

std::unique_ptr<Launch> LibraryProducts::convolution(const ir::Node& node, ProductKind kind) {
  if (!cudnn_library()) return nullptr;
  const ir::Type& type = node.type();
  const bool bias = kind == ProductKind::convolution && node.has(2);
  ir::Type wide{ir::compute_type(type.dtype), type.dims};
  auto plan = plan_convolution(node, kind, bias ? wide.dtype : type.dtype);
  if (!plan) return nullptr;
  auto product = dnn_convolution(dnn(), *plan);
  if (!product) return nullptr;

  auto chain = std::make_unique<Chain>();
  const int result = static_cast<int>(node.input_count());
  int first = 0, second = 1, target = result;
  const bool filter_result = kind == ProductKind::weight_grad;
  if (plan->filter_last && !filter_result) {
    second = chain->buffer(node.in_type(1).bytes());
    chain->add(kernel(move_channels(node.in_type(1), true)), {1, second});
  }
  if (plan->filter_last && filter_result) target = chain->buffer(type.bytes());
  if (bias) target = chain->buffer(wide.bytes());
  chain->add(std::move(product), {first, second, target});
  if (plan->filter_last && filter_result)
    chain->add(kernel(move_channels(channels_at_end(type), false)), {target, result});
  if (bias)
    chain->add(kernel(add_bias(wide, node.i("channels_last") != 0 ? wide.dims.size() - 1 : 1, type.dtype)),
               {target, 2, result});
  return chain;
}

}  // namespace mezzo::codegen::cuda
