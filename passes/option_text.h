// option_text.h: the options that passes read, as one line: "low=bf16 optimizer=adamw lr=2e-05
// pin=f32:\"conv*\"".
#pragma once
#include "passes/passes.h"

namespace mezzo::passes {

// Only what differs from the defaults; "" when nothing does. Options::plan is no part of it.
std::string write_options(const Options& options);
// Throws Error naming the word that is wrong.
Options read_options(std::string_view text);

// "PATTERN:weight_decay=0,lr_scale=0.1,max_rank=1" (at least one of the three) <-> a group; nothing for
// another text.
std::optional<ParameterGroup> read_group(const std::string& text);
std::string write_group(const ParameterGroup& group);

// The line that heads a dump, "# options ...\n"; and the options of the comment lines of one ("options ..."
// or none).
std::string options_comment(const Options& options);
Options options_of_comments(std::string_view comments);

}  // namespace mezzo::passes
