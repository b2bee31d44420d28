// flags.h: the flags that several verbs share, and what they mean for the library.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/options.h"
#include "runtime/data/source.h"
#include "runtime/step_graph.h"

namespace mezzo::cli {

struct Flags {
  std::string model, out;
  bool json = false;

  // How the step is compiled.
  std::string loss = "cross_entropy", labels = "labels", precision = "fp32", numerics = "strict", loss_scale,
              device = "cpu", mode = "train";
  std::string plan, dump, cache_dir;
  std::vector<std::string> train, freeze, shapes;
  bool tie_aliases = false;
  int threads = 0;
  uint64_t seed = 0;

  // The optimizer. Absent values are those of its torch namesake.
  std::string optimizer = "sgd", betas;
  std::optional<double> lr, momentum, weight_decay, eps, clip_norm;
  bool nesterov = false, no_decay_on_vectors = false;
  double label_smoothing = 0;
  std::vector<std::string> groups;

  // The learning rate over the run. Stretches are written as in duration.h.
  std::string schedule = "constant", warmup = "0", lr_period;
  std::vector<std::string> milestones;
  double warmup_start = 0, lr_final = 0, gamma = 0.1;

  // Data and its order.
  std::string data, feed, eval, log;
  int64_t batch = 0, accumulate = 1, epochs = 0, steps = 0;
  bool no_shuffle = false;
  std::string data_format = "auto";
  std::vector<double> mean, std;
  int64_t sequence = 0, resize = 0, prefetch = 2;
  bool no_augment = false, skip_corrupt = false;

  // When to evaluate, and what is kept.
  std::string eval_every = "1e", best, checkpoint, checkpoint_every = "1e";
  int64_t keep = 2;
  bool resume = false;
};

// What a verb does once the command line has been read; returns the exit code.
using Action = std::function<int()>;

void add_model(CLI::App& verb, Flags& flags);
void add_json(CLI::App& verb, Flags& flags);
// --loss --labels --precision --numerics --loss-scale --device --mode --plan --train --freeze --tie-aliases --shape --threads --seed
// --cache-dir and, with `dump`, --dump.
void add_compile_flags(CLI::App& verb, Flags& flags, bool dump);
void add_device(CLI::App& verb, Flags& flags);
// --optimizer --lr --momentum --nesterov --weight-decay --betas --eps --clip-norm --group
// --no-decay-on-vectors
void add_optimizer_flags(CLI::App& verb, Flags& flags);
// --data-format --seq --mean --std --resize --no-augment --skip-corrupt --prefetch
void add_data_flags(CLI::App& verb, Flags& flags);

// The data set at `path` for this model; `training`: with augmentation.
std::unique_ptr<runtime::DataSource> open_dataset(const std::string& path, bool training, const Flags& flags,
                                                  const runtime::LoadedModel& model);

// --schedule --warmup --warmup-start --lr-final --lr-period --milestones --gamma
void add_schedule_flags(CLI::App& verb, Flags& flags);
// For a run of `in_run` steps. Throws Error(usage) for flags that have no meaning for the schedule.
Schedule parse_schedule(const Flags& flags, int64_t per_epoch, int64_t in_run);

// The library's options. Throws Error(usage) for flags that contradict each other.
CompileOptions compile_options(const Flags& flags);
// A finite number; Error(usage) naming the flag for anything else.
double parse_number(const std::string& text, const std::string& flag);
Device parse_device(const std::string& text);
// --loss-scale: dynamic, none or a number; empty: automatic.
LossScale parse_loss_scale(const std::string& text);

}  // namespace mezzo::cli
