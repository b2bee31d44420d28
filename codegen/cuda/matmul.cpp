#include "codegen/cuda/matmul.h"

#include <cstring>
#include <limits>

#include "codegen/product_sizes.h"
#include "ir/dot_epilogue.h"
#include "mezzo/error.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr uint64_t kWorkspace = 32 << 20;  // bytes; without it most splits of the inner extent are excluded
constexpr uint32_t kAlignment =
    16;                         // of operands in bytes: the arena promises more, views into states may not
constexpr int kCandidates = 8;  // algorithms that are timed
constexpr int kRepeats = 5;     // of each
constexpr unsigned char kFilling = 0x3c;  // of operands while they are: small numbers in every type

std::optional<int> lt_type(ir::DType t) {
  switch (t) {
    case ir::DType::f32: return kLtFloat32;
    case ir::DType::f64: return kLtFloat64;
    case ir::DType::f16: return kLtFloat16;
    case ir::DType::bf16: return kLtBfloat16;
    default: return std::nullopt;
  }
}

// d such that offsets[q] = q * d, in whole matrices.
std::optional<int64_t> even_stride(const std::vector<int64_t>& offsets) {
  int64_t d = offsets.size() > 1 ? offsets[1] - offsets[0] : 0;
  for (size_t q = 0; q < offsets.size(); q++)
    if (offsets[q] != static_cast<int64_t>(q) * d) return std::nullopt;
  return d;
}

// Owns a descriptor of the library.
template <class T>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle_) destroy_(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  T* receive(int (*destroy)(T)) {
    destroy_ = destroy;
    return &handle_;
  }
  operator T() const { return handle_; }

 private:
  T handle_ = nullptr;
  int (*destroy_)(T) = nullptr;
};

}  // namespace

std::string MatmulPlan::text() const {
  std::string out =
      concat("matmul ", type, " ", out_type, " ", compute, " batch ", batch, " epilogue ", epilogue);
  if (accumulate) out += concat(" adds ", alpha);
  for (const Matrix* m : {&a, &b, &d})
    out +=
        concat(" | ", m->rows, " ", m->columns, " ", m->ld, " ", m->batch_stride, m->transposed ? " T" : "");
  return out;
}

std::optional<MatmulPlan> plan_matmul(const ir::Node& dot, ir::DType out, bool bias) {
  MatmulPlan p;
  auto type = lt_type(dot.in_type(0).dtype), out_type = lt_type(out);
  if (!type || !out_type || (bias && ir::is_low(out))) return std::nullopt;
  p.type = *type;
  p.out_type = *out_type;
  p.compute = p.type == kLtFloat64 ? kLtCompute64F : kLtCompute32F;
  p.bias = bias;
  if (bias) p.epilogue = kLtEpilogueBias;
  DotSizes s = dot_sizes(dot);
  auto stride_a = even_stride(s.a), stride_b = even_stride(s.b);
  if (!stride_a || !stride_b || s.m == 0 || s.n == 0 || s.k == 0) return std::nullopt;
  p.batch = static_cast<int64_t>(s.a.size());
  if (p.batch == 0) return std::nullopt;
  int64_t m = s.m;
  if (*stride_b == 0 && *stride_a == 1 && !s.trans_a) {  // one matrix for all batches: they are more rows
    m *= p.batch;
    p.batch = 1;
  }
  p.a = s.trans_b ? MatmulPlan::Matrix{s.k, s.n, s.k} : MatmulPlan::Matrix{s.n, s.k, s.n};
  p.a.transposed = s.trans_b;
  p.b = s.trans_a ? MatmulPlan::Matrix{m, s.k, m} : MatmulPlan::Matrix{s.k, m, s.k};
  p.b.transposed = s.trans_a;
  p.d = {s.n, m, s.n};
  if (p.batch > 1) {
    p.a.batch_stride = *stride_b * s.k * s.n;
    p.b.batch_stride = *stride_a * m * s.k;
    p.d.batch_stride = m * s.n;
  }
  return p;
}

std::optional<MatmulPlan> plan_epilogue(const ir::Node& n) {
  constexpr int64_t kAuxUnit = 8;  // elements, of the distance between columns
  auto p = plan_matmul(n, n.type().dtype, false);
  if (!p) return std::nullopt;
  p->bias = n.has(2);
  switch (ir::epilogue_of(n)) {
    case ir::Epilogue::bias: p->epilogue = kLtEpilogueBias; return p;
    case ir::Epilogue::add:
      p->accumulate = true;
      p->alpha = n.f("scale");
      return p;
    case ir::Epilogue::gelu: p->epilogue = p->bias ? kLtEpilogueGeluAuxBias : kLtEpilogueGeluAux; break;
    case ir::Epilogue::dgelu:
      p->reads_aux = true;
      p->bias_grad = n.output_count() > 1;
      p->epilogue = p->bias_grad ? kLtEpilogueDGeluBGrad : kLtEpilogueDGelu;
  }
  p->aux = true;
  if (p->batch > 1 || p->d.ld % kAuxUnit != 0 || p->compute == kLtCompute64F) return std::nullopt;
  return p;
}

