// onednn.cpp: matrix products and convolutions through oneDNN, 2.6 (operation descriptors) and 3.x (none).
#include "codegen/cpu/products.h"

#ifdef MEZZO_ONEDNN
#include <omp.h>

#include <algorithm>
#include <dnnl.hpp>

#include "ir/op.h"

namespace mezzo::codegen::cpu {
namespace {

using dnnl::memory;
using Dims = memory::dims;

// The library decides about threads by this number, when a primitive is made and when it runs.
class OmpThreads {
 public:
  explicit OmpThreads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~OmpThreads() { omp_set_num_threads(before_); }
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  int before_;
};

// Below this many operations waking a second thread costs more than it brings.
constexpr int64_t kParallelFlops = 4000000;

dnnl::engine& engine() {
  static dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

std::optional<memory::data_type> type_of(ir::DType t) {
  switch (t) {
    case ir::DType::f32: return memory::data_type::f32;
    case ir::DType::bf16: return memory::data_type::bf16;
    case ir::DType::f16: return memory::data_type::f16;
    default: return std::nullopt;
  }
}

// What a pointer means: sizes in the library's logical order, strides in elements.
struct View {
  Dims dims, strides;
  memory::desc desc(memory::data_type type) const { return {dims, type, strides}; }
  memory::desc any(memory::data_type type) const { return {dims, type, memory::format_tag::any}; }
};

struct Argument {
  int id;          // DNNL_ARG_...
  size_t pointer;  // number among the launch's arguments
  memory::desc user;
  bool written = false;
};

// A primitive held for one node, with its memory objects. Arguments the library wants in another layout are
// copied through the scratch.
class Primitive : public Launch {
 public:
  template <class P>
  Primitive(P, const typename P::primitive_desc& description, const std::vector<Argument>& arguments,
            int threads)
      : primitive_(P(description)), stream_(engine()), threads_(threads) {
    info.detail = std::string("onednn ") + description.impl_info_str();
    memory pad(description.scratchpad_desc(), engine(), nullptr);
    ports_.push_back({0, pad, pad, {}, {}, reserve(description.scratchpad_desc()), true});
    arguments_.emplace(DNNL_ARG_SCRATCHPAD, pad);
    for (const Argument& a : arguments) {
      memory::desc chosen = description.query_md(dnnl::query::exec_arg_md, a.id);
      Port p{a.pointer, memory(a.user, engine(), nullptr), {}, {}, {}, 0, chosen != a.user};
      p.own = p.user;
      if (p.scratch) {
        p.own = memory(chosen, engine(), nullptr);
        p.offset = reserve(chosen);
        (a.written ? p.after : p.before) =
            a.written ? dnnl::reorder(p.own, p.user) : dnnl::reorder(p.user, p.own);
        info.detail += " +copy";
      }
      arguments_.emplace(a.id, p.own);
      ports_.push_back(std::move(p));
    }
  }

  void run(std::byte* const* pointers, std::byte* scratch) override {
    OmpThreads limit(threads_);
    for (size_t i = 0; i < ports_.size(); i++) {
      Port& p = ports_[i];
      if (p.scratch) p.own.set_data_handle(scratch + p.offset);
      if (i > 0) p.user.set_data_handle(pointers[p.pointer]);
      if (p.before) p.before.execute(stream_, p.user, p.own);
    }
    primitive_.execute(stream_, arguments_);
    for (Port& p : ports_)
      if (p.after) p.after.execute(stream_, p.own, p.user);
    stream_.wait();
  }

 private:
  struct Port {
    size_t pointer;
    memory user, own;  // the same object where the layouts agree
    dnnl::reorder before, after;
    int64_t offset;
    bool scratch;
  };
  int64_t reserve(const memory::desc& d) {
    int64_t at = scratch_bytes;
    scratch_bytes += (static_cast<int64_t>(d.get_size()) + 63) / 64 * 64;
    return at;
  }

  dnnl::primitive primitive_;
  dnnl::stream stream_;
  std::vector<Port> ports_;
  std::unordered_map<int, memory> arguments_;
  int threads_;
};

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr a;
  a.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return a;
}

// 2.6: primitive_desc(desc(arguments...), attributes, engine[, hint]); 3.x: primitive_desc(engine,
// arguments...[, hint], attributes).
template <class P, class... A>
typename P::primitive_desc describe_forward(const A&... a) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), a..., attributes()};
#else
  return {typename P::desc(a...), attributes(), engine()};
#endif
}
template <class P, class H, class... A>
typename P::primitive_desc describe_backward(const H& hint, const A&... a) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), a..., hint, attributes()};
#else
  return {typename P::desc(a...), attributes(), engine(), hint};
#endif
}

