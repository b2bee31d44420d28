#include "runtime/cli/flags.h"

#include <cmath>

#include "passes/option_text.h"
#include "runtime/atomic_file.h"

namespace mezzo::cli {
namespace {

[[noreturn]] void usage(const std::string& message, const std::string& hint = {}) {
  throw Error(ErrorCode::usage, message, {}, hint);
}

// "input=8,3,224,224"
std::pair<std::string, Shape> parse_shape(const std::string& text) {
  size_t at = text.rfind('=');
  const char* hint = "write --shape NAME=8,3,224,224";
  if (at == std::string::npos || at == 0) usage(concat("--shape: '", text, "' has no NAME="), hint);
  Shape shape;
  std::string dims = text.substr(at + 1);
  for (size_t from = 0; from < dims.size();) {
    size_t to = std::min(dims.find_first_of(",x", from), dims.size());
    double v = parse_number(dims.substr(from, to - from), "--shape");
    if (v < 0 || v != std::floor(v) || v > 0x1p40)
      usage(concat("--shape: '", text, "' has a bad extent"), hint);
    shape.push_back(static_cast<int64_t>(v));
    from = to + 1;
  }
  return {text.substr(0, at), shape};
}

Optimizer parse_optimizer(const Flags& f) {
  if (f.optimizer == "sgd") {
    if (!f.betas.empty()) usage("--betas has no meaning for sgd", "use --momentum, or --optimizer adam");
    if (f.eps) usage("--eps has no meaning for sgd", "use --optimizer adam or adamw");
    SGD sgd;
    sgd.lr = f.lr.value_or(sgd.lr);
    sgd.momentum = f.momentum.value_or(0);
    sgd.weight_decay = f.weight_decay.value_or(0);
    sgd.nesterov = f.nesterov;
    return sgd;
  }
  if (f.momentum) usage(concat("--momentum has no meaning for ", f.optimizer), "use --betas A,B");
  if (f.nesterov) usage(concat("--nesterov has no meaning for ", f.optimizer));
  AdamW adam;
  if (f.optimizer == "adam") adam.weight_decay = 0;
  adam.lr = f.lr.value_or(adam.lr);
  adam.eps = f.eps.value_or(adam.eps);
  adam.weight_decay = f.weight_decay.value_or(adam.weight_decay);
  if (!f.betas.empty()) {
    size_t comma = f.betas.find(',');
    if (comma == std::string::npos) usage("--betas takes two numbers", "write --betas 0.9,0.999");
    adam.beta1 = parse_number(f.betas.substr(0, comma), "--betas");
    adam.beta2 = parse_number(f.betas.substr(comma + 1), "--betas");
  }
  if (f.optimizer == "adamw") return adam;
  return Adam{adam.lr, adam.beta1, adam.beta2, adam.eps, adam.weight_decay};
}

// "bert.*:weight_decay=0,lr_scale=0.1"
std::vector<ParameterGroup> parse_groups(const Flags& f) {
  std::vector<ParameterGroup> out;
  for (const std::string& text : f.groups) {
    std::optional<passes::ParameterGroup> group = passes::read_group(text);
    if (!group)
      usage(concat("--group: '", text, "' is no group"),
            "write --group 'GLOB:weight_decay=0,lr_scale=0.1', also with max_rank=1 for vectors only");
    out.push_back({group->match, group->max_rank, group->weight_decay, group->lr_scale});
  }
  if (f.no_decay_on_vectors) out.push_back(ParameterGroup::no_decay_on_vectors());
  return out;
}

}  // namespace

double parse_number(const std::string& text, const std::string& flag) {
  size_t used = 0;
  double v = 0;
  try {
    v = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used != text.size() || used == 0 || !std::isfinite(v))
    usage(concat(flag, ": '", text, "' is not a number"));
  return v;
}

void add_model(CLI::App& verb, Flags& f) { verb.add_option("MODEL", f.model, "the .onnx file")->required(); }

void add_json(CLI::App& verb, Flags& f) { verb.add_flag("--json", f.json, "print JSON"); }

void add_device(CLI::App& verb, Flags& f) {
  verb.add_option("--device", f.device, "where it runs")
      ->check(CLI::IsMember({"cpu", "cuda", "reference"}))
      ->capture_default_str();
}

void add_compile_flags(CLI::App& verb, Flags& f, bool dump) {
  verb.add_option("--loss", f.loss, "what is minimised; output: the model's first output is the loss")
      ->check(CLI::IsMember({"cross_entropy", "mse", "l1", "bce_with_logits", "output"}))
      ->capture_default_str();
  verb.add_option("--label-smoothing", f.label_smoothing, "cross_entropy: part spread over all classes")
      ->check(CLI::Range(0.0, 1.0));
  verb.add_option("--labels", f.labels, "array that holds labels or targets")->capture_default_str();
  verb.add_option("--precision", f.precision, "of matrix products and convolutions")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16"}))
      ->capture_default_str();
  verb.add_option(
          "--numerics", f.numerics,
          "excess: products are rounded where the libraries round them, not where the precision plan does")
      ->check(CLI::IsMember({"strict", "excess"}))
      ->capture_default_str();
  verb.add_option("--loss-scale", f.loss_scale,
                  "dynamic, none or a number (default: dynamic for fp16, else none)");
  verb.add_option("--mode", f.mode, "BatchNorm and Dropout as in training or in inference")
      ->check(CLI::IsMember({"train", "eval"}))
      ->capture_default_str();
  verb.add_option("--plan", f.plan, "precision plan whose overrides are applied");
  verb.add_option("--train", f.train, "initializers to train (glob, repeatable)")->delimiter(',');
  verb.add_option("--freeze", f.freeze, "initializers to keep as they are (glob, repeatable)")
      ->delimiter(',');
  verb.add_flag("--tie-aliases", f.tie_aliases,
                "all names that the file gives an initializer are one parameter");
  verb.add_option("--shape", f.shapes, "NAME=D,D,...: shape of a graph input (repeatable)");
  verb.add_option("--threads", f.threads, "0: all")->check(CLI::Range(0, 4096));
  verb.add_option("--seed", f.seed, "of shuffling and random ops")->capture_default_str();
  verb.add_option("--cache-dir", f.cache_dir, "compiled kernels; none: no cache");
  if (dump) verb.add_option("--dump", f.dump, "directory for every stage of the compilation");
  add_device(verb, f);
}

void add_optimizer_flags(CLI::App& verb, Flags& f) {
  verb.add_option("--optimizer", f.optimizer, "semantics of torch.optim")
      ->check(CLI::IsMember({"sgd", "adam", "adamw"}))
      ->capture_default_str();
  verb.add_option("--lr", f.lr, "learning rate (default: sgd 0.01, adam and adamw 0.001)");
  verb.add_option("--momentum", f.momentum, "sgd");
  verb.add_flag("--nesterov", f.nesterov, "sgd");
  verb.add_option("--weight-decay", f.weight_decay, "default: adamw 0.01, others 0");
  verb.add_option("--betas", f.betas, "adam, adamw: A,B (default 0.9,0.999)");
  verb.add_option("--eps", f.eps, "adam, adamw (default 1e-8)");
  verb.add_option("--clip-norm", f.clip_norm, "bound of the global L2 norm of the gradients");
  verb.add_option(
          "--group", f.groups,
          "GLOB:weight_decay=X,lr_scale=X for these parameters (repeatable; the first that says something "
          "counts)")
      ->allow_extra_args(false);
  verb.add_flag("--no-decay-on-vectors", f.no_decay_on_vectors,
                "no weight decay on parameters of one dim: biases and gains of norms");
}

Device parse_device(const std::string& text) {
  if (text == "cuda") return Device::cuda;
  return text == "reference" ? Device::reference : Device::cpu;
}

LossScale parse_loss_scale(const std::string& text) {
  if (text.empty()) return {};
  if (text == "none") return LossScale::none();
  if (text == "dynamic") return LossScale::dynamic();
  double scale = parse_number(text, "--loss-scale");
  if (scale <= 0) usage("--loss-scale must be positive");
  return LossScale::fixed(scale);
}

CompileOptions compile_options(const Flags& f) {
  CompileOptions o;
  for (const std::string& text : f.shapes) o.inputs.insert(parse_shape(text));
  using Kind = Loss::Kind;
  o.loss.kind = f.loss == "mse"               ? Kind::mse
                : f.loss == "l1"              ? Kind::l1
                : f.loss == "bce_with_logits" ? Kind::bce_with_logits
                : f.loss == "output"          ? Kind::output
                                              : Kind::cross_entropy;
  o.loss.labels = f.labels;
  o.loss.label_smoothing = f.label_smoothing;
  o.precision = f.precision == "bf16"   ? Precision::bf16
                : f.precision == "fp16" ? Precision::fp16
                                        : Precision::fp32;
  o.numerics = f.numerics == "excess" ? Numerics::excess : Numerics::strict;
  o.optimizer = parse_optimizer(f);
  o.groups = parse_groups(f);
  o.loss_scale = parse_loss_scale(f.loss_scale);
  o.clip_norm = f.clip_norm;
  o.training = f.mode == "train";
  o.device = parse_device(f.device);
  o.train = f.train;
  o.freeze = f.freeze;
  o.tie_aliases = f.tie_aliases;
  if (!f.plan.empty()) o.precision_plan = runtime::read_file(f.plan);
  o.seed = f.seed;
  o.threads = f.threads;
  o.cache_dir = f.cache_dir;
  o.dump_dir = f.dump;
  return o;
}

}  // namespace mezzo::cli
