#include "runtime/cli/training.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "runtime/cli/interrupt.h"
#include "runtime/cli/terminal.h"

namespace mezzo::cli {
namespace {

std::string status_line(const StepResult& r, const runtime::Session& session, int64_t skipped) {
  std::string text = concat("loss ", number_text(r.loss), "  norm ", number_text(r.grad_norm, 3), "  lr ",
                            number_text(r.lr, 3));
  if (r.scale != 1) text += concat("  scale ", number_text(r.scale, 7), "  skipped ", skipped);
  return concat(text, "  ", number_text(r.ms, 3), " ms  ", bytes_text(session.bytes()));
}

// What the step will hold, by category, in one line.
std::string plan_line(const passes::MemoryReport& m) {
  std::string parts;
  for (auto& [what, bytes] : m.categories())
    if (bytes > 0) parts += concat(parts.empty() ? "" : ", ", what, " ", bytes_text(bytes));
  return concat("memory plan: ", bytes_text(m.total()), " (", parts, ")");
}

void describe_overflow(const StepResult& r) {
  const Overflow& o = *r.overflow;
  warn(concat("step ", r.step, " skipped: gradients are not finite at scale ", number_text(r.scale, 7),
              "; first in ", o.phase, " at ",
              o.op.empty() ? "an accumulated sum" : concat(o.op, " '", o.node, "'")));
}

// Labels are positions in the list of classes, so both data sets must have the same list.
void check_classes(const runtime::DataSource& data, const runtime::DataSource& eval) {
  const std::vector<std::string> a = data.classes(), b = eval.classes();
  if (a.empty() || b.empty() || a == b) return;
  size_t at = 0;
  while (at < std::min(a.size(), b.size()) && a[at] == b[at]) at++;
  auto name = [&](const std::vector<std::string>& v) {
    return at < v.size() ? concat("'", v[at], "'") : "nothing";
  };
  throw Error(
      ErrorCode::bad_input,
      concat("class ", at, " is ", name(a), " in the training data and ", name(b), " in the evaluation data"),
      "--eval", "both must have the same classes");
}

bool is_better(const runtime::Evaluation& now, const runtime::Evaluation& before) {
  return std::isnan(now.top1) ? now.loss < before.loss : now.top1 > before.top1;
}

}  // namespace

Training::Training(const Flags& flags, std::shared_ptr<const runtime::LoadedModel> model)
    : flags_(flags),
      data_(open_dataset(flags.data, true, flags, *model)),
      eval_every_(parse_duration(flags.eval_every, "--eval-every")),
      checkpoint_every_(parse_duration(flags.checkpoint_every, "--checkpoint-every")) {
  if (!flags.eval.empty()) {
    eval_ = open_dataset(flags.eval, false, flags, *model);
    check_classes(*data_, *eval_);
  } else if (!flags.best.empty()) {
    throw Error(ErrorCode::usage, "--best keeps the best evaluated model", "--best", "give data to --eval");
  }
  runtime::BatchOrder order(data_->samples(), flags.batch, !flags.no_shuffle, flags.seed);
  windows_per_epoch_ = (order.batches_per_epoch() + flags.accumulate - 1) / flags.accumulate;
  windows_ = flags.epochs > 0 ? flags.epochs * windows_per_epoch_ : flags.steps;
  for (const Duration* every : {&eval_every_, &checkpoint_every_})
    if (every->steps(windows_per_epoch_, windows_) < 1)
      throw Error(ErrorCode::usage, "nothing can happen more often than every step",
                  every == &eval_every_ ? "--eval-every" : "--checkpoint-every");
  CompileOptions options = compile_options(flags);
  options.schedule = parse_schedule(flags, windows_per_epoch_, windows_);
  session_.emplace(model, std::move(options));
  session_->tell_plans([](const passes::MemoryReport& m) { note(plan_line(m)); });

  int64_t log_bytes = 0;
  if (!flags.checkpoint.empty()) {
    checkpoints_.emplace(flags.checkpoint, flags.keep);
    if (flags.resume) log_bytes = resume();
  } else if (flags.resume) {
    throw Error(ErrorCode::usage, "--resume goes on from a checkpoint", "--resume",
                "name the folder with --checkpoint");
  }
  log_.emplace(flags.log, flags.log.empty() ? 0 : log_bytes);
  order.go_to(place_);
  loader_.emplace(*data_, std::move(order), flags.prefetch);
}

Training::Window Training::gather() {
  Window window;
  int64_t batches = 0;
  do {
    runtime::Batch batch = loader_->next();
    batches++;
    window.ends_epoch = batch.ends_epoch;
    window.place = batch.next;
    window.corrupt += batch.rows.corrupt;
    if (batch.rows.samples > 0) window.batches.push_back(std::move(batch.rows.arrays));
  } while (batches < flags_.accumulate && !window.ends_epoch);
  return window;
}

// What is wrong with the next window is not this step's: it is told when its turn comes.
void Training::stage_next() noexcept try {
  if (next_ || next_error_ || under_way_.size() > 1 || done_ + 1 >= windows_) return;
  next_ = gather();
  if (!next_->batches.empty()) session_->stage(std::move(next_->batches));
} catch (...) {
  next_error_ = std::current_exception();
}

void Training::take_place(const Window& window) {
  at_epoch_end_ = window.ends_epoch;
  place_ = window.place;
  corrupt_ += window.corrupt;
}

std::optional<StepResult> Training::step(bool ahead) {
  auto start = [this](Window window) {
    session_->start();
    under_way_.push_back(std::move(window));
  };
  if (under_way_.empty()) {
    if (next_error_) std::rethrow_exception(next_error_);
    Window now = next_ ? std::move(*next_) : gather();
    next_.reset();
    if (!now.batches.empty()) session_->stage(std::move(now.batches));
    if (!session_->has_staged()) {
      take_place(now);
      return std::nullopt;
    }
    start(std::move(now));
  }
  if (session_->on_device()) stage_next();
  if (ahead && next_ && session_->may_start_ahead() && !is_looked_at(under_way_.front())) {
    start(std::move(*next_));
    next_.reset();
  }
  last_ = session_->finish();
  take_place(under_way_.front());
  under_way_.pop_front();
  log_->step(last_);
  return last_;
}

bool Training::is_due(const Duration& every, int64_t done, bool ends_epoch,
                      const runtime::BatchOrder::Place& place) const {
  if (done == windows_) return true;
  const bool whole_epochs = every.unit == Duration::Unit::epochs && every.amount == std::floor(every.amount);
  if (!whole_epochs) return done % every.steps(windows_per_epoch_, windows_) == 0;
  return ends_epoch && place.epoch % static_cast<int64_t>(every.amount) == 0;
}

bool Training::is_looked_at(const Window& under_way) const {
  auto due = [&](const Duration& every) {
    return is_due(every, done_ + 1, under_way.ends_epoch, under_way.place);
  };
  return (eval_ && due(eval_every_)) || (checkpoints_ && due(checkpoint_every_));
}

void Training::evaluate(int64_t epoch) {
  final_ = runtime::evaluate(*session_, *eval_, flags_.batch, flags_.prefetch);
  log_->evaluation(epoch, last_.step, *final_);
  if (best_ && !is_better(*final_, *best_)) return;
  best_ = final_;
  if (!flags_.best.empty()) session_->save_onnx(flags_.best);
}

// One line per epoch, so that a log file of a run without a terminal tells how it went.
void Training::report_epoch(int64_t epoch, bool evaluated) const {
  std::string text =
      concat("epoch ", epoch, "  step ", last_.step, "  loss ",
             epoch_steps_ ? number_text(epoch_loss_ / static_cast<double>(epoch_steps_), 5) : "-");
  if (evaluated) text += concat("  eval_loss ", number_text(final_->loss, 5));
  if (evaluated && !std::isnan(final_->top1)) text += concat("  eval_top1 ", number_text(final_->top1, 4));
  if (evaluated && !std::isnan(final_->top5)) text += concat("  eval_top5 ", number_text(final_->top5, 4));
  if (corrupt_ > 0) text += concat("  corrupt ", corrupt_);
  if (evaluated && final_->corrupt > 0) text += concat("  eval_corrupt ", final_->corrupt);
  note(text);
}

bool Training::run() {
  InterruptGuard interrupt;
  Progress progress(windows_);
  while (done_ < windows_) {
    if (std::optional<StepResult> r = step(!interrupt.requested())) {
      if (r->skipped) {
        skipped_++;
        progress.clear();
        describe_overflow(*r);
      } else {
        epoch_loss_ += r->loss;
        epoch_steps_++;
      }
    }
    done_++;
    progress.update(done_, status_line(last_, *session_, skipped_));
    const bool stop = interrupt.requested() && under_way_.empty();
    const bool evaluates = !stop && eval_ && is_due(eval_every_);
    if (evaluates || at_epoch_end_ || done_ == windows_) {
      progress.clear();
      const int64_t epoch = at_epoch_end_ ? place_.epoch : place_.epoch + 1;
      if (evaluates) evaluate(epoch);
      report_epoch(epoch, evaluates);
    }
    if (at_epoch_end_) {
      epoch_loss_ = 0;
      epoch_steps_ = 0;
    }
    if (checkpoints_ && last_.step > 0 && (stop || is_due(checkpoint_every_)))
      checkpoints_->write(done_, *session_, record());
    if (stop) {
      progress.clear();
      return false;
    }
  }
  if (last_.step == 0)
    throw Error(ErrorCode::bad_input, concat("no sample of '", flags_.data, "' can be read"), flags_.data,
                "check the files");
  return true;
}

void Training::print_json() const {
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
    out["eval_top5"] = number(final_->top5);
  }
  if (best_) out["best_top1"] = number(best_->top1);
  if (best_) out["best_loss"] = number(best_->loss);
  if (flags_.skip_corrupt) out["corrupt"] = corrupt_;
  std::cout << out.dump() << '\n';
}

}  // namespace mezzo::cli
