#include "passes/pipeline.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <new>

#include "ir/debug.h"
#include "ir/module_file.h"
#include "ir/op.h"
#include "passes/option_text.h"

namespace mezzo::passes {
namespace {

constexpr bool kTraining = true, kInSteps = true;

// The order. Precision is decided while ops still have their classes, gradients while they still have their
// rules.
const PassRow kPipeline[] = {
    {"recognize", recognize},
    {"assign_precision", assign_precision},
    {"autodiff", autodiff, kTraining},
    {"keep_copies", keep_copies, kTraining},
    {"accumulate", nullptr, kTraining},
    {"scale_loss", scale_loss, kTraining},
    {"add_optimizer", add_optimizer, kTraining},
    {"catch_faults", catch_faults},
    {"run_ahead", run_ahead, kTraining},
    {"guard_updates", guard_updates, kTraining},
    {"expand", expand, false, kInSteps},
    {"simplify", simplify, false, kInSteps},
    {"fold_constants", fold_constants, false, kInSteps},
    {"cse", cse, false, kInSteps},
    {"assign_layout", assign_layout},
    {"simplify-2", simplify, false, kInSteps},
    {"cse-2", cse, false, kInSteps},
    {"plan_epilogues", plan_epilogues},
    {"join_bias", join_bias},
    {"fuse", fuse, false, kInSteps},
    {"schedule", schedule, false, kInSteps},
    {"plan_memory", plan_memory, false, kInSteps},
};

// A pass on a graph, then on the steps of its time loops: those are graphs of their own to it.
void apply(const PassRow& row, Graph& graph, const Options& options) {
  row.function(graph, options);
  if (!row.in_steps) return;
  for (auto& node : graph.nodes())
    if (ir::is_time_loop(*node)) apply(row, *node->body, options);
}

// A graph on its way, with the text it had after the last pass.
struct Job {
  Graph& graph;
  std::string_view name;  // as PassEvent::graph
  std::string text = {};
  ir::TensorMap tensors = {};

  void reprint() {
    tensors.clear();
    text = print(graph, {}, &tensors);
  }
};

class Runner {
 public:
  Runner(const Options& options, const RunOptions& run) : options_(options), run_(run) {
    if (run_.dump_dir.empty() && !ir::debug().get("dump").empty()) {
      static std::atomic<int> runs{0};  // a process compiles several graphs: training, evaluation ...
      run_.dump_dir = (std::filesystem::path(ir::debug().get("dump")) / std::to_string(runs++)).string();
    }
    if (run_.last.empty()) run_.last = ir::debug().get("stop");
  }

  void import(Job& job) {
    canonicalize(job.graph);
    verify(job.graph);
    job.reprint();
    report(job, 0, "import", true, 0);
  }

  // Calls `pass`, which changes job.graph, and cleans up, verifies and tells.
  template <class Pass>
  void step(Job& job, const PassRow& row, Pass pass) {
    auto start = std::chrono::steady_clock::now();
    guarded(job, row, true, pass);
    guarded(job, row, false, [&] {
      verify(job.graph);
      canonicalize(job.graph);
    });
    std::string before = std::move(job.text);
    job.reprint();
    std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
    report(job, number_of(row), row.name, job.text != before, spent.count());
  }

  const RunOptions& run() const { return run_; }

 private:
  // Position from 1; 0 for a row that is not in the pipeline.
  static int number_of(const PassRow& row) {
    for (const PassRow& listed : kPipeline)
      if (&listed == &row) return static_cast<int>(&listed - kPipeline) + 1;
    return 0;
  }

  void report(const Job& job, int number, std::string_view pass, bool changed, double milliseconds) {
    std::string graph = job.name.empty() ? "" : concat(job.name, "-");
    if (ir::debug().has("passes") || ir::debug().has("time"))
      std::fprintf(stderr, "%s%02d-%s: %s, %.2f ms\n", graph.c_str(), number, std::string(pass).c_str(),
                   changed ? "changed" : "unchanged", milliseconds);
    if (!run_.dump_dir.empty() && changed) {
      std::string digits = number < 10 ? concat("0", number) : std::to_string(number);
      std::filesystem::path file =
          std::filesystem::path(run_.dump_dir) / concat(graph, digits, "-", pass, ".ir");
      ir::write_module(file.string(), options_comment(options_) + job.text, job.tensors);
    }
    if (run_.observer) run_.observer({number, pass, job.name, changed, milliseconds, job.text, job.tensors});
  }

  // An Error of a pass is the user's; one while checking what it made is a defect, as every other exception
  // is.
  template <class Action>
  void guarded(const Job& job, const PassRow& row, bool may_refuse, Action action) {
    try {
      action();
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const Error& e) {
      if (may_refuse) throw;
      fail(job, row, e.what());
    } catch (const std::exception& e) {
      fail(job, row, e.what());
    }
  }

  // Keeps the graph as it was before the pass, for `mezzo opt FILE --pass NAME`.
  [[noreturn]] void fail(const Job& job, const PassRow& row, const std::string& what) {
    std::error_code error;
    std::filesystem::path folder = run_.reproducer_dir;
    if (folder.empty()) folder = std::filesystem::temp_directory_path(error);
    std::string path = (folder / concat("mezzo-", row.name, ".ir")).string();
    try {
      ir::write_module(path, options_comment(options_) + job.text, job.tensors);
    } catch (const Error& e) {
      throw InternalError(concat("pass ", row.name, ": ", what, "\n(no reproducer: ", e.what(), ")"));
    }
    throw InternalError(
        concat("pass ", row.name, ": ", what, "\nto reproduce: mezzo opt ", path, " --pass ", row.name),
        path);
  }

  const Options& options_;
  RunOptions run_;
};

}  // namespace

std::span<const PassRow> pipeline() { return kPipeline; }

const PassRow& find_pass(std::string_view name) {
  for (const PassRow& row : kPipeline)
    if (row.name == name) return row;
  std::string known;
  for (const PassRow& row : kPipeline) known += concat(known.empty() ? "" : ", ", row.name);
  throw Error(ErrorCode::usage, concat("no pass is named '", name, "'"), std::string(name),
              "passes: " + known);
}

StepGraphs run_pipeline(Graph graph, const Options& options, const RunOptions& run) {
  StepGraphs out{std::move(graph), {}};
  Runner runner(options, run);
  const RunOptions& effective = runner.run();
  const PassRow* row = effective.first.empty() ? std::begin(kPipeline) : &find_pass(effective.first);
  const PassRow* end = effective.last.empty() ? std::end(kPipeline) : &find_pass(effective.last) + 1;
  Job step{out.step, ""};
  std::optional<Job> window;
  runner.import(step);
  for (; row < end; row++) {
    if (row->training && !run.training) continue;
    if (row->function) {
      for (Job* job : {&step, window ? &*window : nullptr})
        if (job) runner.step(*job, *row, [&] { apply(*row, job->graph, options); });
    } else if (options.accumulate > 1) {
      runner.step(step, *row, [&] { out.window = accumulate(out.step, options); });
      window.emplace(Job{*out.window, "window"});
      runner.step(*window, *row, [] {});
    }
  }
  return out;
}

void run_pass(Graph& graph, const PassRow& row, const Options& options, const RunOptions& run) {
  if (!row.function)
    throw Error(ErrorCode::usage, concat("pass ", row.name, " makes two graphs and does not run alone"),
                std::string(row.name));
  Runner runner(options, run);
  Job job{graph, ""};
  canonicalize(graph);
  verify(graph);
  job.reprint();
  runner.step(job, row, [&] { apply(row, graph, options); });
}

}  // namespace mezzo::passes
