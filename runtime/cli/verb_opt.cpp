// mezzo opt: passes on a module in text form.
#include <iostream>
#include <memory>

#include "ir/module_file.h"
#include "passes/option_text.h"
#include "passes/pipeline.h"
#include "runtime/atomic_file.h"
#include "runtime/cli/verbs.h"

namespace mezzo::cli {
namespace {

int opt(const Flags& flags, const std::vector<std::string>& names) {
  ir::ModuleFile module = ir::read_module(flags.model);
  // A dump says in its comments with which options it was made.
  passes::Options options = passes::options_of_comments(module.comments);
  for (const std::string& name : names) passes::run_pass(module.graph, passes::find_pass(name), options);
  std::string text = passes::options_comment(options) + ir::print(module.graph);
  if (flags.out.empty())
    std::cout << text;
  else
    ir::write_module(flags.out, text, ir::elided_tensors(module.graph));
  return 0;
}

}  // namespace

void add_opt(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("opt", "run passes on a text module; prints the result");
  auto flags = std::make_shared<Flags>();
  auto names = std::make_shared<std::vector<std::string>>();
  verb->add_option("FILE", flags->model, "the .ir file")->required();
  verb->add_option("--pass", *names, "NAME[,NAME...]")->required()->delimiter(',');
  verb->add_option("--out", flags->out, "file to write instead of stdout, with its constants beside it");
  verb->callback([flags, names, &action] { action = [flags, names] { return opt(*flags, *names); }; });
}

}  // namespace mezzo::cli
