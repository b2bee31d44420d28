// attributes.h: AttributeProto -> ir::Attr, and fitting what a file says to what an operator record declares.
#pragma once
#include "frontend/call.h"
#include "frontend/functions.h"
#include "frontend/payloads.h"
#include "ir/op.h"

namespace mezzo::frontend {

// Fills call.attrs and call.bodies from the node. Throws Error for attributes stored in two ways or of a kind
// that no supported operator has.
void read_attributes(const onnx::NodeProto& node, const Payloads& payloads, Call& call);

// Moves the inputs that `op` holds as attributes from call.inputs to call.attrs; their values must be known.
void bind_constant_inputs(const ir::OpDef& op, Call& call);

// call.attrs in the types that `op` declares. Attributes that `op` does not have are dropped when their value
// says nothing, and an Error(unsupported) otherwise.
ir::Attrs fit_attributes(const ir::OpDef& op, const Call& call);

}  // namespace mezzo::frontend
