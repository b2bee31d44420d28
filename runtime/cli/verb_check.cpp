// mezzo check: whether a model can be trained and what to know before, all in one report.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "frontend/inspect.h"
#include "frontend/objective.h"
#include "passes/differentiable.h"
#include "passes/step_names.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"
#include "runtime/session.h"

namespace mezzo::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Report {
  std::vector<std::string> obstacles;  // nodes on the way to the loss that have no gradient
  std::vector<std::string> remarks;    // folded BatchNorm, lost Dropout ...
  std::vector<frontend::Alias> aliases;
  std::vector<std::string> notes;
  std::vector<frontend::ParameterRow> parameters;
  std::vector<passes::PlanRow> plan;
  bool trainable() const { return obstacles.empty(); }
};

Report examine(const runtime::LoadedModel& model, const CompileOptions& options, int64_t batch) {
  Report report;
  report.remarks = frontend::inspect(model.file).remarks;
  runtime::Signature signature = required_signature(model, options, batch);
  runtime::StepGraph step = build_step_graph(model, signature, options, runtime::Purpose::train);
  report.aliases = step.report.aliases;
  report.notes = step.report.notes;
  report.parameters = step.parameters;
  passes::Options pass = pass_options(options, runtime::Purpose::train, signature.samples());
  pass.plan = &report.plan;
  passes::assign_precision(step.graph, pass);
  passes::Differentiable ways(step.graph, step.graph.find_output(passes::kLoss));
  for (const ir::Node* node : ways.obstacles()) report.obstacles.push_back(passes::describe(*node));
  return report;
}

Json to_json(const Report& r) {
  Json aliases = Json::array(), parameters = Json::array(), plan = Json::array();
  for (auto& a : r.aliases) aliases.push_back({{"name", a.name}, {"of", a.of}, {"tied", a.tied}});
  for (auto& p : r.parameters)
    parameters.push_back({{"name", p.name},
                          {"type", ir::to_string(p.type)},
                          {"trainable", p.trainable},
                          {"reason", p.reason}});
  for (auto& p : r.plan)
    plan.push_back({{"value", p.value}, {"op", p.op}, {"dtype", ir::name(p.dtype)}, {"rule", p.rule}});
  return {{"trainable", r.trainable()},
          {"without_gradient", r.obstacles},
          {"remarks", r.remarks},
          {"aliases", aliases},
          {"notes", r.notes},
          {"parameters", parameters},
          {"plan", plan}};
}

void print_text(const Report& r, const std::string& precision) {
  if (r.obstacles.empty()) std::cout << "gradients   every op between parameters and loss has one\n";
  for (auto& o : r.obstacles) std::cout << "no gradient  " << o << '\n';
  for (auto& line : r.remarks) std::cout << "remark       " << line << '\n';
  for (auto& a : r.aliases)
    std::cout << "alias        " << a.name << " = " << a.of
              << (a.tied ? " (one parameter)" : " (trained apart, starts equal)") << '\n';
  for (auto& line : r.notes) std::cout << "note         " << line << '\n';
  std::cout << '\n' << frontend::to_text(r.parameters);
  std::map<std::string, int64_t> by_type;
  for (auto& row : r.plan) by_type[std::string(ir::name(row.dtype))]++;
  std::cout << "\nprecision " << precision << ':';
  for (auto& [type, count] : by_type) std::cout << ' ' << count << " values in " << type;
  std::cout << "\nRESULT: " << (r.trainable() ? "PASS" : "FAIL") << '\n';
}

int check_model(const Flags& flags) {
  CompileOptions options = compile_options(flags);
  runtime::LoadedModel model(flags.model);
  Report report;
  try {
    report = examine(model, options, flags.batch);
  } catch (const Error&) {
    // What else there is to know about the file comes before the error that ends the check.
    for (auto& line : frontend::inspect(model.file).remarks) warn(line);
    throw;
  }
  if (flags.json)
    std::cout << to_json(report).dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  else
    print_text(report, flags.precision);
  return report.trainable() ? 0 : static_cast<int>(ErrorCode::check_failed);
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("check", "trainability report: missing gradients, folded BatchNorm, parameters");
  auto flags = std::make_shared<Flags>();
  flags->batch = 2;
  add_model(*verb, *flags);
  verb->add_option("--batch", flags->batch, "extent of open first axes")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  add_compile_flags(*verb, *flags, false);
  add_json(*verb, *flags);
  verb->callback([flags, &action] { action = [flags] { return check_model(*flags); }; });
}

}  // namespace mezzo::cli
