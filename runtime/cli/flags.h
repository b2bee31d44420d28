// flags.h: the flags that several verbs share, and what they mean for the library.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/options.h"

namespace mezzo::cli {

struct Flags {
  std::string model, out;
  bool json = false;

  // How the step is compiled.
  std::string loss = "cross_entropy", labels = "labels", precision = "fp32", loss_scale, device = "cpu",
              mode = "train";
  std::string plan, dump, cache_dir;
  std::vector<std::string> train, freeze, shapes;
  int threads = 0;
  uint64_t seed = 0;

  // The optimizer. Absent values are those of its torch namesake.
  std::string optimizer = "sgd", betas;
  std::optional<double> lr, momentum, weight_decay, eps, clip_norm;
  bool nesterov = false;

  // Data and its order.
  std::string data, feed, eval, log;
  int64_t batch = 0, accumulate = 1, epochs = 0, steps = 0;
  bool no_shuffle = false;
};

// What a verb does once the command line has been read; returns the exit code.
using Action = std::function<int()>;

void add_model(CLI::App& verb, Flags& flags);
void add_json(CLI::App& verb, Flags& flags);
// --loss --labels --precision --loss-scale --device --mode --plan --train --freeze --shape --threads --seed
// --cache-dir and, with `dump`, --dump.
void add_compile_flags(CLI::App& verb, Flags& flags, bool dump);
void add_device(CLI::App& verb, Flags& flags);
// --optimizer --lr --momentum --nesterov --weight-decay --betas --eps --clip-norm
void add_optimizer_flags(CLI::App& verb, Flags& flags);

// The library's options. Throws Error(usage) for flags that contradict each other.
CompileOptions compile_options(const Flags& flags);
Device parse_device(const std::string& text);
// --loss-scale: dynamic, none or a number; empty: automatic.
LossScale parse_loss_scale(const std::string& text);

}  // namespace mezzo::cli