// The operand's matrices as a tensor of `rank` dims: batch axes of extent 1 in front where it has fewer.
View matrix_view(const ir::Type& t, bool transposed, size_t rank) {
  View v;
  v.dims.assign(rank - t.dims.size(), 1);
  v.dims.insert(v.dims.end(), t.dims.begin(), t.dims.end());
  v.strides.assign(rank, 0);
  int64_t step = 1;
  for (size_t i = rank; i-- > 0;) {
    v.strides[i] = step;
    step *= v.dims[i];
  }
  if (transposed) {
    std::swap(v.dims[rank - 1], v.dims[rank - 2]);
    std::swap(v.strides[rank - 1], v.strides[rank - 2]);
  }
  return v;
}

std::unique_ptr<Launch> dot(const ir::Node& n, memory::data_type in, memory::data_type out,
                            memory::data_type bias_type, int threads) {
  auto rank = static_cast<size_t>(n.type().rank());
  View a = matrix_view(n.in_type(0), n.i("trans_a") != 0, rank),
       b = matrix_view(n.in_type(1), n.i("trans_b") != 0, rank), y = matrix_view(n.type(), false, rank);
  // One matrix b for all batches of a: the batches are rows of one product.
  bool one_b = std::all_of(b.dims.begin(), b.dims.end() - 2, [](int64_t d) { return d == 1; });
  if (rank > 2 && one_b && n.i("trans_a") == 0 && n.in_type(0).rank() == n.type().rank()) {
    int64_t rows = n.type().count() / std::max<int64_t>(y.dims.back(), 1);
    int64_t k = a.dims.back(), columns = y.dims.back();
    a = {{rows, k}, {k, 1}};
    y = {{rows, columns}, {columns, 1}};
    b = {{b.dims[rank - 2], b.dims[rank - 1]}, {b.strides[rank - 2], b.strides[rank - 1]}};
    rank = 2;
  }
  std::vector<Argument> arguments{{DNNL_ARG_SRC, 0, a.desc(in)}, {DNNL_ARG_WEIGHTS, 1, b.desc(in)}};
  size_t result = n.input_count();
  arguments.push_back({DNNL_ARG_DST, result, y.desc(out), true});
  if (!n.has(2))
    return std::make_unique<Primitive>(dnnl::matmul(),
                                       describe_forward<dnnl::matmul>(a.desc(in), b.desc(in), y.desc(out)),
                                       arguments, threads);
  View bias{Dims(rank, 1), Dims(rank, y.dims.back())};
  bias.dims.back() = y.dims.back();
  bias.strides.back() = 1;
  arguments.push_back({DNNL_ARG_BIAS, 2, bias.desc(bias_type)});
  return std::make_unique<Primitive>(
      dnnl::matmul(),
      describe_forward<dnnl::matmul>(a.desc(in), b.desc(in), bias.desc(bias_type), y.desc(out)), arguments,
      threads);
}

// Activations in the library's order N, C, spatial; weights as G, M/G, C/G, kernel where there are groups.
View activation_view(const ir::Dims& dims, bool channels_last) {
  ir::Dims strides = ir::strides_of(dims);
  View v{Dims(dims.begin(), dims.end()), Dims(strides.begin(), strides.end())};
  if (!channels_last) return v;
  auto to_second = [](Dims& d) { std::rotate(d.begin() + 1, d.end() - 1, d.end()); };
  to_second(v.dims);
  to_second(v.strides);
  return v;
}
View weight_view(const ir::Dims& dims, int64_t groups) {
  ir::Dims strides = ir::strides_of(dims);
  View v{Dims(dims.begin(), dims.end()), Dims(strides.begin(), strides.end())};
  if (groups == 1) return v;
  v.dims[0] /= groups;
  v.dims.insert(v.dims.begin(), groups);
  v.strides.insert(v.strides.begin(), v.dims[1] * v.strides[0]);
  return v;
}

// The library gathers what a strided convolution with a kernel of one element reads. Seen in 2.6: where the
// last block of input channels is not full, that overruns its memory, and weight gradients are wrong.
bool overruns(const View& w, const Dims& strides) {
  constexpr int64_t kChannelBlock = 16;
  const size_t spatial = strides.size();
  return std::all_of(w.dims.end() - static_cast<std::ptrdiff_t>(spatial), w.dims.end(),
                     [](int64_t d) { return d == 1; }) &&
         std::any_of(strides.begin(), strides.end(), [](int64_t s) { return s > 1; }) &&
         w.dims[w.dims.size() - spatial - 1] % kChannelBlock != 0;
}

