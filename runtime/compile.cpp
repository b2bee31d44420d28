#include "runtime/compile.h"

#include <malloc.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <regex>

#include "ir/op.h"
#include "passes/pipeline.h"
#include "passes/plan_text.h"
#include "runtime/atomic_file.h"

namespace mezzo::runtime {
namespace {

// The row of the pipeline with which a step is complete as a mathematical object; what follows makes it fast.
constexpr std::string_view kLastSemanticPass = "guard_updates";

std::string pass_after(std::string_view name) {
  auto rows = passes::pipeline();
  for (size_t i = 0; i + 1 < rows.size(); i++)
    if (rows[i].name == name) return std::string(rows[i + 1].name);
  return {};
}

// State leaves with their start values, for States::adopt.
void collect_states(ir::Graph& to, const ir::Graph& from) {
  for (auto& node : from.nodes()) {
    if (!ir::is_state(*node) || to.find_state(node->s("name"))) continue;
    ir::copy_node(to, *node, {});
    auto start = from.tensors.find(node->s("name"));
    if (start != from.tensors.end()) to.tensors.insert(*start);
  }
}

std::unique_ptr<StepProgram> make_program(ir::Graph graph, const CompileOptions& options,
                                          std::shared_ptr<codegen::Device> device) {
  if (options.device == Device::reference) return reference_program(std::move(graph));
  const std::string cache = cache_directory(options.cache_dir);
  if (options.device == Device::cuda)
    return backend_program(std::move(graph), [&](const ir::Graph& g) {
      return codegen::compile_cuda(g, {device, cache, options.dump_dir, options.threads});
    });
  return backend_program(std::move(graph), [&](const ir::Graph& g) {
    return codegen::compile_cpu(g, {cache, options.dump_dir, options.threads});
  });
}

passes::StepGraphs run_passes(ir::Graph graph, const passes::Options& options, const CompileOptions& compile,
                              Purpose purpose, std::vector<passes::TracePoint>& points) {
  passes::RunOptions run;
  run.training = is_training(purpose);
  run.dump_dir = compile.dump_dir;
  bool reference = compile.device == Device::reference;
  if (purpose != Purpose::trace) {
    if (reference) run.last = kLastSemanticPass;
    return passes::run_pipeline(std::move(graph), options, run);
  }
  run.last = "scale_loss";
  passes::StepGraphs out = passes::run_pipeline(std::move(graph), options, run);
  points = passes::trace_overflow(out.step, options);
  run.first = pass_after(kLastSemanticPass);
  run.last.clear();
  if (reference || run.first.empty()) return out;
  run.training = false;
  return passes::run_pipeline(std::move(out.step), options, run);
}

// An empty place for a dump: stages of an earlier compilation would stand between those of this one.
void make_dump_dir(const std::string& dir) {
  static const std::regex kStage(R"((window-)?\d+-\w+\.ir|kernels\.\d+\.(ll|cu))");
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) throw_file_error("write", dir, error.value());
  std::vector<std::filesystem::path> earlier;
  for (const auto& file : std::filesystem::directory_iterator(dir, error))
    if (std::regex_match(file.path().filename().string(), kStage)) earlier.push_back(file.path());
  for (const auto& file : earlier) std::filesystem::remove(file, error);
}

}  // namespace

std::vector<passes::PrecisionOverride> plan_overrides(const ir::Graph& graph, passes::Options options,
                                                      const std::string& text) {
  std::vector<passes::PlanRow> unedited;
  options.plan = &unedited;
  ir::Graph copy = ir::clone(graph);
  passes::assign_precision(copy, options);
  return passes::read_plan(text, unedited, "--plan");
}

std::string cache_directory(const std::string& option) {
  if (option == "none") return {};
  if (!option.empty()) return option;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg) return std::string(xdg) + "/mezzo";
  if (const char* home = std::getenv("HOME"); home && *home) return std::string(home) + "/.cache/mezzo";
  return {};
}

Compiled compile_step(const LoadedModel& model, const Signature& signature, const CompileOptions& options,
                      Purpose purpose, const Arrays& values, std::shared_ptr<codegen::Device> device) {
  check((options.device == Device::cuda) == (device != nullptr), "a step for a device needs that device");
  auto start = std::chrono::steady_clock::now();
  CompileOptions effective = options;
  // Only the step itself is dumped; the other graphs would overwrite its files.
  if (!is_dumped(purpose)) effective.dump_dir.clear();
  if (!effective.dump_dir.empty()) make_dump_dir(effective.dump_dir);

  StepGraph step = build_step_graph(model, signature, effective, purpose, values);
  Compiled out;
  passes::Options pass = pass_options(effective, purpose, signature.samples());
  if (!effective.precision_plan.empty() && is_training(purpose))
    pass.overrides = plan_overrides(step.graph, pass, effective.precision_plan);
  pass.plan = &out.plan;
  passes::StepGraphs graphs = run_passes(std::move(step.graph), pass, effective, purpose, out.points);

  collect_states(out.states, graphs.step);
  if (graphs.window) collect_states(out.states, *graphs.window);
  const bool planned = effective.device != Device::reference;
  if (planned) out.memory = passes::memory_report(graphs.step, graphs.window ? &*graphs.window : nullptr);
  out.program = make_program(std::move(graphs.step), effective, device);
  if (graphs.window) out.window_end = make_program(std::move(*graphs.window), effective, device);
  int64_t arena = 0;
  for (auto* program : {&out.program, &out.window_end})
    if (*program) arena = std::max(arena, (*program)->arena_bytes());
  if (planned) out.memory.scratch = arena - out.memory.arena;
  if (!effective.dump_dir.empty()) {
    write_atomically(effective.dump_dir + "/plan.txt", passes::write_plan(out.plan, pass.low));
    write_atomically(effective.dump_dir + "/memory.txt", passes::to_string(out.memory));
  }
#ifdef __GLIBC__
  malloc_trim(0);  // what passes and code generator have freed goes back before the step takes its memory
#endif
  out.parameters = std::move(step.parameters);
  out.report = std::move(step.report);
  out.first_output = step.first_output;
  out.classes = step.classes;
  out.milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return out;
}

}  // namespace mezzo::runtime
