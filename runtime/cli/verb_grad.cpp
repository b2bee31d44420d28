// mezzo grad: one loss, the outputs and all gradients of a batch, as .npz.
#include <memory>

#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"
#include "runtime/session.h"

namespace mezzo::cli {
namespace {

int grad(const Flags& flags) {
  CompileOptions options = compile_options(flags);
  auto model = std::make_shared<runtime::LoadedModel>(flags.model);
  runtime::Arrays feeds = runtime::read_npz(flags.feed);
  runtime::Session session(model, options);
  runtime::GradientOutcome outcome = session.gradients(feeds);
  if (!outcome.finite)
    warn(concat("some gradients are not finite (loss scale ", outcome.scale, "); try another --loss-scale"));
  runtime::Arrays arrays;
  arrays.emplace("loss", ir::Tensor::scalar(outcome.loss));
  for (auto& [name, tensor] : outcome.outputs) arrays.emplace("output:" + name, std::move(tensor));
  for (auto& [name, tensor] : outcome.gradients) arrays.emplace("grad:" + name, std::move(tensor));
  runtime::write_npz(flags.out, arrays);
  return 0;
}

}  // namespace

void add_grad(CLI::App& app, Action& action) {
  CLI::App* verb =
      app.add_subcommand("grad", "loss, outputs and gradients of one batch: loss, output:NAME, grad:NAME");
  auto flags = std::make_shared<Flags>();
  add_model(*verb, *flags);
  verb->add_option("--feed", flags->feed, ".npz with one array per graph input, and the labels")->required();
  verb->add_option("--out", flags->out, ".npz to write")->required();
  add_compile_flags(*verb, *flags, true);
  verb->callback([flags, &action] { action = [flags] { return grad(*flags); }; });
}

}  // namespace mezzo::cli
