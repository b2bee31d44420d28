#include "codegen/cuda/dnn_attention.h"

#include <limits>

#include "codegen/alignment.h"
#include "ir/op.h"

namespace mezzo::codegen::cuda {
namespace {

using Dims = std::vector<int64_t>;
using In = ir::AttentionInput;

constexpr int64_t kAlignment = 16, kScalarAlignment = 4;  // bytes
constexpr int64_t kRowUnit = 8, kLongestRow = 128;        // elements

// What the caller gives addresses for. All other tensors are virtual: they never stand in memory.
enum TensorId : int64_t {
  kQ = 1,
  kK,
  kV,
  kY,
  kLogSumExp,
  kDY,
  kDQ,
  kDK,
  kDV,
  kRowDots,
  kScale,
  kLowest,
  kOne,
  kFirstFree
};

struct Tensor {
  DnnDescriptor handle = nullptr;
  Dims dims, strides;
};

Dims contiguous(const Dims& d) { return {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1}; }
Tensor swapped(Dims dims, Dims strides) {
  std::swap(dims[2], dims[3]), std::swap(strides[2], strides[3]);
  return {nullptr, std::move(dims), std::move(strides)};
}

// Operations in the order of the data, on tensors of four dimensions.
class Builder {
 public:
  Builder(const CudnnApi& api, const AttentionPlan& p) : api_(api), p_(p) {
    const ir::AttentionSizes& s = p.sizes;
    square_ = shaped({s.batch, s.heads, s.queries, s.keys});
    column_ = shaped({s.batch, s.heads, s.queries, 1});
    scale_ = scalar(kScale);
    if (p.causal) lowest_ = scalar(kLowest);
  }

  // y = softmax(scale q k') v, and the logarithm of the sums.
  void forward() {
    const ir::AttentionSizes& s = p_.sizes;
    Tensor q = rows(kQ, s.queries, s.head, s.q), k = turned(kK, s.keys, s.head, s.k),
           v = rows(kV, s.keys, s.value, s.v);
    Tensor x = causal(pointwise(kDnnMul, matmul(q, k, f32(square_)), scale_, f32(square_)));
    Tensor top = reduce(kDnnReduceMax, x, f32(column_));
    Tensor e = pointwise(kDnnExp, pointwise(kDnnSub, x, top, f32(square_)), {}, f32(square_));
    Tensor sum = reduce(kDnnReduceAdd, e, f32(column_));
    pointwise(kDnnAdd, top, pointwise(kDnnLog, sum, {}, f32(column_)), real(kLogSumExp, kDnnFloat, column_));
    Tensor weights = pointwise(kDnnDiv, e, sum, low(square_));
    matmul(weights, v, rows(kY, s.queries, s.value, s.y));
  }

  // The sums of dY * Y over rows are the caller's, too.
  void backward() {
    const ir::AttentionSizes& s = p_.sizes;
    Tensor q = rows(kQ, s.queries, s.head, s.q), kt = turned(kK, s.keys, s.head, s.k),
           vt = turned(kV, s.keys, s.value, s.v), y = rows(kY, s.queries, s.value, s.y),
           dy = rows(kDY, s.queries, s.value, s.y);
    Tensor total = real(kLogSumExp, kDnnFloat, column_);
    Tensor dots = pointwise(kDnnMul, dy, y, f32({nullptr, y.dims, y.strides}));
    dots = reduce(kDnnReduceAdd, dots, f32(column_));
    dots = pointwise(kDnnMul, dots, scalar(kOne), real(kRowDots, kDnnFloat, column_));
    Tensor x = pointwise(kDnnMul, matmul(q, kt, f32(square_)), scale_, f32(square_));
    x = causal(pointwise(kDnnSub, x, total, f32(square_)));
    Tensor weights = pointwise(kDnnExp, x, {}, f32(square_));
    const Tensor turned_square = swapped(square_.dims, square_.strides);
    matmul(reshape(weights, low(turned_square)), dy, rows(kDV, s.keys, s.value, s.v));
    Tensor dx = pointwise(kDnnSub, matmul(dy, vt, f32(square_)), dots, f32(square_));
    dx = pointwise(kDnnMul, pointwise(kDnnMul, dx, weights, f32(square_)), scale_, f32(square_));
    matmul(reshape(dx, low(turned_square)), q, rows(kDK, s.keys, s.head, s.k));
    Tensor k = reshape(kt, low({nullptr, {s.batch, s.heads, s.keys, s.head}, strides(s.k)}));
    matmul(dx, k, rows(kDQ, s.queries, s.head, s.q));
  }

  DnnGraph finish(const DnnTarget& target) {
    return finish_graph(api_, target, std::move(parts_), operations_);
  }

 private:
  static Dims strides(const ir::AttentionStrides& s) { return {s.batch, s.head, s.row, 1}; }
  static Tensor shaped(const Dims& dims) { return {nullptr, dims, contiguous(dims)}; }

