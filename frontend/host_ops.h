// host_ops.h: operators whose result is known at import: constants, sizes, and programs on sizes.
#pragma once
#include "frontend/call.h"

namespace mezzo::frontend {

// Evaluates window functions, MelWeightMatrix, NonMaxSuppression, Constant, Shape, Size, ConstantOfShape, Range, Gather, NonZero, Unique and EyeLike where their
// inputs are known; sets call.results. Leaves every other call as it is.
void evaluate_on_host(Call& call);

// One of them, in host_unique.cpp.
void unique(Call& call);

// In host_tables.cpp. NonMaxSuppression refuses boxes that are not known.
void hann_window(Call& call);
void hamming_window(Call& call);
void blackman_window(Call& call);
void mel_weight_matrix(Call& call);
void non_max_suppression(Call& call);

// Whether there is such an operator here at all.
bool is_host_op(std::string_view op);

}  // namespace mezzo::frontend
