// mezzo check: whether a model can be trained and what to know before, all in one report.
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"
#include "runtime/feeds.h"
#include "runtime/trainability.h"

namespace mezzo::cli {
namespace {

using Json = nlohmann::ordered_json;
using frontend::Finding;

Json to_json(const runtime::Trainability& t) {
  Json findings = Json::array(), parameters = Json::array(), plan = Json::array();
  for (auto& f : t.findings)
    findings.push_back({{"level", frontend::name(f.level)},
                        {"kind", f.kind},
                        {"nodes", f.nodes},
                        {"what", f.what},
                        {"repair", f.repair}});
  for (auto& p : t.parameters)
    parameters.push_back({{"name", p.name},
                          {"type", ir::to_string(p.type)},
                          {"trainable", p.trainable},
                          {"reason", p.reason}});
  for (auto& p : t.plan)
    plan.push_back({{"value", p.value}, {"op", p.op}, {"dtype", ir::name(p.dtype)}, {"rule", p.rule}});
  return {{"trainable", t.trainable()}, {"findings", findings}, {"parameters", parameters}, {"plan", plan}};
}

std::string plural(int count, const std::string& word) {
  return concat(count, " ", word, count == 1 ? "" : "s");
}

// JSON lists all nodes; text the first ones, which are enough to recognise the pattern.
void print_finding(const Finding& f) {
  constexpr size_t kShown = 6;
  std::cout << frontend::name(f.level) << "  " << f.kind << '\n' << "    " << f.what << '\n';
  for (size_t i = 0; i < f.nodes.size() && i < kShown; i++) std::cout << "    - " << f.nodes[i] << '\n';
  if (f.nodes.size() > kShown)
    std::cout << "    - and " << f.nodes.size() - kShown << " more (--json lists all)\n";
  if (!f.repair.empty()) std::cout << "    repair: " << f.repair << '\n';
}

void print_text(const runtime::Trainability& t, const std::string& precision) {
  for (auto& f : t.findings) print_finding(f);
  if (!t.findings.empty()) std::cout << '\n';
  if (!t.parameters.empty()) std::cout << frontend::to_text(t.parameters) << '\n';
  if (!t.plan.empty()) {
    std::map<std::string, int> by_type;
    for (auto& row : t.plan) by_type[std::string(ir::name(row.dtype))]++;
    std::string counts;
    for (auto& [type, count] : by_type)
      counts += concat(counts.empty() ? " " : ", ", plural(count, "value"), " in ", type);
    std::cout << "precision " << precision << ':' << counts;
    std::cout << '\n';
  }
  if (!t.error && t.trainable()) std::cout << "every operator between parameters and loss has a gradient\n";
  std::cout << "RESULT: " << (t.trainable() ? "PASS" : "FAIL") << " ("
            << plural(t.count(Finding::Level::obstacle), "obstacle") << ", "
            << plural(t.count(Finding::Level::warning), "warning") << ", "
            << plural(t.count(Finding::Level::note), "note") << ")\n";
}

int check_model(const Flags& flags) {
  CompileOptions options = compile_options(flags);
  runtime::LoadedModel model(flags.model);
  // Without --batch a file's own sizes, and 2 where it leaves the first axis open.
  auto signature = [&] {
    constexpr int64_t kOpenBatch = 2;
    if (flags.batch == 0)
      if (auto own = runtime::signature_from_options(model, options.inputs, {})) return *own;
    return required_signature(model, options, flags.batch > 0 ? flags.batch : kOpenBatch);
  };
  runtime::Trainability t = runtime::examine(model, options, signature);
  if (flags.json)
    std::cout << to_json(t).dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  else
    print_text(t, flags.precision);
  std::cout.flush();
  if (t.error) return report(*t.error);
  return t.trainable() ? 0 : static_cast<int>(ErrorCode::check_failed);
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("check", "trainability report: missing gradients, folded BatchNorm, parameters");
  auto flags = std::make_shared<Flags>();
  add_model(*verb, *flags);
  verb->add_option("--batch", flags->batch, "extent of open first axes (default: 2)")
      ->check(CLI::Range(1, 1 << 30));
  add_compile_flags(*verb, *flags, false);
  add_json(*verb, *flags);
  verb->callback([flags, &action] { action = [flags] { return check_model(*flags); }; });
}

}  // namespace mezzo::cli
