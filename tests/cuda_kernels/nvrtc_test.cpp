// The kernels of training steps through the real NVRTC, where it is installed: they compile for every
// architecture, without register spills, and what lies side by side in memory is loaded 16 bytes at a time.
#include <atomic>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "codegen/cuda/libraries.h"
#include "comparison.h"
#include "ir/build.h"
#include "nets.h"
#include "passes/option_text.h"
#include "passes/pipeline.h"

namespace mezzo::cuda_sim {
namespace {

namespace cuda = codegen::cuda;

struct Compiled {
  std::string log, ptx;
  int error = 0;
};

Compiled compile(const cuda::NvrtcApi& api, const std::string& text, int arch) {
  std::string source = std::string(cuda::prelude()) + text, target = concat("--gpu-architecture=sm_", arch);
  std::vector<const char*> options(cuda::compile_options().begin(), cuda::compile_options().end());
  options.insert(options.end(), {target.c_str(), "--ptxas-options=-v"});
  cuda::NvrtcProgram program = nullptr;
  Compiled out;
  out.error = api.nvrtcCreateProgram(&program, source.c_str(), "kernels.cu", 0, nullptr, nullptr);
  if (out.error == 0)
    out.error = api.nvrtcCompileProgram(program, static_cast<int>(options.size()), options.data());
  auto fetch = [&](auto size, auto get, std::string& to) {
    size_t n = 0;
    if (size(program, &n) == 0 && n > 0) to.resize(n), get(program, to.data());
  };
  fetch(api.nvrtcGetProgramLogSize, api.nvrtcGetProgramLog, out.log);
  fetch(api.nvrtcGetPTXSize, api.nvrtcGetPTX, out.ptx);
  api.nvrtcDestroyProgram(&program);
  return out;
}

struct Kernel {
  std::string what, text;
  bool wide = false;    // reads packs of 16 bytes
  bool copies = false;  // copies 16 bytes at a time to shared memory

  // What a function of attention does, and with rows of which length.
  std::string attention(const std::string& function) const {
    static const std::regex head("kHead = (\\d+)"), call("attention\\.([^(]+)\\(");
    std::smatch row, does;
    std::regex_search(text, row, head);
    const std::string behind = text.substr(text.find(function + "("));
    std::regex_search(behind, does, call);
    return concat(does[1].str(), " of rows of ", row[1].str());
  }
};

// Kernels of planned graphs, equal ones once.
class Kernels {
 public:
  void add(const std::string& what, const ir::Graph& planned) {
    for (const auto& n : planned.nodes()) {
      if (ir::is_input(*n) || ir::is_state(*n) || ir::is_constant(*n) || ir::is_reshape(*n)) continue;
      if (ir::is_time_loop(*n)) {
        add(what, *n->body);
        continue;
      }
      if (!seen_.insert(cuda::emit_node(*n, 0).text).second) continue;
      cuda::KernelSource s = cuda::emit_node(*n, static_cast<int>(all_.size()));
      all_.push_back({concat(what, " ", s.detail), s.text, s.text.find(", 16>(") != std::string::npos,
                      s.text.find("TiledAttention<") != std::string::npos});
    }
  }
  const std::vector<Kernel>& all() const { return all_; }

