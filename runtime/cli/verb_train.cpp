// mezzo train: a data set in, a trained .onnx out.
#include <memory>

#include "runtime/atomic_file.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/training.h"
#include "runtime/cli/verbs.h"

namespace mezzo::cli {
namespace {

int train(const Flags& flags) {
  if ((flags.epochs > 0) == (flags.steps > 0))
    throw Error(ErrorCode::usage, "give either --epochs or --steps", {}, "e.g. --epochs 10");
  auto model = std::make_shared<runtime::LoadedModel>(flags.model);
  // Paths that cannot be written shall fail now, not after the training.
  runtime::AtomicFile probe(flags.out);
  std::optional<runtime::AtomicFile> best_probe;
  if (!flags.best.empty()) best_probe.emplace(flags.best);
  Training training(flags, model);
  bool finished = false;
  try {
    finished = training.run();
  } catch (const Error&) {
    // A bad batch, a full disk under the log, too many skips: the weights are those of the last good step.
    if (training.has_stepped()) {
      training.save();
      note(concat("stopped by an error; the weights after the last complete step are in ", flags.out));
    }
    throw;
  }
  training.save();
  if (flags.json) training.print_json();
  if (finished) return 0;
  note(concat("interrupted; the weights after the last complete step are in ", flags.out));
  return static_cast<int>(ErrorCode::interrupted);
}

}  // namespace

void add_train(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("train", "train a model on a data set");
  auto flags = std::make_shared<Flags>();
  add_model(*verb, *flags);
  verb->add_option(
          "--data", flags->data,
          ".npz with one array per graph input and the labels, MNIST's or CIFAR-10's files, a folder of "
          "pictures per class, token files")
      ->required();
  verb->add_option("--batch", flags->batch, "samples per micro-batch")
      ->required()
      ->check(CLI::Range(1, 1 << 30));
  verb->add_option("--epochs", flags->epochs, "passes over the data")->check(CLI::Range(1, 1 << 30));
  verb->add_option("--steps", flags->steps, "optimizer steps")->check(CLI::Range(1, 1 << 30));
  verb->add_flag("--no-shuffle", flags->no_shuffle, "keep the order of the file");
  verb->add_option("--accumulate", flags->accumulate, "micro-batches per optimizer step")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  add_data_flags(*verb, *flags);
  add_optimizer_flags(*verb, *flags);
  add_schedule_flags(*verb, *flags);
  add_compile_flags(*verb, *flags, true);
  verb->add_option("--eval", flags->eval, "data to evaluate on");
  verb->add_option("--eval-every", flags->eval_every, "steps, or epochs as in 2e; also at the end")
      ->capture_default_str();
  verb->add_option("--best", flags->best, ".onnx for the model with the best eval_top1, else eval_loss");
  verb->add_option("--checkpoint", flags->checkpoint, "folder for checkpoints, from which --resume goes on");
  verb->add_option("--checkpoint-every", flags->checkpoint_every, "like --eval-every; also when interrupted")
      ->capture_default_str();
  verb->add_option("--keep", flags->keep, "checkpoints that stay, the newest ones")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_flag("--resume", flags->resume,
                 "go on from the newest whole checkpoint, bit for bit, if there is one");
  verb->add_option("--log", flags->log, "JSON lines, one per step and evaluation");
  verb->add_option("--out", flags->out, ".onnx to write")->required();
  add_json(*verb, *flags);
  verb->callback([flags, &action] { action = [flags] { return train(*flags); }; });
}

}  // namespace mezzo::cli
