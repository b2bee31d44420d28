// product.cpp: matrix products and convolutions as own kernels. The loops are templates of the prelude
// (product.cuh, convolution.cuh); here are the sizes, and the choice of tiles.
#include <algorithm>

#include "codegen/cuda/own_kernels.h"
#include "codegen/cuda/text_emitter.h"
#include "codegen/product_sizes.h"
#include "ir/attention.h"
#include "ir/indexing.h"
#include "ir/op.h"

namespace mezzo::codegen::cuda {
namespace {

using ir::DType;

// Blocks that keep a large GPU busy.
constexpr int64_t kManyBlocks = 132;

// y[q][row, column] = sum over depth of a loader's rows times the other's.
struct Product {
  int64_t rows, columns, depth, batches;
  DType operands, result;
  std::string left, right, target;  // "Loader<...>{pointer}", of batch q
  std::string context;              // declarations in front of the kernels
  bool bias;
};

class ProductWriter {
 public:
  ProductWriter(const ir::Node& node, int number, Product product)
      : node_(node), p_(std::move(product)), name_(concat("k", number, "_")) {
    choose_tile();
    choose_splits();
  }

  KernelSource write() {
    out_.text = p_.context;
    DType sum = ir::compute_type(p_.operands);
    bool split = splits_ > 1;
    int result = static_cast<int>(node_.input_count());
    std::vector<int> arguments{0, 1};
    if (p_.bias && !split) arguments.push_back(2);
    arguments.push_back(split ? -1 : result);
    int64_t across = quotient_up(p_.columns, tile_), down = quotient_up(p_.rows, tile_),
            tiles = across * down;
    begin(arguments, threads_, tiles * splits_ * p_.batches);
    out_.text += concat("  const i32 block = block_number(), q = block / ", tiles * splits_,
                        ", part = block / ", tiles, " % ", splits_, ";\n  const i32 row = block % ", tiles,
                        " / ", across, " * ", tile_, ", column = block % ", across, " * ", tile_, ";\n");
    out_.text += concat("  const i32 depth = part * ", depth_of_part_, ", end = ",
                        split ? concat("depth + ", depth_of_part_, " < ", p_.depth, " ? depth + ",
                                       depth_of_part_, " : ", p_.depth)
                              : concat(p_.depth),
                        ";\n");
    std::string_view t = ir::name(p_.operands);
    std::string function =
        ir::is_low(p_.operands)
            ? concat("product_by_warps<", t, ", ", tile_, ", ", tile_, ", ", tile_ / 2, ", 32>")
            : concat("product_by_threads<", t, ", ", register_type(p_.operands), ", ", tile_, ", ",
                     tile_ / 16, ">");
    std::string target = p_.target;
    if (split)
      target = concat("MatrixTarget<", register_type(sum), ", ", register_type(sum), ", false, false, ",
                      p_.rows, ", ", p_.columns, ">{t0 + (part * ", p_.batches, "ll + q) * ",
                      p_.rows * p_.columns, ", nullptr}");
    out_.text += concat("  ", function, "(", p_.left, ", ", p_.right, ", ", target,
                        ", row, column, depth, end);\n}\n");
    if (split) combine(result);
    return std::move(out_);
  }

 private:
  void choose_tile() {
    int64_t large = quotient_up(p_.rows, 128) * quotient_up(p_.columns, 128) * p_.batches;
    tile_ = large >= kManyBlocks && ir::byte_size(p_.operands) <= 4 ? 128 : 64;
    threads_ = ir::is_low(p_.operands) ? (tile_ == 128 ? 256 : 128) : 256;
    out_.detail = concat("own product ", tile_, " by ", tile_);
  }

  // A long depth with few results is split, so that more blocks can work at it.
  void choose_splits() {
    constexpr int64_t kLongDepth = 512, kMostSplits = 64, kStep = 32;
    int64_t tiles = quotient_up(p_.rows, tile_) * quotient_up(p_.columns, tile_) * p_.batches;
    int64_t wanted =
        std::min({kManyBlocks * 2 / std::max<int64_t>(tiles, 1), p_.depth / kLongDepth, kMostSplits});
    depth_of_part_ = std::max<int64_t>(p_.depth, 1);
    if (wanted < 2) return;
    depth_of_part_ = quotient_up(quotient_up(p_.depth, wanted), kStep) * kStep;
    splits_ = quotient_up(p_.depth, depth_of_part_);
    if (splits_ > 1) out_.detail += concat(", depth in ", splits_, " parts");
  }

  void combine(int result) {
    std::string_view sum = register_type(p_.operands);
    int64_t count = p_.batches * p_.rows * p_.columns;
    out_.scratch_bytes.push_back(count * splits_ * ir::byte_size(ir::compute_type(p_.operands)));
    std::vector<int> arguments{-1};
    if (p_.bias) arguments.push_back(2);
    arguments.push_back(result);
    constexpr int kThreads = 256;
    begin(arguments, kThreads, quotient_up(count, kThreads));
    out_.text += concat("  const i32 n = block_number() * ", kThreads, " + thread_number(), q = n / ",
                        p_.rows * p_.columns, ";\n  if (n < ", count, ") store_splits<", sum, ", ", splits_,
                        ", ", p_.columns, ">(t0 + (i64)q * ", p_.rows * p_.columns, ", ", count, ", ",
                        p_.target, ", n % ", p_.rows * p_.columns, ");\n}\n");
  }

