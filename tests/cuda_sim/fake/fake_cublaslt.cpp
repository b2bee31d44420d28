// fake_cublaslt.cpp: a library with cuBLASLt's functions that multiplies on the host: column-major, as the
// real one, with its conventions for transposition, batches and epilogues, and its rules for what these read
// and write; sums in double. Work goes to the fake driver's stream through a host function of it, so that
// captures see it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "codegen/cuda/cublaslt_api.h"
#include "tests/cuda_sim/fake/element.h"
#include "tests/cuda_sim/fake/fake_cuda.h"

using namespace mezzo::codegen::cuda;
using namespace mezzo::fake_cuda;

namespace {

constexpr int kInvalid = 7;

// As the heuristics propose them.
struct Algorithm {
  uint64_t number;
  int status;
  double milliseconds;
};
constexpr Algorithm kAlgorithms[] = {{41, 0, 2}, {42, kLtNotSupported, 0}, {43, 0, 1}};

struct Matmul {
  int compute, scale, trans_a = 0, trans_b = 0;
  uint32_t epilogue = kLtEpilogueDefault;
  void *bias = nullptr, *aux = nullptr;  // in, or out
  int64_t aux_ld = 0;

  bool is(int one) const { return epilogue == static_cast<uint32_t>(one); }
  bool has_bias() const { return is(kLtEpilogueBias) || is(kLtEpilogueGeluAuxBias); }
  bool is_gelu() const { return is(kLtEpilogueGeluAux) || is(kLtEpilogueGeluAuxBias); }
  bool is_dgelu() const { return is(kLtEpilogueDGelu) || is(kLtEpilogueDGeluBGrad); }
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t ld, stride = 0;
  int32_t batch = 1;
};

mezzo::ir::DType element_type(int type) {
  switch (type) {
    case kLtFloat32: return mezzo::ir::DType::f32;
    case kLtFloat64: return mezzo::ir::DType::f64;
    case kLtFloat16: return mezzo::ir::DType::f16;
    default: return mezzo::ir::DType::bf16;
  }
}
double read(const void* p, int type, int64_t i) { return read_element(p, element_type(type), i); }
void write(void* p, int type, int64_t i, double v) { write_element(p, element_type(type), i, v); }

// The extents of op(M).
uint64_t rows(const Layout& m, int op) { return op == kLtTransposed ? m.columns : m.rows; }
uint64_t columns(const Layout& m, int op) { return op == kLtTransposed ? m.rows : m.columns; }

// 16-byte vectors of what Gelu was computed of, in columns of whole ones; no batches of it without a stride.
bool epilogue_fits(const Matmul& m, const Layout& d) {
  if (m.is_gelu() || m.is_dgelu())
    return m.aux && reinterpret_cast<uintptr_t>(m.aux) % 16 == 0 && m.aux_ld % 8 == 0 &&
           m.aux_ld >= static_cast<int64_t>(d.rows) && d.batch == 1 &&
           (!m.is(kLtEpilogueDGeluBGrad) || m.bias) && (!m.has_bias() || m.bias);
  return m.is(kLtEpilogueDefault) || (m.is(kLtEpilogueBias) && m.bias);
}

bool fits(const Matmul& m, const Layout& a, const Layout& b, const Layout& d) {
  return epilogue_fits(m, d) && a.type == b.type && rows(a, m.trans_a) == d.rows &&
         columns(b, m.trans_b) == d.columns && columns(a, m.trans_a) == rows(b, m.trans_b) &&
         a.batch == d.batch && b.batch == d.batch && a.ld >= static_cast<int64_t>(a.rows) &&
         b.ld >= static_cast<int64_t>(b.rows) && d.ld >= static_cast<int64_t>(d.rows);
}

constexpr double kTanhScale = 0.797884560802865356, kTanhCubic = 0.044715;
double gelu_gate(double x) { return 0.5 + 0.5 * std::tanh(kTanhScale * (x + kTanhCubic * x * x * x)); }
double gelu_slope(double x) {
  const double gate = gelu_gate(x);
  return gate + x * 2 * gate * (1 - gate) * kTanhScale * (1 + 3 * kTanhCubic * x * x);
}

// What is stored of one sum.
double finish(const Matmul& m, int type, int64_t r, int64_t c, double sum) {
  if (m.has_bias()) sum += read(m.bias, type, r);
  const int64_t at = r + c * m.aux_ld;
  if (m.is_gelu()) {
    write(m.aux, type, at, sum);
    sum *= gelu_gate(sum);
  }
  return m.is_dgelu() ? sum * gelu_slope(read(m.aux, type, at)) : sum;
}

struct Scalars {
  double alpha, beta;
};

void multiply(const Matmul& m, Scalars scalars, const Layout& a, const Layout& b, const Layout& d,
              const void* pa, const void* pb, const void* pc, void* pd) {
  std::vector<double> row_sums(m.is(kLtEpilogueDGeluBGrad) ? d.rows : 0);
  const auto inner = static_cast<int64_t>(columns(a, m.trans_a));
  for (int64_t q = 0; q < d.batch; q++)
    for (int64_t c = 0; c < static_cast<int64_t>(d.columns); c++)
      for (int64_t r = 0; r < static_cast<int64_t>(d.rows); r++) {
        double sum = 0;
        for (int64_t k = 0; k < inner; k++)
          sum += read(pa, a.type, q * a.stride + (m.trans_a ? k + r * a.ld : r + k * a.ld)) *
                 read(pb, b.type, q * b.stride + (m.trans_b ? c + k * b.ld : k + c * b.ld));
        const int64_t at = q * d.stride + r + c * d.ld;
        sum *= scalars.alpha;
        if (scalars.beta != 0) sum += scalars.beta * read(pc, d.type, at);
        sum = finish(m, d.type, r, c, sum);
        if (!row_sums.empty()) row_sums[static_cast<size_t>(r)] += sum;
        write(pd, d.type, at, sum);
      }
  for (size_t r = 0; r < row_sums.size(); r++) write(m.bias, d.type, static_cast<int64_t>(r), row_sums[r]);
}

template <class T, class H>
int create(H* out, T value) {
  return *out = reinterpret_cast<H>(new T(value)), 0;
}
template <class T, class H>
int destroy(H handle) {
  return delete reinterpret_cast<T*>(handle), 0;
}
template <class T>
int take(T& to, const void* from, size_t bytes) {
  if (bytes != sizeof to) return kInvalid;
  return std::memcpy(&to, from, bytes), 0;
}

}  // namespace

