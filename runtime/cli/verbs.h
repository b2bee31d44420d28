// verbs.h: the verbs of the command line, one file each. add_X registers the verb's flags; when the verb is
// chosen, it leaves in `action` what to do.
#pragma once
#include <CLI/CLI.hpp>

#include "runtime/cli/flags.h"
#include "runtime/step_graph.h"

namespace mezzo::cli {

void add_inspect(CLI::App& app, Action& action);
void add_check(CLI::App& app, Action& action);
void add_compile(CLI::App& app, Action& action);
void add_grad(CLI::App& app, Action& action);
void add_train(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_opt(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_version(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

// The shapes of all inputs from --shape, --batch (0: not given) and the file; Error(usage) when one stays
// open.
runtime::Signature required_signature(const runtime::LoadedModel& model, const CompileOptions& options,
                                      int64_t batch);

// Visible verbs and flags of `app`, for suggestions and completion.
std::vector<std::string> verb_names(const CLI::App& app);
std::vector<std::string> flag_names(const CLI::App& verb);

}  // namespace mezzo::cli