  void begin(const std::vector<int>& arguments, int threads, int64_t blocks) {
    check(blocks < (int64_t{1} << 31), "a launch of ", blocks, " blocks");
    std::string function = concat(name_, out_.launches.size()), list;
    bool combines = !out_.launches.empty();
    for (int a : arguments) {
      auto i = static_cast<size_t>(a);
      bool written = a < 0 ? !combines : i >= node_.input_count();
      DType t = a < 0 ? ir::compute_type(p_.operands) : written ? p_.result : node_.in_type(i).dtype;
      list += concat(list.empty() ? "" : ", ", written ? "" : "const ", memory_type(t),
                     written ? "* " : "* __restrict__ ", a < 0 ? "t0" : concat("a", a));
    }
    out_.text += concat("KERNEL(", threads, ")\n", function, "(", list, ") {\n");
    out_.launches.push_back(
        {function, {static_cast<unsigned>(blocks)}, {static_cast<unsigned>(threads)}, 0, arguments});
  }

  const ir::Node& node_;
  Product p_;
  std::string name_;
  KernelSource out_;
  int64_t tile_ = 64, splits_ = 1, depth_of_part_ = 1;
  int threads_ = 256;
};

// Elements of a type that go together where `extent` of them lie side by side.
int64_t vector_of(DType type, int64_t extent) {
  int64_t v = 16 / ir::byte_size(type);
  while (v > 1 && extent % v != 0) v /= 2;
  return v;
}

// Which matrix of an operand belongs to batch q of the result.
std::string matrix_of_batch(const ir::Dims& operand, const ir::Dims& result) {
  ir::Dims batch(result.begin(), result.end() - 2), own(operand.begin(), operand.end() - 2);
  ir::Exprs at =
      ir::delinearize(ir::Expr::coordinate(0, std::max<int64_t>(ir::element_count(batch), 1)), batch);
  TextEmitter text;
  text.name_coordinate(0, "q");
  return text.index(ir::linearize(broadcast_coordinates(at, own), own));
}

Product dot(const ir::Node& n) {
  DotSizes s = dot_sizes(n);
  DType t = n.in_type(0).dtype, out = n.type().dtype;
  const ir::Dims &a = n.in_type(0).dims, &b = n.in_type(1).dims, &y = n.type().dims;
  auto batches = static_cast<int64_t>(s.a.size());
  std::string left_at = matrix_of_batch(a, y), right_at = matrix_of_batch(b, y);
  // One matrix on the right: the batches of the left are more rows.
  bool rows_only = !s.trans_a && ir::element_count(ir::Dims(b.begin(), b.end() - 2)) == 1 &&
                   ir::element_count(ir::Dims(a.begin(), a.end() - 2)) == batches;
  if (rows_only) s.m *= batches, batches = 1, left_at = right_at = "0";
  Product p{s.m, s.n, s.k, batches, t, out, {}, {}, {}, {}, n.has(2)};
  std::string_view name = memory_type(t), sum = register_type(t);
  auto loader = [&](int64_t rows, bool deep) {  // deep: stored row by row, with the depth along it
    return concat("MatrixLoader<", name, ", ", vector_of(t, deep ? s.k : rows), ", ", deep ? "true" : "false",
                  ", ", rows, ", ", s.k, ", ", deep ? s.k : 1, ", ", deep ? 1 : rows, ">");
  };
  p.left = concat(loader(s.m, !s.trans_a), "{a0 + (i64)(", left_at, ") * ", s.m * s.k, "}");
  p.right = concat(loader(s.n, s.trans_b), "{a1 + (i64)(", right_at, ") * ", s.n * s.k, "}");
  p.target = concat("MatrixTarget<", memory_type(out), ", ", sum, ", ", p.bias ? "true" : "false", ", ",
                    s.n % 2 == 0 ? "true" : "false", ", ", s.m, ", ", s.n, ">{a", n.input_count(),
                    " + (i64)q * ", s.m * s.n, ", ", p.bias ? "a2" : "nullptr", "}");
  return p;
}

// The sizes as constants of a struct.
std::string sizes_text(const std::string& name, const ConvolutionSizes& s, bool last) {
  std::string text = concat("struct ", name, " {\n");
  auto constant = [&](std::string_view type, const std::string& what, int64_t v) {
    text += concat("  static constexpr ", type, " ", what, " = ", v, ";\n");
  };
  int64_t channels = s.channels / s.groups, taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
  constant("bool", "kLast", last);
  constant("i32", "kChannels", channels);
  constant("i32", "kFilters", s.filters / s.groups);
  constant("i32", "kTaps", taps);
  constant("i32", "kInputs", s.batch * s.in[0] * s.in[1] * s.in[2]);
  constant("i32", "kOutputs", s.batch * s.out[0] * s.out[1] * s.out[2]);
  for (int j = 0; j < 3; j++) {
    constant("i32", concat("in", j), s.in[j]);
    constant("i32", concat("out", j), s.out[j]);
    constant("i32", concat("k", j), s.kernel[j]);
    constant("i32", concat("s", j), s.strides[j]);
    constant("i32", concat("d", j), s.dilations[j]);
    constant("i32", concat("p", j), s.pads[j]);
    constant("i64", concat("x", j), s.x[2 + j]);
    constant("i64", concat("y", j), s.y[2 + j]);
  }
  constant("i64", "xn", s.x[0]);
  constant("i64", "xc", s.x[1]);
  constant("i64", "yn", s.y[0]);
  constant("i64", "yc", s.y[1]);
  constant("i64", "wf", channels * taps);
  constant("i64", "wc", taps);
  return text + "};\n";
}

Product convolution(const ir::Node& n, ProductKind kind, int number) {
  ConvolutionSizes s = convolution_sizes(n, kind);
  bool last = n.i("channels_last") != 0;
  DType t = n.in_type(0).dtype, out = n.type().dtype;
  std::string sizes = concat("k", number, "_sizes"), result = concat("a", n.input_count());
  int64_t channels = s.channels / s.groups, filters = s.filters / s.groups,
          taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
  int64_t inputs = s.batch * s.in[0] * s.in[1] * s.in[2], outputs = s.batch * s.out[0] * s.out[1] * s.out[2];
  Product p{0, 0, 0, s.groups, t, out, {}, {}, {}, sizes_text(sizes, s, last), false};
  std::string_view name = memory_type(t), sum = register_type(t);
  int64_t by_channel = last ? vector_of(t, channels) : 1, by_filter = last ? vector_of(t, filters) : 1;
  auto group = [&](const std::string& pointer, int64_t stride) {
    return concat(pointer, " + (i64)q * ", stride);
  };
  auto of = [&](std::string_view what, int64_t vector) {
    return concat(what, "<", sizes, ", ", name, ", ", vector, ">{");
  };
  auto weights = [&](const char* channels_are_rows) {
    return concat("WeightLoader<", sizes, ", ", name, ", ", channels_are_rows, ">{");
  };
  auto pairs = [&](int64_t count) { return last && count % 2 == 0 ? "true" : "false"; };
  int64_t x = channels * s.x[1], y = filters * s.y[1], w = filters * channels * taps;
  switch (kind) {
    case ProductKind::convolution:
      p.bias = n.has(2);
      p.rows = outputs, p.columns = filters, p.depth = channels * taps;
      p.left = of("ImageLoader", by_channel) + group("a0", x) + "}";
      p.right = weights("false") + group("a1", w) + "}";
      p.target = concat("OutputTarget<", sizes, ", ", memory_type(out), ", ", sum, ", ",
                        p.bias ? "true" : "false", ", ", pairs(filters), ">{", group(result, y), ", ",
                        p.bias ? group("a2", filters) : "nullptr", "}");
      break;
    case ProductKind::input_grad:
      p.rows = inputs, p.columns = channels, p.depth = filters * taps;
      p.left = of("SeenLoader", by_filter) + group("a0", y) + "}";
      p.right = weights("true") + group("a1", w) + "}";
      p.target = concat("InputTarget<", sizes, ", ", memory_type(out), ", ", sum, ", ", pairs(channels), ">{",
                        group(result, x), "}");
      break;
    default:
      p.rows = filters, p.columns = channels * taps, p.depth = outputs;
      p.left = of("OutputLoader", by_filter) + group("a1", y) + "}";
      p.right = of("TapLoader", by_channel) + "{" + group("a0", x) + "}}";
      p.target =
          concat("FilterTarget<", sizes, ", ", memory_type(out), ", ", sum, ">{", group(result, w), "}");
  }
  return p;
}

}  // namespace

KernelSource emit_product(const ir::Node& node, int number) {
  if (ir::is_scatter(node)) return emit_scatter(node, number);
  if (ir::is_recurrence(node)) return emit_recurrence(node, number);
  if (ir::is_top_k(node)) return emit_top_k(node, number);
  if (ir::is_attention(node) || ir::is_attention_gradient(node)) return emit_attention(node, number);
  auto kind = product_kind(node);
  if (!kind) throw Unsupported("there is no kernel for it");
  DType t = node.in_type(0).dtype;
  if (ir::byte_size(t) == 1) throw Unsupported(concat("operator '", node.op().name, "' on ", ir::name(t)));
  Product p = *kind == ProductKind::dot ? dot(node) : convolution(node, *kind, number);
  constexpr int64_t kMost = int64_t{1} << 31;
  if (p.rows * p.columns * p.batches >= kMost || p.rows >= kMost || p.depth >= kMost)
    throw Unsupported(concat("operator '", node.op().name, "' with 2^31 results or more"));
  return ProductWriter(node, number, std::move(p)).write();
}

KernelSource emit_node(const ir::Node& node, int number) {
  return ir::is_kernel(node) ? emit_kernel(node, number) : emit_product(node, number);
}

}  // namespace mezzo::codegen::cuda
