// mezzo run: the model's outputs for one batch, in inference mode.
#include <memory>

#include "runtime/cli/verbs.h"
#include "runtime/session.h"

namespace mezzo::cli {

void add_run(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("run", "outputs of one batch, forward only, in inference mode");
  auto flags = std::make_shared<Flags>();
  add_model(*verb, *flags);
  verb->add_option("--feed", flags->feed, ".npz with one array per graph input")->required();
  verb->add_option("--out", flags->out, ".npz to write")->required();
  verb->add_option("--threads", flags->threads, "0: all")->check(CLI::Range(0, 4096));
  verb->add_option("--cache-dir", flags->cache_dir, "compiled kernels; none: no cache");
  add_device(*verb, *flags);
  verb->callback([flags, &action] {
    action = [flags] {
      CompileOptions options = compile_options(*flags);
      runtime::LoadedModel model(flags->model);
      runtime::write_npz(flags->out, runtime::infer(model, runtime::read_npz(flags->feed), options));
      return 0;
    };
  });
}

}  // namespace mezzo::cli
