// Where samples come from and what happens to them on the way.
#include <map>

#include "runtime/cli/flags.h"

namespace mezzo::cli {
namespace {

using runtime::DataFormat;

const std::map<std::string, DataFormat> kFormats = {
    {"auto", DataFormat::automatic},  {"npz", DataFormat::npz},       {"idx", DataFormat::idx},
    {"cifar10", DataFormat::cifar10}, {"folder", DataFormat::folder}, {"tokens", DataFormat::tokens}};

}  // namespace

void add_data_flags(CLI::App& verb, Flags& f) {
  verb.add_option("--data-format", f.data_format, "of --data and --eval; auto: by what the path is")
      ->check(CLI::IsMember({"auto", "npz", "idx", "cifar10", "folder", "tokens"}))
      ->capture_default_str();
  verb.add_option("--seq", f.sequence, "tokens per sample of token files (default: the model's)")
      ->check(CLI::Range(1, 1 << 24));
  verb.add_option("--mean", f.mean, "of pixels / 255, one number or one per channel (default: the format's)")
      ->delimiter(',');
  verb.add_option("--std", f.std, "standard deviation of pixels / 255, like --mean")->delimiter(',');
  verb.add_option("--resize", f.resize, "image folders: shorter side before the centre crop of evaluation")
      ->check(CLI::Range(1, 1 << 14));
  verb.add_flag("--no-augment", f.no_augment,
                "training pictures as in evaluation: no random crops and flips");
  verb.add_flag("--skip-corrupt", f.skip_corrupt, "leave out and count pictures that cannot be read");
  verb.add_option("--prefetch", f.prefetch,
                  "batches read ahead by a thread; 0: none, the results are the same")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

std::unique_ptr<runtime::DataSource> open_dataset(const std::string& path, bool training, const Flags& f,
                                                  const runtime::LoadedModel& model) {
  runtime::DataOptions options;
  options.path = path;
  options.format = kFormats.at(f.data_format);
  options.training = training;
  options.labels = f.loss == "output" ? "" : f.labels;
  options.seed = f.seed;
  options.sequence = f.sequence;
  options.skip_corrupt = f.skip_corrupt;
  options.image.mean = f.mean;
  options.image.std = f.std;
  options.image.augment = !f.no_augment;
  options.image.resize = f.resize;
  runtime::ModelInputs inputs = model.inputs;
  const std::map<std::string, Shape> fixed = compile_options(f).inputs;
  for (frontend::InputInfo& input : inputs) {
    auto found = fixed.find(input.name);
    if (found == fixed.end()) continue;
    input.ranked = true;
    input.dims.clear();
    for (int64_t d : found->second) input.dims.push_back({d, {}});
  }
  return runtime::open_data(options, inputs);
}

}  // namespace mezzo::cli
