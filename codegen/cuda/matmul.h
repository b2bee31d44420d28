// matmul.h: matrix products through cuBLASLt.
#pragma once
#include <optional>

#include "codegen/cuda/device.h"
#include "codegen/launch.h"
#include "codegen/object_cache.h"

namespace mezzo::codegen::cuda {

// One product in the library's column-major terms, without the library: D = epilogue(alpha A B + beta C).
struct MatmulPlan {
  struct Matrix {
    int64_t rows, columns, ld;  // as stored
    int64_t batch_stride = 0;   // elements
    bool transposed = false;
  };
  int type = 0, out_type = 0, compute = 0;  // the library's numbers
  Matrix a, b, d;                           // A is the node's second operand, B its first
  int64_t batch = 1;
  int epilogue = kLtEpilogueDefault;
  bool bias = false;       // reads one, down the columns
  bool bias_grad = false;  // writes the sums of the rows of D
  bool aux = false;        // writes, or reads, what Gelu was computed of
  bool reads_aux = false;
  double alpha = 1;
  bool accumulate = false;  // beta = 1, with C of D's layout

  std::string text() const;  // equal texts make equal choices
};

// The node's product as `out`, with its bias or without. Row-major is the transposed problem in column-major
// terms: operands change places. Nothing where the library cannot express it: integers, batches that repeat
// unevenly, and the f32 bias of a 16-bit result, since its own bias has the type of the result.
std::optional<MatmulPlan> plan_matmul(const ir::Node& dot, ir::DType out, bool bias);

// A DotEpilogue as one call. Nothing where rows of the result are no multiple of the 8 elements that the
// library demands of what Gelu was computed of, where that would need strides between matrices, and as for
// plan_matmul.
std::optional<MatmulPlan> plan_epilogue(const ir::Node& dot_epilogue);

// The library's handle, and the algorithms chosen for plans.
class Matmuls {
 public:
  // Throws Error(unsupported) where the library does not start on the device.
  Matmuls(const CublasLtApi& api, std::shared_ptr<CudaDevice> device, const std::string& cache_dir);
  ~Matmuls();
  Matmuls(const Matmuls&) = delete;
  Matmuls& operator=(const Matmuls&) = delete;

  // A launch whose arguments are first operand, second operand, bias, C or what Gelu was computed of, result,
  // second result (what Gelu was computed of, or the bias gradient); those that the plan lacks are null. Null
  // where the library has no algorithm.
  std::unique_ptr<Launch> add(const MatmulPlan& plan);

 private:
  friend class MatmulLaunch;
  const CublasLtApi& api_;
  std::shared_ptr<CudaDevice> device_;
  ObjectCache cache_;
  LtHandle handle_ = nullptr;
};

}  // namespace mezzo::codegen::cuda