// Descriptors and algorithm of one plan. Descriptors are plain data of the library: one launch at a time uses
// them.
class MatmulLaunch : public Launch {
 public:
  MatmulLaunch(const MatmulPlan& plan, const Matmuls& owner)
      : plan_(plan), api_(owner.api_), device_(owner.device_), handle_(owner.handle_) {
    const bool wide = plan.compute == kLtCompute64F;
    done(api_.cublasLtMatmulDescCreate(matmul_.receive(api_.cublasLtMatmulDescDestroy), plan.compute,
                                       wide ? kLtFloat64 : kLtFloat32));
    set(kLtTransA, int32_t{plan.a.transposed ? kLtTransposed : kLtPlain});
    set(kLtTransB, int32_t{plan.b.transposed ? kLtTransposed : kLtPlain});
    set(kLtEpilogue, static_cast<uint32_t>(plan.epilogue));
    if (plan.aux) set(kLtAuxLd, int64_t{plan.d.ld});
    layout(a_, plan.a, plan.type);
    layout(b_, plan.b, plan.type);
    layout(d_, plan.d, plan.out_type);
  }

  // The algorithm that is fastest here, as it was found once; without a cache that keeps the answer the
  // library's first choice, so that two runs agree. False where the library has none.
  bool choose(const ObjectCache& cache, const std::string& key) {
    if (auto known = cache.load(key); known && known->size() == sizeof heuristic_) {
      std::memcpy(&heuristic_, known->data(), sizeof heuristic_);
      return finish_choice();
    }
    Owned<LtPreference> preference;
    done(api_.cublasLtMatmulPreferenceCreate(preference.receive(api_.cublasLtMatmulPreferenceDestroy)));
    auto prefer = [&](int attribute, auto value) {
      done(api_.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
    };
    prefer(kLtWorkspaceBytes, kWorkspace);
    for (int alignment : {kLtAlignmentA, kLtAlignmentB, kLtAlignmentC, kLtAlignmentD})
      prefer(alignment, kAlignment);
    // Partial sums of a split inner extent stay in the type of the accumulator.
    prefer(kLtReductionSchemes, uint32_t{kLtReductionInPlace | kLtReductionInComputeType});
    point(reinterpret_cast<std::byte*>(uintptr_t{kAlignment}),  // say their alignment
          reinterpret_cast<std::byte*>(uintptr_t{kAlignment}));
    std::vector<LtHeuristic> proposals(cache.keeps() ? kCandidates : 1);
    int got = 0;
    int status =
        api_.cublasLtMatmulAlgoGetHeuristic(handle_, matmul_, a_, b_, d_, d_, preference,
                                            static_cast<int>(proposals.size()), proposals.data(), &got);
    proposals.resize(status == 0 ? static_cast<size_t>(got) : 0);
    std::erase_if(proposals, [](const LtHeuristic& h) { return h.status != 0; });
    if (proposals.empty()) return false;
    heuristic_ = proposals.size() > 1 ? fastest(proposals) : proposals[0];
    cache.store(key, {reinterpret_cast<const char*>(&heuristic_), sizeof heuristic_});
    return finish_choice();
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    done(multiply(heuristic_, arguments, scratch));
  }

 private:
  int multiply(const LtHeuristic& how, std::byte* const* arguments, std::byte* workspace) {
    std::byte *read = arguments[3], *result = arguments[4], *second = arguments[5];
    point(plan_.bias_grad ? second : arguments[2], plan_.reads_aux ? read : second);
    const double wide_alpha = plan_.alpha, wide_beta = plan_.accumulate;
    const auto alpha = static_cast<float>(wide_alpha), beta = static_cast<float>(wide_beta);
    const bool wide = plan_.compute == kLtCompute64F;
    return api_.cublasLtMatmul(handle_, matmul_, wide ? static_cast<const void*>(&wide_alpha) : &alpha,
                               arguments[1], a_, arguments[0], b_,
                               wide ? static_cast<const void*>(&wide_beta) : &beta,
                               plan_.accumulate ? read : result, d_, result, d_, &how.algo, workspace,
                               how.workspace_bytes, device_->stream());
  }

  // The two vectors and matrices beside A to D.
  void point(const std::byte* bias, const std::byte* aux) {
    if (plan_.bias || plan_.bias_grad) set(kLtBiasPointer, static_cast<const void*>(bias));
    if (plan_.aux) set(kLtAuxPointer, static_cast<const void*>(aux));
  }

  // On operands of its own; the first one where there is no memory for these.
  LtHeuristic fastest(const std::vector<LtHeuristic>& proposals) try {
    size_t workspace = 0;
    for (const LtHeuristic& p : proposals) workspace = std::max(workspace, p.workspace_bytes);
    const MatmulPlan::Matrix row{plan_.d.rows, 1, plan_.d.rows};
    const MatmulPlan::Matrix& beside = plan_.aux || plan_.accumulate ? plan_.d : row;
    DeviceMemory operands[] = {
        filled(plan_.b, plan_.type),     filled(plan_.a, plan_.type),
        filled(row, plan_.out_type),     filled(beside, plan_.out_type),
        filled(plan_.d, plan_.out_type), DeviceMemory(device_, static_cast<int64_t>(workspace))};
    std::byte* second = operands[plan_.bias_grad ? 2 : 3].data();
    std::byte* arguments[] = {operands[0].data(), operands[1].data(), operands[2].data(),
                              operands[3].data(), operands[4].data(), second};
    DeviceTimer timer(device_);
    const LtHeuristic* best = &proposals[0];
    float least = std::numeric_limits<float>::infinity();
    for (const LtHeuristic& p : proposals) {
      if (multiply(p, arguments, operands[5].data()) != 0) continue;
      timer.start();
      for (int k = 0; k < kRepeats; k++) done(multiply(p, arguments, operands[5].data()));
      if (const float now = timer.milliseconds(); now < least) least = now, best = &p;
    }
    return *best;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::out_of_memory) throw;
    return proposals[0];
  }

