// known_ops.h: the names of the default domain's operators. A file may use only these (and its own
// functions): the IR has further operators under names of its own, which must not be reachable from a file.
#pragma once
#include <string_view>

namespace mezzo::frontend {

// Whether any operator set up to kMaxOpset has an operator of that name.
bool is_onnx_op(std::string_view op);

}  // namespace mezzo::frontend
