// attention.cpp: sizes and launches of the attention kernels (attention.cuh, tiled_attention.cuh).
#include "ir/attention.h"

#include "codegen/cuda/own_kernels.h"
#include "codegen/cuda/text_emitter.h"
#include "ir/philox.h"

namespace mezzo::codegen::cuda {
namespace {

using ir::DType;
using In = ir::AttentionInput;

constexpr int kWarps = 4;  // of a block
// tiled_attention.cuh: rows of a block's tile, of which each warp has 16, and threads of a block.
constexpr int64_t kDown = 64;
constexpr int kTileThreads = 128;

// Neighbouring threads that share a row of V, one for each piece of 16 bytes of 16-bit elements.
int64_t lanes_of_row(int64_t row) {
  int64_t lanes = 1;
  while (lanes * 8 < row) lanes *= 2;
  return lanes;
}

std::string sizes_text(const std::string& name, const ir::AttentionSizes& s, DType sum, bool narrow) {
  std::string text = concat("struct ", name, " {\n  using Sum = ", register_type(sum), ";\n");
  auto constant = [&](std::string_view type, const std::string& what, int64_t v) {
    text += concat("  static constexpr ", type, " ", what, " = ", v, ";\n");
  };
  constant("i32", "kBatch", s.batch);
  constant("i32", "kHeads", s.heads);
  constant("i32", "kKvHeads", s.kv_heads);
  constant("i32", "kGroup", s.group());
  constant("i32", "kQueries", s.queries);
  constant("i32", "kKeys", s.keys);
  constant("i32", "kHead", s.head);
  constant("i32", "kValue", s.value);
  constant("i32", "kDown", kDown);
  constant("i32", "kTileThreads", kTileThreads);
  constant("i32", "kLanes", lanes_of_row(s.value));
  constant("i32", "kMask", s.has_mask ? 1 + s.mask_is_float : 0);
  constant("bool", "kSoftcap", s.softcap > 0);
  constant("bool", "kNarrow", narrow);
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
    out_.text = sizes_text(name_ + "_sizes", s_, sum_, node.i("narrow_weights") != 0);
    tiled_ = has_tiles();
    out_.detail =
        tiled_ ? concat("own attention, tiles of ", kDown, " by ", wide()) : "own attention, a warp per row";
  }

  KernelSource forward() {
    const std::vector<int> written{result(0), result(1)};
    const std::string results = concat("forward(", at(result(0)), ", ", at(result(1)), ", ");
    if (tiled_)
      launch(tiles_of_queries(), results + "block_number())", written, {});
    else
      launch(warps(queries()), results + "n)", written, {});
    return std::move(out_);
  }

  KernelSource gradient() { return tiled_ ? gradient_by_tiles() : gradient_by_warps(); }

 private:
  KernelSource gradient_by_tiles() {
    const int64_t rows = padded_queries();
    out_.scratch_bytes.push_back(std::max<int64_t>(rows, 1) * 2 * ir::byte_size(sum_));
    std::vector<int> read{In::y, In::log_sum_exp, In::dy};
    const bool more = node_.has(In::d_log_sum_exp);
    if (more) read.push_back(In::d_log_sum_exp);
    launch(tiles(quotient_up(rows * lanes_of_row(s_.value), kTileThreads)),
           concat("facts(a3, a4, a5, ", more ? at(In::d_log_sum_exp) : "nullptr", ", t0)"), {-1}, read);
    launch(tiles_of_queries(), concat("query_gradient(a5, t0, ", at(result(0)), ", block_number())"),
           {result(0)}, {In::dy, -1});
    auto keys = [&](std::string_view which, const std::vector<int>& written) {
      launch(tiles(s_.batch * s_.kv_heads * quotient_up(s_.keys, kDown)),
             concat("key_gradient<", which, ">(a5, t0, ", at(written.front()), ", ", at(written.back()),
                    ", block_number())"),
             written, {In::dy, -1});
    };
    // The sums of long rows do not fit into the registers of one kernel.
    if (long_rows()) {
      keys("true, false", {result(1)});
      keys("false, true", {result(2)});
    } else {
      keys("true, true", {result(1), result(2)});
    }
    return std::move(out_);
  }

  KernelSource gradient_by_warps() {
    const bool more = node_.has(In::d_log_sum_exp), scores = node_.output_count() > 3;
    out_.scratch_bytes.push_back(std::max<int64_t>(queries(), 1) * ir::byte_size(sum_));
    std::vector<int> read{In::y, In::log_sum_exp, In::dy}, written{result(0), -1};
    if (scores) written.push_back(result(3));
    if (more) read.push_back(In::d_log_sum_exp);
    launch(warps(queries()),
           concat("query_gradient(a3, a4, a5, ", more ? at(In::d_log_sum_exp) : "nullptr", ", ",
                  at(result(0)), ", ", scores ? at(result(3)) : "nullptr", ", t0, n)"),
           written, read);
    launch(warps(s_.batch * s_.kv_heads * s_.keys),
           concat("key_gradient(a4, a5, ", at(result(1)), ", ", at(result(2)), ", t0, n)"),
           {result(1), result(2)}, {In::log_sum_exp, In::dy, -1});
    return std::move(out_);
  }