  Descriptor& keep(int type) { return *parts_.emplace_back(std::make_unique<Descriptor>(api_, type)); }

  Tensor tensor(int64_t id, int type, Tensor t, bool is_virtual, bool by_value) {
    Descriptor& d = keep(kDnnTensor);
    d.set(kDnnTensorId, id).set_enum(kDnnTensorType, kDnnTypeDataType, type);
    d.set(kDnnTensorDims, t.dims).set(kDnnTensorStrides, t.strides);
    d.set(kDnnTensorAlignment, by_value ? kScalarAlignment : kAlignment);
    d.set(kDnnTensorVirtual, kDnnTypeBool, &is_virtual, 1);
    if (by_value) d.set(kDnnTensorByValue, kDnnTypeBool, &by_value, 1);
    d.finish("tensor");
    return {d.handle(), std::move(t.dims), std::move(t.strides)};
  }
  Tensor real(int64_t id, int type, const Tensor& like) { return tensor(id, type, like, false, false); }
  Tensor scalar(int64_t id) { return tensor(id, kDnnFloat, shaped({1, 1, 1, 1}), false, true); }
  Tensor made(int type, const Tensor& like) { return tensor(next_id_++, type, like, true, false); }
  Tensor f32(const Tensor& like) { return made(kDnnFloat, like); }
  Tensor low(const Tensor& like) { return made(p_.type, like); }
  // An operand or result as it is stored, and with its last two axes swapped.
  Tensor rows(int64_t id, int64_t count, int64_t length, const ir::AttentionStrides& s) {
    return real(id, p_.type, {nullptr, {p_.sizes.batch, p_.sizes.heads, count, length}, strides(s)});
  }
  Tensor turned(int64_t id, int64_t count, int64_t length, const ir::AttentionStrides& s) {
    return real(id, p_.type, swapped({p_.sizes.batch, p_.sizes.heads, count, length}, strides(s)));
  }

  Tensor add(Descriptor& operation, const char* what, Tensor result) {
    operations_.push_back(operation.finish(what).handle());
    return result;
  }
  static void connect(Descriptor& operation, int name, const Tensor& t) {
    operation.set(name, kDnnTypeDescriptor, &t.handle, 1);
  }

  Tensor pointwise(int mode, const Tensor& x, const Tensor& b, Tensor y, const Tensor& choice = {},
                   int64_t axis = -1, int math = kDnnFloat) {
    Descriptor& how = keep(kDnnPointwise);
    how.set_enum(kDnnPointwiseModeAttr, kDnnTypePointwiseMode, mode);
    how.set_enum(kDnnPointwiseMath, kDnnTypeDataType, math);
    if (axis >= 0) how.set(kDnnPointwiseAxis, axis);
    how.finish("pointwise");
    Descriptor& operation = keep(kDnnPointwiseOperation);
    operation.set(kDnnPointwiseDescriptor, how);
    connect(operation, kDnnPointwiseX, x);
    connect(operation, kDnnPointwiseY, y);
    if (b.handle) connect(operation, kDnnPointwiseB, b);
    if (choice.handle) connect(operation, kDnnPointwiseT, choice);
    return add(operation, "pointwise operation", std::move(y));
  }
  Tensor matmul(const Tensor& a, const Tensor& b, Tensor c) {
    Descriptor& how = keep(kDnnMatmul);
    how.set_enum(kDnnMatmulCompute, kDnnTypeDataType, kDnnFloat).finish("matmul");
    Descriptor& operation = keep(kDnnMatmulOperation);
    operation.set(kDnnMatmulDescriptor, how);
    connect(operation, kDnnMatmulA, a);
    connect(operation, kDnnMatmulB, b);
    connect(operation, kDnnMatmulC, c);
    return add(operation, "matmul operation", std::move(c));
  }
  Tensor reduce(int how_to, const Tensor& x, Tensor y) {
    Descriptor& how = keep(kDnnReduction);
    how.set_enum(kDnnReductionOperator, kDnnTypeReduction, how_to);
    how.set_enum(kDnnReductionCompute, kDnnTypeDataType, kDnnFloat).finish("reduction");
    Descriptor& operation = keep(kDnnReductionOperation);
    operation.set(kDnnReductionDescriptor, how);
    connect(operation, kDnnReductionX, x);
    connect(operation, kDnnReductionY, y);
    return add(operation, "reduction operation", std::move(y));
  }
  Tensor reshape(const Tensor& x, Tensor y) {
    Descriptor& operation = keep(kDnnReshapeOperation);
    connect(operation, kDnnReshapeX, x);
    connect(operation, kDnnReshapeY, y);
    return add(operation, "reshape operation", std::move(y));
  }
  // x where the query does not come before the key, else the lowest float.
  Tensor causal(const Tensor& x) {
    if (!p_.causal) return x;
    Tensor row = pointwise(kDnnIndex, x, {}, made(kDnnInt32, square_), {}, 2);
    Tensor column = pointwise(kDnnIndex, x, {}, made(kDnnInt32, square_), {}, 3);
    Tensor keep = pointwise(kDnnCompareGe, row, column, made(kDnnBoolean, square_), {}, -1, kDnnBoolean);
    return pointwise(kDnnSelect, x, lowest_, f32(square_), keep);
  }

