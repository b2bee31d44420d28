// mezzo inspect: what is in a file.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "frontend/inspect.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"

namespace mezzo::cli {
namespace {

using Json = nlohmann::ordered_json;

Json ports_json(const std::vector<frontend::InputInfo>& ports) {
  Json out = Json::array();
  for (auto& port : ports) out.push_back({{"name", port.name}, {"type", frontend::to_string(port)}});
  return out;
}

Json to_json(const frontend::Inspection& in) {
  Json initializers = Json::array();
  for (auto& i : in.initializers)
    initializers.push_back(
        {{"name", i.name}, {"type", i.type}, {"bytes", i.bytes}, {"external", i.external}});
  return {{"ir_version", in.ir_version},
          {"producer", in.producer},
          {"opsets", in.opsets},
          {"inputs", ports_json(in.inputs)},
          {"outputs", ports_json(in.outputs)},
          {"parameter_count", in.parameter_count},
          {"node_count", in.node_count},
          {"ops", in.op_histogram},
          {"functions", in.functions},
          {"metadata", in.metadata},
          {"initializers", initializers}};
}

void print_text(const frontend::Inspection& in) {
  std::cout << "ir version  " << in.ir_version << "\nproducer    " << in.producer << "\nopsets     ";
  for (auto& [domain, version] : in.opsets)
    std::cout << ' ' << (domain.empty() ? "ai.onnx" : domain) << ' ' << version;
  std::cout << "\nparameters  " << in.parameter_count << "\nnodes       " << in.node_count << "\n\n";
  for (auto& port : in.inputs)
    std::cout << "input   " << port.name << "  " << frontend::to_string(port) << '\n';
  for (auto& port : in.outputs)
    std::cout << "output  " << port.name << "  " << frontend::to_string(port) << '\n';
  Table ops({"op", ">count"});
  for (auto& [op, count] : in.op_histogram) ops.row({op, std::to_string(count)});
  Table weights({"initializer", "type", ">bytes"});
  for (auto& i : in.initializers)
    weights.row({i.name, i.type + (i.external ? " external" : ""), std::to_string(i.bytes)});
  std::cout << '\n' << ops.str() << '\n' << weights.str();
  if (!in.functions.empty()) std::cout << '\n';
  for (auto& f : in.functions) std::cout << "function  " << f << '\n';
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("inspect", "what is in a file: inputs, outputs, ops, initializers");
  auto flags = std::make_shared<Flags>();
  add_model(*verb, *flags);
  add_json(*verb, *flags);
  verb->callback([flags, &action] {
    action = [flags] {
      frontend::Inspection in = frontend::inspect(frontend::ModelFile::read(flags->model));
      if (flags->json)
        std::cout << to_json(in).dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
      else
        print_text(in);
      return 0;
    };
  });
}

}  // namespace mezzo::cli
