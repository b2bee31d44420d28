// contrib_ops.h: operators of domain com.microsoft, which optimisers of ONNX files write, as ONNX operators.
#pragma once
#include "frontend/call.h"

namespace mezzo::frontend {

// Whether there is a row for the operator; also for those that files give without the domain.
bool is_contrib_op(std::string_view domain, std::string_view op);

// Makes the call one of an ONNX operator (renamed, attributes completed), or builds the outputs
// (call.results).
void translate_contrib(Call& call);

}  // namespace mezzo::frontend