 private:
  std::set<std::string> seen_;
  std::vector<Kernel> all_;
};

// Attention as in GPT-2 (causal, heads inside) and with everything that a weight may go through.
void add_attention(ir::Graph& g, ir::DType t, int64_t row, bool narrow, bool all) {
  auto input = [&](ir::DType type, const ir::Dims& dims) {
    return g.input(concat("x", g.nodes().size()), {type, dims});
  };
  constexpr int64_t kBatch = 4, kLength = 1024, kHeads = 12;
  const ir::Dims rows{kBatch, kLength, kHeads, row};
  ir::Values in{input(t, rows), input(t, rows), input(t, rows)};
  ir::Attrs attrs{{"scale", 0.125}, {"upper", int64_t{0}}, {"inner_heads", ir::Ints{0, 1, 2, 3}}};
  attrs["narrow_weights"] = int64_t{narrow};
  ir::Value mask, key;
  if (all) {
    attrs["softcap"] = 30.0, attrs["ratio"] = 0.1;
    mask = input(ir::DType::f32, {kBatch, 1, kLength, kLength}), key = input(ir::DType::u32, {2});
  }
  const ir::Node* y = g.add(ir::get_op("ScaledDotProductAttention"), {in[0], in[1], in[2], mask, key}, attrs);
  const ir::Node* d =
      g.add(ir::get_op("ScaledDotProductAttentionGrad"),
            {in[0], in[1], in[2], y->out(0), y->out(1), input(t, rows), mask, {}, key}, attrs);
  for (const ir::Node* n : {y, d})
    for (int i = 0; i < n->output_count(); i++)
      g.outputs.push_back({concat("y", g.outputs.size()), n->out(i)});
}

// Those of nets with the sizes of real ones, and of ops that these do not have.
Kernels kernels_of_nets() {
  Kernels out;
  auto add = [&](const char* what, Net net, const char* options) {
    out.add(what, passes::run_pipeline(std::move(net.graph), passes::read_options(options)).step);
  };
  add("dense", dense_net(256, 1024, 10), "optimizer=sgd lr=0.1 momentum=0.9");
  add("convolution", convolution_net(64, 64, 56), "low=f16 loss_scale=dynamic optimizer=sgd lr=0.1");
  add("transformer", transformer_block(8, 512, 768, 12), "low=bf16 optimizer=adamw lr=0.01 clip_norm=1");
  ir::Graph g;
  auto input = [&](ir::DType t, const ir::Dims& dims) {
    return g.input(concat("x", g.nodes().size()), {t, dims});
  };
  auto output = [&](ir::Value v) { g.outputs.push_back({concat("y", g.outputs.size()), v}); };
  for (int64_t k : {1, 40, 20000})
    for (ir::DType t : {ir::DType::bf16, ir::DType::f64})
      output(g.add(ir::get_op("TopK"), {input(t, {8, 50257})}, {{"k", k}})->out());
  output(g.add(ir::get_op("TopK"), {input(ir::DType::f32, {4096, 8})}, {{"k", int64_t{2}}})->out(1));
  output(ir::recurrence(input(ir::DType::f32, {64, 4096}), input(ir::DType::f32, {64, 4096}), 1, true));
  output(ir::recurrence({}, input(ir::DType::i64, {64, 4096}), 0, false));
  for (const ir::OpDef* op : ir::all_ops()) {
    if (op->meaning != ir::Meaning::scalar || !op->scalar.real) continue;
    ir::Values operands;
    for (int i = 0; i < op->max_inputs; i++) operands.push_back(input(ir::DType::f64, {1000}));
    output(g.add(*op, operands)->out());
  }
  constexpr int64_t kWidth = 256;
  output(g.add(ir::get_op("LSTM"),
               {input(ir::DType::f32, {16, 32, kWidth}), input(ir::DType::f32, {1, 4 * kWidth, kWidth}),
                input(ir::DType::f32, {1, 4 * kWidth, kWidth})},
               {{"hidden_size", kWidth}})
             ->out());
  for (int64_t row : {64, 128}) {
    add_attention(g, ir::DType::bf16, row, false, false);
    add_attention(g, ir::DType::bf16, row, false, true);
    add_attention(g, ir::DType::f16, row, row == 64, row == 128);
  }
  out.add("ops", passes::run_pipeline(std::move(g), {}, {.training = false, .first = "expand"}).step);
  return out;
}

TEST(CudaKernels, CompileWithoutSpills) {
  const auto& nvrtc = cuda::nvrtc_library();
  if (!nvrtc || nvrtc.library.path.find("fake_cuda") != std::string::npos) GTEST_SKIP() << "no NVRTC here";
  const Kernels all = kernels_of_nets();
  const std::vector<Kernel>& kernels = all.all();
  constexpr size_t kPerProgram = 8;
  const int archs[] = {80, 90, 100, 120};
  size_t programs = (kernels.size() + kPerProgram - 1) / kPerProgram;
  std::vector<Compiled> compiled(programs * std::size(archs));
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i = next++; i < compiled.size(); i = next++) {
      std::string text;
      for (size_t k = i / std::size(archs) * kPerProgram;
           k < std::min((i / std::size(archs) + 1) * kPerProgram, kernels.size()); k++)
        text += kernels[k].text;
      compiled[i] = compile(nvrtc.api, text, archs[i % std::size(archs)]);
    }
  };
  std::thread other(work);
  work();
  other.join();

  static const std::regex entry("Compiling entry function '([^']+)'"), spill("(\\d+) bytes spill stores"),
      used("Used (\\d+) registers");
  int functions = 0, most = 0, spills = 0;
  std::map<std::string, int> of_attention;  // registers on sm_90
  for (size_t i = 0; i < compiled.size(); i++) {
    ASSERT_EQ(compiled[i].error, 0) << compiled[i].log;
    std::istringstream lines(compiled[i].log);
    std::smatch m;
    for (std::string line, name; std::getline(lines, line);) {
      if (std::regex_search(line, m, entry)) name = m[1], functions++;
      if (std::regex_search(line, m, spill)) {
        if (m[1] == "0") continue;
        spills++;
        for (const Kernel& k : kernels)
          if (k.text.find(name + "(") != std::string::npos)
            ADD_FAILURE() << name << " for sm_" << archs[i % std::size(archs)] << " spills " << m[1]
                          << " bytes: " << k.what << "\n"
                          << k.text;
      }
      if (std::regex_search(line, m, used)) {
        most = std::max(most, std::stoi(m[1]));
        for (const Kernel& k : kernels)
          if (k.copies && archs[i % std::size(archs)] == 90 && k.text.find(name + "(") != std::string::npos) {
            int& registers = of_attention[k.attention(name)];
            registers = std::max(registers, std::stoi(m[1]));
          }
      }
    }
  }
  int wide = 0;
  for (size_t k = 0; k < kernels.size(); k++) {
    const std::string& ptx = compiled[k / kPerProgram * std::size(archs) + 1].ptx;
    const bool copies = ptx.find("cp.async.cg.shared.global") != std::string::npos;
    EXPECT_TRUE(copies || !kernels[k].copies) << kernels[k].what;
    if (!kernels[k].wide) continue;
    wide++;
    EXPECT_NE(ptx.find(".v4."), std::string::npos) << kernels[k].what;
  }
  std::cout << "NVRTC " << nvrtc.library.version << ": " << kernels.size() << " kernels, " << functions
            << " functions for 4 architectures, " << spills << " spill, at most " << most << " registers; "
            << wide << " kernels read 16 bytes at a time\n";
  for (const auto& [what, registers] : of_attention)
    std::cout << "attention on sm_90, " << what << ": at most " << registers << " registers\n";
  EXPECT_GT(functions, 200);
}

}  // namespace
}  // namespace mezzo::cuda_sim