extern "C" {

size_t cublasLtGetVersion() { return 130100; }
const char* cublasLtGetStatusString(int) { return "told by the fake cuBLASLt"; }
int cublasLtCreate(LtHandle* out) { return create(out, 0); }
int cublasLtDestroy(LtHandle h) { return destroy<int>(h); }
int cublasLtMatmulDescCreate(LtMatmul* out, int compute, int scale) {
  return create(out, Matmul{compute, scale});
}
int cublasLtMatmulDescDestroy(LtMatmul m) { return destroy<Matmul>(m); }
int cublasLtMatmulDescSetAttribute(LtMatmul handle, int attribute, const void* value, size_t bytes) {
  auto& m = *reinterpret_cast<Matmul*>(handle);
  switch (attribute) {
    case kLtTransA: return take(m.trans_a, value, bytes);
    case kLtTransB: return take(m.trans_b, value, bytes);
    case kLtEpilogue: return take(m.epilogue, value, bytes);
    case kLtBiasPointer: return take(m.bias, value, bytes);
    case kLtAuxPointer: return take(m.aux, value, bytes);
    case kLtAuxLd: return take(m.aux_ld, value, bytes);
    default: return kInvalid;
  }
}
int cublasLtMatrixLayoutCreate(LtLayout* out, int type, uint64_t r, uint64_t c, int64_t ld) {
  return create(out, Layout{type, r, c, ld});
}
int cublasLtMatrixLayoutDestroy(LtLayout l) { return destroy<Layout>(l); }
int cublasLtMatrixLayoutSetAttribute(LtLayout handle, int attribute, const void* value, size_t bytes) {
  auto& l = *reinterpret_cast<Layout*>(handle);
  return attribute == kLtBatchCount    ? take(l.batch, value, bytes)
         : attribute == kLtBatchStride ? take(l.stride, value, bytes)
                                       : kInvalid;
}
int cublasLtMatmulPreferenceCreate(LtPreference* out) { return create(out, 0); }
int cublasLtMatmulPreferenceDestroy(LtPreference p) { return destroy<int>(p); }
int cublasLtMatmulPreferenceSetAttribute(LtPreference, int attribute, const void*, size_t bytes) {
  return bytes == (attribute == kLtWorkspaceBytes ? 8u : 4u) ? 0 : kInvalid;
}
int cublasLtMatmulAlgoGetHeuristic(LtHandle, LtMatmul m, LtLayout a, LtLayout b, LtLayout, LtLayout d,
                                   LtPreference, int want, LtHeuristic* out, int* got) {
  *got = want > 0 && fits(*reinterpret_cast<Matmul*>(m), *reinterpret_cast<Layout*>(a),
                          *reinterpret_cast<Layout*>(b), *reinterpret_cast<Layout*>(d));
  if (!*got) return kLtNotSupported;
  *got = std::min(want, 3);
  for (int i = 0; i < *got; i++) out[i] = {{{kAlgorithms[i].number}}, 4096, kAlgorithms[i].status, 1.0f, {}};
  return 0;
}
int cublasLtMatmul(LtHandle, LtMatmul handle, const void* alpha, const void* a, LtLayout la, const void* b,
                   LtLayout lb, const void* beta, const void* c, LtLayout lc, void* d, LtLayout ld,
                   const LtAlgo* algo, void* workspace, size_t workspace_bytes, Stream stream) {
  Matmul m = *reinterpret_cast<Matmul*>(handle);
  Layout x = *reinterpret_cast<Layout*>(la), y = *reinterpret_cast<Layout*>(lb),
         z = *reinterpret_cast<Layout*>(ld);
  const Algorithm* how = nullptr;
  for (const Algorithm& known : kAlgorithms)
    if (known.status == 0 && known.number == algo->data[0]) how = &known;
  if (!fits(m, x, y, z) || !how || !workspace || workspace_bytes != 4096) return kInvalid;
  auto scalar = [&](const void* p) {
    return m.scale == kLtFloat64 ? *static_cast<const double*>(p) : *static_cast<const float*>(p);
  };
  const Scalars scalars{scalar(alpha), scalar(beta)};
  if (scalars.beta != 0 && (!c || lc != ld)) return kInvalid;
  auto* submit = of_driver<FakeCudaSubmit>("fake_cuda_submit");
  auto* spend = of_driver<FakeCudaSpend>("fake_cuda_spend");
  if (!submit || !spend) return kLtNotInitialized;
  return submit(stream, [=] {
    spend(how->milliseconds);
    multiply(m, scalars, x, y, z, a, b, c, d);
  });
}
}
