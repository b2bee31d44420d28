// mezzo train: a data set in, a trained .onnx out.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "runtime/atomic_file.h"
#include "runtime/cli/interrupt.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"
#include "runtime/data.h"
#include "runtime/json_log.h"
#include "runtime/session.h"

namespace mezzo::cli {
namespace {

struct Evaluation {
  double loss = 0, top1 = NAN;
};

// Mean over all samples, so that a shorter last batch weighs less; top-1 over all labels that count.
Evaluation evaluate(runtime::Session& session, const runtime::Dataset& data, int64_t batch) {
  runtime::BatchOrder order(data.samples(), batch, false, 0);
  runtime::Hits hits;
  double sum = 0;
  for (int64_t i = 0; i < order.batches_per_epoch(); i++) {
    auto indices = order.next();
    runtime::EvalOutcome outcome = session.evaluate(data.gather(indices));
    sum += outcome.loss * static_cast<double>(indices.size());
    hits.right += outcome.hits.right;
    hits.counted += outcome.hits.counted;
  }
  Evaluation e{sum / static_cast<double>(data.samples()), NAN};
  if (hits.counted > 0) e.top1 = static_cast<double>(hits.right) / static_cast<double>(hits.counted);
  return e;
}

runtime::Dataset read_dataset(const std::string& path, const Flags& flags,
                              const runtime::LoadedModel& model) {
  return runtime::Dataset(runtime::read_npz(path), model.input_names(),
                          flags.loss == "output" ? "" : flags.labels, path);
}

std::string status_line(const StepResult& r, const runtime::Session& session, int64_t skipped) {
  std::string text = concat("loss ", number_text(r.loss), "  norm ", number_text(r.grad_norm, 3), "  lr ",
                            number_text(r.lr, 3));
  if (r.scale != 1) text += concat("  scale ", number_text(r.scale, 7), "  skipped ", skipped);
  return concat(text, "  ", number_text(r.ms, 3), " ms  ", bytes_text(session.bytes()));
}

// One line per epoch, so that a log file of a run without a terminal tells how it went.
void report_epoch(int64_t epoch, int64_t step, double loss, const Evaluation* e) {
  std::string text =
      concat("epoch ", epoch, "  step ", step, "  loss ", std::isnan(loss) ? "-" : number_text(loss, 5));
  if (e) text += concat("  eval_loss ", number_text(e->loss, 5));
  if (e && !std::isnan(e->top1)) text += concat("  eval_top1 ", number_text(e->top1, 4));
  note(text);
}

void describe_overflow(const StepResult& r) {
  const Overflow& o = *r.overflow;
  warn(concat("step ", r.step, " skipped: gradients are not finite at scale ", number_text(r.scale, 7),
              "; first in ", o.phase, " at ",
              o.op.empty() ? "an accumulated sum" : concat(o.op, " '", o.node, "'")));
}

class Training {
 public:
  Training(const Flags& flags, std::shared_ptr<const runtime::LoadedModel> model)
      : flags_(flags),
        session_(model, compile_options(flags)),
        data_(read_dataset(flags.data, flags, *model)),
        order_(data_.samples(), flags.batch, !flags.no_shuffle, flags.seed),
        log_(flags.log) {
    if (!flags.eval.empty()) eval_.emplace(read_dataset(flags.eval, flags, *model));
    steps_per_epoch_ = (order_.batches_per_epoch() + flags.accumulate - 1) / flags.accumulate;
    total_ = flags.epochs > 0 ? flags.epochs * steps_per_epoch_ : flags.steps;
  }

