// feeds.h: what a user feeds -> what a program takes, with every way it can be wrong named.
#pragma once
#include "mezzo/options.h"
#include "runtime/step_graph.h"
#include "runtime/step_program.h"

namespace mezzo::runtime {

// The signature of a batch. Throws Error(bad_input) for a missing or unknown name (with the nearest one), and
// labels of the wrong kind. `need_labels`: labels must be there (they may always be).
Signature signature_of(const LoadedModel& model, const Arrays& feeds, const Loss& loss, bool need_labels);

// The signature when the shapes of all inputs are known: from `shapes`, the file, and `batch` for open first
// axes. Nothing when one is left open. Throws Error(usage) for shapes that do not fit, or of no input.
std::optional<Signature> signature_from_options(const LoadedModel& model,
                                                const std::map<std::string, Shape>& shapes,
                                                std::optional<int64_t> batch = {});

// The feeds in the exact types of the program's inputs. What the program does not take (labels in inference)
// is left out.
Arrays bind_feeds(const StepProgram& program, const Arrays& feeds);

// Throws Error(bad_input) naming position and value of the first class id outside [0, classes) that is not
// -100 (the ignored one). `batch` is for the message: "batch 3: ", or "".
void check_class_ids(const std::string& name, const ir::Tensor& labels, int64_t classes,
                     const std::string& batch);

// The class axis of scores [N, C, ...] or [..., C] for labels of these dims; -1 when neither fits.
int64_t class_axis(const ir::Dims& scores, const ir::Dims& labels);

// Number of labels that count (not -100), of those at which the largest score is the label's, and of those
// where the label's is among the five largest (equal scores: those of lower classes first). Zeros when scores
// and labels do not fit each other.
struct Hits {
  int64_t right = 0, in_top5 = 0, counted = 0;
  Hits& operator+=(const Hits&);
};
Hits count_hits(const ir::Tensor& scores, const ir::Tensor& labels);

}  // namespace mezzo::runtime
