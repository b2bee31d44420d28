// The learning rate over a run.
#include "runtime/cli/duration.h"
#include "runtime/cli/flags.h"

namespace mezzo::cli {

void add_schedule_flags(CLI::App& verb, Flags& f) {
  verb.add_option("--schedule", f.schedule, "of the learning rate; formulas: docs/training.md")
      ->check(CLI::IsMember({"constant", "step", "multi_step", "cosine", "linear"}))
      ->capture_default_str();
  verb.add_option("--warmup", f.warmup, "linear warm-up: 500 (steps), 5e (epochs) or 10% (of the run)")
      ->capture_default_str();
  verb.add_option("--warmup-start", f.warmup_start, "part of the learning rate at its first step")
      ->check(CLI::Range(0.0, 1.0));
  verb.add_option("--lr-final", f.lr_final, "cosine, linear: part of the learning rate at the end")
      ->check(CLI::NonNegativeNumber);
  verb.add_option("--lr-period", f.lr_period, "step: after how many steps (or 30e) gamma is applied again");
  verb.add_option("--milestones", f.milestones, "multi_step: when gamma is applied, e.g. 30e,60e,80e")
      ->delimiter(',');
  verb.add_option("--gamma", f.gamma, "step, multi_step: factor of the learning rate")->capture_default_str();
}

Schedule parse_schedule(const Flags& f, int64_t per_epoch, int64_t in_run) {
  using Kind = Schedule::Kind;
  Schedule s;
  s.kind = f.schedule == "step"         ? Kind::step
           : f.schedule == "multi_step" ? Kind::multi_step
           : f.schedule == "cosine"     ? Kind::cosine
           : f.schedule == "linear"     ? Kind::linear
                                        : Kind::constant;
  const bool drops = s.kind == Kind::step || s.kind == Kind::multi_step;
  auto must = [&](bool ok, const char* flag, const char* hint) {
    if (!ok)
      throw Error(ErrorCode::usage, concat(flag, " has no meaning for --schedule ", f.schedule), flag, hint);
  };
  must(f.lr_final == 0 || s.kind == Kind::cosine || s.kind == Kind::linear, "--lr-final",
       "it is for cosine and linear");
  must(f.lr_period.empty() || s.kind == Kind::step, "--lr-period", "it is for step");
  must(f.milestones.empty() || s.kind == Kind::multi_step, "--milestones", "it is for multi_step");
  must(f.gamma == 0.1 || drops, "--gamma", "it is for step and multi_step");
  auto steps = [&](const std::string& text, const char* flag) {
    return parse_duration(text, flag).steps(per_epoch, in_run);
  };
  s.warmup = steps(f.warmup, "--warmup");
  s.warmup_start = f.warmup_start;
  s.total = in_run;
  s.final_factor = f.lr_final;
  s.gamma = f.gamma;
  if (s.kind == Kind::step) {
    if (f.lr_period.empty())
      throw Error(ErrorCode::usage, "--schedule step needs --lr-period", "--lr-period",
                  "e.g. --lr-period 30e");
    s.period = steps(f.lr_period, "--lr-period");
  }
  for (const std::string& text : f.milestones) s.milestones.push_back(steps(text, "--milestones"));
  return s;
}

}  // namespace mezzo::cli