  // Returns false when it was interrupted; the weights are then those after the last complete step.
  bool run() {
    InterruptGuard interrupt;
    Progress progress(total_);
    double epoch_loss = 0;
    int64_t epoch_steps = 0;
    for (int64_t k = 1; k <= total_; k++) {
      StepResult r = step();
      epoch_loss += r.skipped ? 0 : r.loss;
      epoch_steps += r.skipped ? 0 : 1;
      if (r.skipped) {
        skipped_++;
        progress.clear();
        describe_overflow(r);
      }
      last_ = r;
      progress.update(k, status_line(r, session_, skipped_));
      if (interrupt.requested()) {
        progress.clear();
        return false;
      }
      if (!order_.at_epoch_start() && k < total_) continue;
      std::optional<Evaluation> e;
      int64_t epoch = order_.at_epoch_start() ? order_.epoch() : order_.epoch() + 1;
      if (eval_) {
        e = evaluate(session_, *eval_, flags_.batch);
        log_.evaluation(epoch, r.step, e->loss, e->top1);
        final_ = e;
      }
      progress.clear();
      report_epoch(epoch, r.step, epoch_steps ? epoch_loss / static_cast<double>(epoch_steps) : NAN,
                   e ? &*e : nullptr);
      epoch_loss = 0;
      epoch_steps = 0;
    }
    return true;
  }

  void save() { session_.save_onnx(flags_.out); }

  void print_json() const {
    auto number = [](double v) {
      return std::isfinite(v) ? nlohmann::ordered_json(v) : nlohmann::ordered_json(nullptr);
    };
    nlohmann::ordered_json out{{"steps", last_.step},
                               {"skipped", skipped_},
                               {"loss", number(last_.loss)},
                               {"scale", number(last_.scale)},
                               {"out", flags_.out}};
    if (final_) {
      out["eval_loss"] = number(final_->loss);
      out["eval_top1"] = number(final_->top1);
    }
    std::cout << out.dump() << '\n';
  }

 private:
  // The next window: up to --accumulate batches, never across the end of an epoch.
  StepResult step() {
    std::vector<runtime::Arrays> window;
    do {
      window.push_back(data_.gather(order_.next()));
    } while (static_cast<int64_t>(window.size()) < flags_.accumulate && !order_.at_epoch_start());
    StepResult r = session_.step(window);
    log_.step(r);
    return r;
  }

  const Flags& flags_;
  runtime::Session session_;
  runtime::Dataset data_;
  std::optional<runtime::Dataset> eval_;
  runtime::BatchOrder order_;
  runtime::JsonLog log_;
  int64_t steps_per_epoch_ = 0, total_ = 0, skipped_ = 0;
  StepResult last_;
  std::optional<Evaluation> final_;
};

int train(const Flags& flags) {
  if ((flags.epochs > 0) == (flags.steps > 0))
    throw Error(ErrorCode::usage, "give either --epochs or --steps", {}, "e.g. --epochs 10");
  auto model = std::make_shared<runtime::LoadedModel>(flags.model);
  runtime::AtomicFile probe(
      flags.out);  // a path that cannot be written shall fail now, not after the training
  Training training(flags, model);
  bool finished = false;
  try {
    finished = training.run();
  } catch (const Error& e) {
    // Skipped too often: the weights are those of the last good step, worth keeping.
    if (e.code() == ErrorCode::check_failed) training.save();
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
  CLI::App* verb = app.add_subcommand("train", "train a model on an .npz data set");
  auto flags = std::make_shared<Flags>();
  add_model(*verb, *flags);
  verb->add_option("--data", flags->data, ".npz with one array per graph input, and the labels")->required();
  verb->add_option("--batch", flags->batch, "samples per micro-batch")
      ->required()
      ->check(CLI::Range(1, 1 << 30));
  verb->add_option("--epochs", flags->epochs, "passes over the data")->check(CLI::Range(1, 1 << 30));
  verb->add_option("--steps", flags->steps, "optimizer steps")->check(CLI::Range(1, 1 << 30));
  verb->add_flag("--no-shuffle", flags->no_shuffle, "keep the order of the file");
  verb->add_option("--accumulate", flags->accumulate, "micro-batches per optimizer step")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  add_optimizer_flags(*verb, *flags);
  add_compile_flags(*verb, *flags, true);
  verb->add_option("--eval", flags->eval, ".npz to evaluate on after every epoch");
  verb->add_option("--log", flags->log, "JSON lines, one per step and evaluation");
  verb->add_option("--out", flags->out, ".onnx to write")->required();
  add_json(*verb, *flags);
  verb->callback([flags, &action] { action = [flags] { return train(*flags); }; });
}

}  // namespace mezzo::cli
