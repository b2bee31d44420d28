// mezzo compile: builds the step and says what it will need.
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "runtime/atomic_file.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"
#include "runtime/session.h"

namespace mezzo::cli {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const runtime::Compiled& c) {
  return {{"compile_ms", c.milliseconds},           {"launches", c.program->launches().size()},
          {"parameter_bytes", c.memory.parameters}, {"arena_bytes", c.memory.arena},
          {"max_live_bytes", c.memory.peak},        {"scratch_bytes", c.memory.scratch},
          {"planned_bytes", c.memory.total()}};
}

std::string kernel_table(const runtime::Compiled& c) {
  Table table({"launch", "phase", "detail", ">bytes", ">flops", "from"});
  for (auto& l : c.program->launches()) {
    std::string from;
    for (auto& name : l.origin) from += (from.empty() ? "" : ", ") + name;
    if (from.size() > 60) from = from.substr(0, 57) + "...";
    table.row({l.name, std::string(ir::name(l.phase)), l.detail, std::to_string(l.bytes),
               std::to_string(l.flops), from});
  }
  return table.str();
}

int compile(const Flags& flags) {
  CompileOptions options = compile_options(flags);
  auto model = std::make_shared<runtime::LoadedModel>(flags.model);
  runtime::Session session(model, options);
  runtime::Signature signature = required_signature(*model, options, flags.batch);
  const runtime::Compiled& c = session.prepare(signature, runtime::Purpose::train);
  if (!flags.dump.empty()) runtime::write_atomically(flags.dump + "/launches.txt", kernel_table(c));
  if (flags.json) {
    std::cout << to_json(c).dump(2) << '\n';
    return 0;
  }
  passes::MemoryReport memory = c.memory;
  memory.largest.clear();  // they are in the dump's memory.txt
  std::cout << kernel_table(c) << '\n'
            << passes::to_string(memory) << '\n'
            << c.program->launches().size() << " launches, compiled in " << number_text(c.milliseconds)
            << " ms\n";
  for (auto& line : c.report.notes) note(line);
  return 0;
}

}  // namespace

runtime::Signature required_signature(const runtime::LoadedModel& model, const CompileOptions& options,
                                      int64_t batch) {
  std::optional<int64_t> size;
  if (batch > 0) size = batch;
  auto signature = runtime::signature_from_options(model, options.inputs, size);
  if (signature) return *signature;
  std::string open;
  for (auto& input : model.inputs) open += concat(open.empty() ? "" : ", ", frontend::to_string(input));
  throw Error(ErrorCode::usage, concat("the file leaves input shapes open: ", open), {},
              "give --batch N, or --shape NAME=D,D,... for each of them");
}

void add_compile(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("compile", "build the step; --dump DIR keeps every stage");
  auto flags = std::make_shared<Flags>();
  add_model(*verb, *flags);
  verb->add_option("--batch", flags->batch, "extent of open first axes")->check(CLI::Range(1, 1 << 30));
  add_optimizer_flags(*verb, *flags);
  add_compile_flags(*verb, *flags, true);
  add_json(*verb, *flags);
  verb->callback([flags, &action] { action = [flags] { return compile(*flags); }; });
}

}  // namespace mezzo::cli