  DeviceMemory filled(const MatmulPlan::Matrix& m, int type) const {
    const int64_t size = type == kLtFloat64 ? 8 : type == kLtFloat32 ? 4 : 2;
    DeviceMemory memory(device_, ((plan_.batch - 1) * m.batch_stride + m.ld * m.columns) * size);
    device_->check(device_->api().cuMemsetD8Async(address(memory.data()), kFilling,
                                                  static_cast<size_t>(memory.bytes()), device_->stream()),
                   "filling operands");
    return memory;
  }
  bool finish_choice() {
    scratch_bytes = static_cast<int64_t>(heuristic_.workspace_bytes);
    info.detail = concat("cuBLASLt", plan_.bias ? " +bias" : "",
                         plan_.aux ? plan_.reads_aux ? " +dgelu" : " +gelu" : "",
                         plan_.bias_grad ? " +bias gradient" : "", plan_.accumulate ? " +add" : "",
                         plan_.batch > 1 ? concat(" x", plan_.batch) : "");
    return true;
  }
  void done(int status) const {
    if (status == 0) return;
    const char* text = api_.cublasLtGetStatusString ? api_.cublasLtGetStatusString(status) : nullptr;
    throw InternalError(
        concat("cuBLASLt: status ", status, text ? concat(" (", text, ")") : "", " in ", plan_.text()));
  }
  template <class T>
  void set(int attribute, T value) {
    done(api_.cublasLtMatmulDescSetAttribute(matmul_, attribute, &value, sizeof value));
  }
  void layout(Owned<LtLayout>& to, const MatmulPlan::Matrix& m, int type) {
    done(api_.cublasLtMatrixLayoutCreate(to.receive(api_.cublasLtMatrixLayoutDestroy), type,
                                         static_cast<uint64_t>(m.rows), static_cast<uint64_t>(m.columns),
                                         m.ld));
    if (plan_.batch == 1) return;
    auto count = static_cast<int32_t>(plan_.batch);
    done(api_.cublasLtMatrixLayoutSetAttribute(to, kLtBatchCount, &count, sizeof count));
    done(api_.cublasLtMatrixLayoutSetAttribute(to, kLtBatchStride, &m.batch_stride, sizeof m.batch_stride));
  }

  MatmulPlan plan_;
  const CublasLtApi& api_;
  std::shared_ptr<CudaDevice> device_;
  LtHandle handle_;
  Owned<LtMatmul> matmul_;
  Owned<LtLayout> a_, b_, d_;
  LtHeuristic heuristic_{};
};

Matmuls::Matmuls(const CublasLtApi& api, std::shared_ptr<CudaDevice> device, const std::string& cache_dir)
    : api_(api), device_(std::move(device)), cache_(cache_dir) {
  device_->make_current();
  if (int status = api_.cublasLtCreate(&handle_); status != 0)
    throw Error(ErrorCode::unsupported, concat("cuBLASLt does not start on the device: status ", status),
                "cuda",
                "it may be of another CUDA version than the driver (`mezzo doctor`); MEZZO_DEBUG=no_cublaslt "
                "uses own "
                "kernels instead");
}

Matmuls::~Matmuls() { api_.cublasLtDestroy(handle_); }

std::unique_ptr<Launch> Matmuls::add(const MatmulPlan& plan) {
  device_->make_current();
  auto launch = std::make_unique<MatmulLaunch>(plan, *this);
  std::string key = ObjectCache::key(concat("mezzo cublaslt 3\n", api_.cublasLtGetVersion(), "\n",
                                            device_->name(), " ", device_->arch(), "\n", plan.text()));
  if (!launch->choose(cache_, key)) return nullptr;
  return launch;
}

}  // namespace mezzo::codegen::cuda