  const CudnnApi& api_;
  const AttentionPlan& p_;
  std::vector<std::unique_ptr<Descriptor>> parts_;
  std::vector<DnnDescriptor> operations_;
  int64_t next_id_ = kFirstFree;
  Tensor square_, column_, scale_, lowest_;
};

class AttentionLaunch : public Launch {
 public:
  AttentionLaunch(const AttentionPlan& plan, Descriptor built, const DnnLibrary& library)
      : library_(library),
        plan_(std::move(built)),
        gradient_(plan.gradient),
        inputs_(plan.inputs),
        scale_(static_cast<float>(plan.sizes.scale)) {
    const ir::AttentionSizes& s = plan.sizes;
    workspace_ = gradient_ ? device_aligned(s.batch * s.heads * s.queries * 4) : 0;
    scratch_bytes = workspace_ + plan_.integer(kDnnPlanWorkspace);
    ids_ = gradient_ ? std::vector<int64_t>{kQ, kK, kV, kY, kLogSumExp, kDY, kDQ, kDK, kDV, kRowDots, kOne}
                     : std::vector<int64_t>{kQ, kK, kV, kY, kLogSumExp};
    ids_.push_back(kScale);
    if (plan.causal) ids_.push_back(kLowest);
    info.detail = concat("cuDNN attention", plan.causal ? ", causal" : "");
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    addresses_.assign(arguments, arguments + (gradient_ ? In::dy + 1 : In::v + 1));
    addresses_.insert(addresses_.end(), arguments + inputs_, arguments + inputs_ + (gradient_ ? 3 : 2));
    if (gradient_) {
      addresses_.push_back(scratch);
      addresses_.push_back(host(one_));
    }
    addresses_.push_back(host(scale_));
    addresses_.push_back(host(lowest_));
    library_.execute(plan_, ids_, addresses_.data(), scratch + workspace_);
  }

 private:
  static std::byte* host(float& value) { return reinterpret_cast<std::byte*>(&value); }

  const DnnLibrary& library_;
  Descriptor plan_;
  bool gradient_;
  size_t inputs_;
  float scale_, one_ = 1, lowest_ = std::numeric_limits<float>::lowest();
  int64_t workspace_ = 0;  // behind what the launch itself keeps in its scratch memory
  std::vector<int64_t> ids_;
  std::vector<std::byte*> addresses_;
};

}  // namespace

std::string AttentionPlan::text() const {
  const ir::AttentionSizes& s = sizes;
  std::string out =
      concat("attention ", gradient ? "gradient " : "", type, causal ? " causal" : "", " scale ", s.scale);
  for (int64_t v : {s.batch, s.heads, s.queries, s.keys, s.head, s.value}) out += concat(" ", v);
  for (const ir::AttentionStrides* t : {&s.q, &s.k, &s.v, &s.y})
    out += concat(" | ", t->batch, " ", t->head, " ", t->row);
  return out;
}

std::optional<AttentionPlan> plan_attention(const ir::Node& node) {
  AttentionPlan p{ir::attention_sizes(node)};
  const ir::AttentionSizes& s = p.sizes;
  const ir::DType type = node.in_type(In::q).dtype;
  if (!ir::is_low(type) || node.i("narrow_weights") == 0) return std::nullopt;
  p.type = type == ir::DType::bf16 ? kDnnBfloat16 : kDnnHalf;
  p.gradient = ir::is_attention_gradient(node);
  p.inputs = node.input_count();
  p.causal = s.upper == 0 && s.queries == s.keys;
  const bool whole_band = s.lower <= 1 - s.queries && (p.causal || s.upper >= s.keys - 1);
  const bool plain =
      !s.has_mask && !s.dropout && s.softcap == 0 && s.heads == s.kv_heads && s.head == s.value;
  const bool given = !p.gradient || (!node.has(In::d_log_sum_exp) && node.output_count() == 3);
  if (!whole_band || !plain || !given || s.head % kRowUnit != 0 || s.head > kLongestRow) return std::nullopt;
  if (s.batch * s.heads * s.queries * s.keys == 0) return std::nullopt;
  return p;
}

DnnGraph attention_graph(const CudnnApi& api, const DnnTarget& target, const AttentionPlan& plan) {
  Builder builder(api, plan);
  plan.gradient ? builder.backward() : builder.forward();
  return builder.finish(target);
}

std::unique_ptr<Launch> dnn_attention(DnnLibrary& library, const AttentionPlan& plan) try {
  auto make = [&](const DnnTarget& target) { return attention_graph(library.api(), target, plan); };
  return std::make_unique<AttentionLaunch>(plan, library.plan(plan.text(), make), library);
} catch (const DnnRefusal&) {
  return nullptr;
}

}  // namespace mezzo::codegen::cuda