std::unique_ptr<Launch> convolution(const ir::Node& n, ProductKind kind, memory::data_type in,
                                    memory::data_type out, memory::data_type bias_type, int threads) {
  bool last = n.i("channels_last") != 0;
  const auto [xd, wd, yd] = convolution_dims(n, kind);
  View x = activation_view(xd, last), y = activation_view(yd, last), w = weight_view(wd, n.i("groups"));
  auto dims = [&](const char* name) {
    const ir::Ints& v = n.ints(name);
    return Dims(v.begin(), v.end());
  };
  Dims strides = dims("strides"), dilations = dims("dilations"), begin = dims("pads_begin"),
       end = dims("pads_end");
  if (overruns(w, strides)) return nullptr;
  for (int64_t& d : dilations) d--;
  for (const Dims& pads : {begin, end})
    for (int64_t p : pads)
      if (p < 0) return nullptr;
  auto algorithm = dnnl::algorithm::convolution_direct;
  // Channels-last activations are read and written in place; in NCHW the library's blocked layouts win even
  // with copies.
  auto layout = [&](const View& v, memory::data_type t) { return last ? v.desc(t) : v.any(t); };
  size_t result = n.input_count();
  auto forward = [&](memory::data_type result_type) {
    return describe_forward<dnnl::convolution_forward>(dnnl::prop_kind::forward_training, algorithm,
                                                       layout(x, in), w.any(in), layout(y, result_type),
                                                       strides, dilations, begin, end);
  };
  switch (kind) {
    case ProductKind::convolution: {
      std::vector<Argument> arguments{{DNNL_ARG_SRC, 0, x.desc(in)},
                                      {DNNL_ARG_WEIGHTS, 1, w.desc(in)},
                                      {DNNL_ARG_DST, result, y.desc(out), true}};
      if (!n.has(2))
        return std::make_unique<Primitive>(dnnl::convolution_forward(), forward(out), arguments, threads);
      memory::desc bias(Dims{n.in_type(2).dims[0]}, bias_type, memory::format_tag::a);
      arguments.push_back({DNNL_ARG_BIAS, 2, bias});
      auto pd = describe_forward<dnnl::convolution_forward>(dnnl::prop_kind::forward_training, algorithm,
                                                            layout(x, in), w.any(in), bias, layout(y, out),
                                                            strides, dilations, begin, end);
      return std::make_unique<Primitive>(dnnl::convolution_forward(), pd, arguments, threads);
    }
    case ProductKind::input_grad: {
      auto pd = describe_backward<dnnl::convolution_backward_data>(
          forward(in), algorithm, layout(x, out), w.any(in), layout(y, in), strides, dilations, begin, end);
      return std::make_unique<Primitive>(
          dnnl::convolution_backward_data(), pd,
          std::vector<Argument>{{DNNL_ARG_DIFF_DST, 0, y.desc(in)},
                                {DNNL_ARG_WEIGHTS, 1, w.desc(in)},
                                {DNNL_ARG_DIFF_SRC, result, x.desc(out), true}},
          threads);
    }
    default: {
      auto pd = describe_backward<dnnl::convolution_backward_weights>(
          forward(in), algorithm, layout(x, in), w.any(out), layout(y, in), strides, dilations, begin, end);
      return std::make_unique<Primitive>(
          dnnl::convolution_backward_weights(), pd,
          std::vector<Argument>{{DNNL_ARG_SRC, 0, x.desc(in)},
                                {DNNL_ARG_DIFF_DST, 1, y.desc(in)},
                                {DNNL_ARG_DIFF_WEIGHTS, result, w.desc(out), true}},
          threads);
    }
  }
}

}  // namespace

std::unique_ptr<Launch> onednn_product(const ir::Node& node, ProductKind kind, ir::DType operands,
                                       ir::DType result, Threads threads) {
  auto in = type_of(operands), out = type_of(result);
  if (!in || !out || node.type().count() == 0 || node.in_type(0).count() == 0) return nullptr;
  int count = product_flops(node, kind) < kParallelFlops ? 1 : threads.count;
  OmpThreads limit(count);
  try {
    if (kind == ProductKind::dot) return dot(node, *in, *out, memory::data_type::f32, count);
    return convolution(node, kind, *in, *out, memory::data_type::f32, count);
  } catch (const dnnl::error&) {
    return nullptr;  // not implemented for these types or sizes on this machine
  }
}

bool onednn_multiply_tile(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, bool add, float* c,
                          int64_t c_stride) {
  OmpThreads limit(1);
  return dnnl::sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, 1, a.data, a.stride, b.data,
                     b.stride, add ? 1 : 0, c, c_stride) == dnnl::status::success;
}

}  // namespace mezzo::codegen::cpu

#else

namespace mezzo::codegen::cpu {
std::unique_ptr<Launch> onednn_product(const ir::Node&, ProductKind, ir::DType, ir::DType, Threads) {
  return nullptr;
}
bool onednn_multiply_tile(int64_t, int64_t, int64_t, Matrix, Matrix, bool, float*, int64_t) { return false; }
}  // namespace mezzo::codegen::cpu

#endif
