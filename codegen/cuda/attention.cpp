// attention.cpp: sizes and launches of the attention kernels (attention.cuh).
#include "ir/attention.h"

#include "codegen/cuda/own_kernels.h"
#include "codegen/cuda/text_emitter.h"
#include "ir/philox.h"

namespace mezzo::codegen::cuda {
namespace {

using ir::DType;
using In = ir::AttentionInput;

constexpr int kWarps = 4;  // of a block

std::string sizes_text(const std::string& name, const ir::AttentionSizes& s, DType sum) {
  std::string text = concat("struct ", name, " {\n  using Sum = ", register_type(sum), ";\n");
  auto constant = [&](std::string_view type, const std::string& what, int64_t v) {
    text += concat("  static constexpr ", type, " ", what, " = ", v, ";\n");
  };
  constant("i32", "kHeads", s.heads);
  constant("i32", "kKvHeads", s.kv_heads);
  constant("i32", "kGroup", s.group());
  constant("i32", "kQueries", s.queries);
  constant("i32", "kKeys", s.keys);
  constant("i32", "kHead", s.head);
  constant("i32", "kValue", s.value);
  constant("i32", "kMask", s.has_mask ? 1 + s.mask_is_float : 0);
  constant("bool", "kSoftcap", s.softcap > 0);
  constant("bool", "kDrops", s.dropout.has_value());
  const ir::AttentionDropout dropout = s.dropout.value_or(ir::AttentionDropout{});
  constant("u32", "kStream", dropout.stream);
  constant("u32", "kThreshold", dropout.threshold);
  constant("u32", "kMultiplier", ir::kPhiloxMultiplier);
  constant("u32", "kKeyStep", ir::kPhiloxKeyStep);
  constant("i32", "kRounds", ir::kPhiloxRounds);
  constant("i64", "kLower", s.lower);
  constant("i64", "kUpper", s.upper);
  std::string_view letters = "qkvy";
  const ir::AttentionStrides* strides[] = {&s.q, &s.k, &s.v, &s.y};
  for (size_t i = 0; i < 4; i++) {
    constant("i64", concat(letters[i], 0), strides[i]->batch);
    constant("i64", concat(letters[i], 1), strides[i]->head);
    constant("i64", concat(letters[i], 2), strides[i]->row);
    constant("i64", concat("m", i), s.mask[i]);
  }
  for (auto [what, v] :
       {std::pair("scale", s.scale), std::pair("softcap", s.softcap), std::pair("factor", dropout.factor)})
    text += concat("  static DEVICE Sum ", what, "() { return ", literal(sum, {v, 0}), "; }\n");
  return text + "};\n";
}

class AttentionWriter {
 public:
  AttentionWriter(const ir::Node& node, int number)
      : node_(node),
        s_(ir::attention_sizes(node)),
        type_(node.in_type(In::q).dtype),
        sum_(ir::compute_type(type_)),
        name_(concat("k", number)),
        mask_(ir::attention_mask_input(node)),
        key_(ir::attention_key_input(node)) {
    constexpr int64_t kMost = int64_t{1} << 30;
    if (s_.batch * s_.heads * s_.queries > kMost || s_.batch * s_.kv_heads * s_.keys > kMost ||
        s_.head > 512 || s_.value > 512)
      throw Unsupported(concat("operator '", node.op().name, "' of this size"));
    out_.text = sizes_text(name_ + "_sizes", s_, sum_);
    out_.detail = "own attention, a warp per row";
  }

  KernelSource forward() {
    launch(queries(), result(0),
           [&] { return concat("forward(", at(result(0)), ", ", at(result(1)), ", n)"); }, {result(1)}, {});
    return std::move(out_);
  }

  KernelSource gradient() {
    bool more = node_.has(In::d_log_sum_exp), scores = node_.output_count() > 3;
    out_.scratch_bytes.push_back(std::max<int64_t>(queries(), 1) * ir::byte_size(sum_));
    std::vector<int> written{-1}, read{In::y, In::log_sum_exp, In::dy};
    if (scores) written.push_back(result(3));
    if (more) read.push_back(In::d_log_sum_exp);
    launch(
        queries(), result(0),
        [&] {
          return concat("query_gradient(a3, a4, a5, ", more ? at(In::d_log_sum_exp) : "nullptr", ", ",
                        at(result(0)), ", ", scores ? at(result(3)) : "nullptr", ", t0, n)");
        },
        written, read);
    launch(s_.batch * s_.kv_heads * s_.keys, result(1),
           [&] { return concat("key_gradient(a4, a5, ", at(result(1)), ", ", at(result(2)), ", t0, n)"); },
           {result(2)}, {In::log_sum_exp, In::dy, -1});
    return std::move(out_);
  }

 private:
  int result(int k) const { return static_cast<int>(node_.input_count()) + k; }
  int64_t queries() const { return s_.batch * s_.heads * s_.queries; }
  static std::string at(int argument) { return argument < 0 ? "t0" : concat("a", argument); }

  DType type_of(int argument) const {
    if (argument < 0) return sum_;
    auto i = static_cast<size_t>(argument);
    return i < node_.input_count() ? node_.in_type(i).dtype : node_.type(argument - result(0)).dtype;
  }

  // One warp for each of `count`; `also` are further results, `read` further operands beside Q, K, V and
  // mask.
  template <class F>
  void launch(int64_t count, int main_result, F call, std::vector<int> also, const std::vector<int>& read) {
    if (count == 0) return;
    std::string function = concat(name_, "_", out_.launches.size()), list;
    std::vector<int> arguments{In::q, In::k, In::v};
    if (s_.has_mask) arguments.push_back(static_cast<int>(mask_));
    if (s_.dropout) arguments.push_back(static_cast<int>(key_));
    arguments.insert(arguments.end(), read.begin(), read.end());
    size_t fetched = arguments.size();
    also.insert(also.begin(), main_result);
    arguments.insert(arguments.end(), also.begin(), also.end());
    for (size_t i = 0; i < arguments.size(); i++)
      list += concat(i ? ", " : "", i < fetched ? "const " : "", memory_type(type_of(arguments[i])),
                     i < fetched ? "* __restrict__ " : "* ", at(arguments[i]));
    std::string_view mask = s_.has_mask ? memory_type(type_of(static_cast<int>(mask_))) : "u8";
    out_.text +=
        concat("KERNEL(", 32 * kWarps, ")\n", function, "(", list, ") {\n  const i32 n = block_number() * ",
               kWarps, " + thread_number() / 32;\n  if (n >= ", count, ") return;\n  const Attention<", name_,
               "_sizes, ", ir::name(type_), ", ", mask, "> attention = {a0, a1, a2, ",
               s_.has_mask ? at(static_cast<int>(mask_)) : "nullptr", ", ",
               s_.dropout ? at(static_cast<int>(key_)) : "nullptr", "};\n  attention.", call(), ";\n}\n");
    auto blocks = static_cast<unsigned>((count + kWarps - 1) / kWarps);
    out_.launches.push_back({function, {blocks}, {32 * kWarps}, 0, std::move(arguments)});
  }

  const ir::Node& node_;
  ir::AttentionSizes s_;
  DType type_, sum_;
  std::string name_;
  size_t mask_, key_;
  KernelSource out_;
};

}  // namespace

KernelSource emit_attention(const ir::Node& node, int number) {
  AttentionWriter writer(node, number);
  return ir::is_attention(node) ? writer.forward() : writer.gradient();
}

}  // namespace mezzo::codegen::cuda