  // How a function is shared out over blocks.
  struct Work {
    std::string_view kind;  // the struct that has it
    int64_t blocks;
    int threads;
    std::string begin = {};  // of its text
    int beside = 1;          // blocks that share a multiprocessor
  };

  // A warp for each of `count`, which is `n`.
  static Work warps(int64_t count) {
    return {"Attention", quotient_up(count, kWarps), 32 * kWarps,
            concat("  const i32 n = block_number() * ", kWarps,
                   " + thread_number() / 32;\n  if (n >= ", count, ") return;\n")};
  }
  static Work tiles(int64_t blocks, int beside = 1) {
    return {"TiledAttention", blocks, kTileThreads, {}, beside};
  }
  // Three blocks have 168 registers a thread, which is enough for one result with short rows. Left alone, the
  // compiler takes a few more, and a third of the warps is lost.
  Work tiles_of_queries() const { return tiles(query_tiles(), long_rows() ? 1 : 3); }

  // Whether tiled_attention.cuh has it: rows are carried 16 bytes at a time.
  bool has_tiles() const {
    auto fits = [](int64_t row) { return row > 0 && row % 8 == 0 && row <= 128; };
    const bool scores = node_.output_count() > 3;
    // An f16 weight must stay in range.
    const bool in_range = !s_.dropout || s_.dropout->factor <= 1024;
    // Numbers of rows, filled up to tiles, and of threads that look at them are i32.
    const bool countable = padded_queries() < int64_t{1} << 27;
    return ir::is_low(type_) && fits(s_.head) && fits(s_.value) && s_.keys > 0 && !scores && in_range &&
           countable;
  }
  bool long_rows() const { return std::max(s_.head, s_.value) > 64; }
  // Rows of the tiles that go by: what registers have room for.
  int wide() const { return ir::is_attention(node_) && !long_rows() ? 64 : 32; }

  int result(int k) const { return static_cast<int>(node_.input_count()) + k; }
  int64_t padded_queries() const { return query_tiles() * kDown; }
  int64_t query_tiles() const { return s_.batch * s_.heads * quotient_up(s_.queries, kDown); }
  int64_t queries() const { return s_.batch * s_.heads * s_.queries; }
  static std::string at(int argument) { return argument < 0 ? "t0" : concat("a", argument); }

  DType type_of(int argument) const {
    if (argument < 0) return sum_;
    auto i = static_cast<size_t>(argument);
    return i < node_.input_count() ? node_.in_type(i).dtype : node_.type(argument - result(0)).dtype;
  }

  // `read`: operands beside Q, K, V, mask and random key.
  void launch(const Work& work, const std::string& call, const std::vector<int>& written,
              const std::vector<int>& read) {
    if (work.blocks == 0) return;
    std::string function = concat(name_, "_", out_.launches.size()), list;
    std::vector<int> arguments{In::q, In::k, In::v};
    if (s_.has_mask) arguments.push_back(static_cast<int>(mask_));
    if (s_.dropout) arguments.push_back(static_cast<int>(key_));
    arguments.insert(arguments.end(), read.begin(), read.end());
    size_t fetched = arguments.size();
    arguments.insert(arguments.end(), written.begin(), written.end());
    for (size_t i = 0; i < arguments.size(); i++)
      list += concat(i ? ", " : "", i < fetched ? "const " : "", memory_type(type_of(arguments[i])),
                     i < fetched ? "* __restrict__ " : "* ", at(arguments[i]));
    std::string_view mask = s_.has_mask ? memory_type(type_of(static_cast<int>(mask_))) : "u8";
    const std::string head = work.beside > 1 ? concat("KERNEL_BESIDE(", work.threads, ", ", work.beside, ")")
                                             : concat("KERNEL(", work.threads, ")");
    out_.text +=
        concat(head, "\n", function, "(", list, ") {\n", work.begin, "  const ", work.kind, "<", name_,
               "_sizes, ", ir::name(type_), ", ", mask, tiled_ ? concat(", ", wide()) : "",
               "> attention = {a0, a1, a2, ", s_.has_mask ? at(static_cast<int>(mask_)) : "nullptr", ", ",
               s_.dropout ? at(static_cast<int>(key_)) : "nullptr", "};\n  attention.", call, ";\n}\n");
    out_.launches.push_back({function,
                             {static_cast<unsigned>(work.blocks)},
                             {static_cast<unsigned>(work.threads)},
                             0,
                             std::move(arguments)});
  }

  const ir::Node& node_;
  ir::AttentionSizes s_;
  DType type_, sum_;
  std::string name_;
  size_t mask_, key_;
  bool tiled_ = false;
  KernelSource out_;
};

}  // namespace

KernelSource emit_attention(const ir::Node& node, int number) {
  AttentionWriter writer(node, number);
  return ir::is_attention(node) ? writer.forward() : writer.gradient();
}

}  // namespace mezzo::codegen::cuda
