#include "runtime/schedule.h"

#include <cmath>

#include "ir/build.h"
#include "ir/eval.h"
#include "passes/lr_factor.h"

namespace mezzo::runtime {

passes::ScheduleOptions schedule_options(const Schedule& s) {
  using Kind = Schedule::Kind;
  passes::ScheduleOptions out;
  switch (s.kind) {
    case Kind::constant: out.kind = passes::ScheduleKind::constant; break;
    case Kind::step: out.kind = passes::ScheduleKind::step; break;
    case Kind::multi_step: out.kind = passes::ScheduleKind::multi_step; break;
    case Kind::cosine: out.kind = passes::ScheduleKind::cosine; break;
    case Kind::linear: out.kind = passes::ScheduleKind::linear; break;
  }
  out.warmup = s.warmup;
  out.warmup_start = s.warmup_start;
  out.total = s.total;
  out.final_factor = s.final_factor;
  out.period = s.period;
  out.milestones = s.milestones;
  out.gamma = s.gamma;
  return out;
}

LrFactor::LrFactor(const Schedule& schedule) {
  const ir::Value committed = graph_.input(kCommitted, {ir::DType::i64, {}});
  ir::Value factor = passes::lr_factor(committed, schedule_options(schedule));
  if (factor) graph_.outputs.push_back({kFactor, factor});
}

double LrFactor::at(int64_t committed) const {
  if (graph_.outputs.empty()) return 1;
  ir::Tensor t({ir::DType::i64, {}});
  t.set_int(0, committed);
  return ir::evaluate(graph_, {{kCommitted, std::move(t)}}, ir::EvalMode::rounded).outputs.at(kFactor).get(0);
}

void check_schedule(const Schedule& s) {
  using Kind = Schedule::Kind;
  auto must = [](bool ok, const char* message, const char* flag) {
    if (!ok) throw Error(ErrorCode::usage, message, flag);
  };
  must(s.warmup >= 0, "the warm-up must not be negative", "--warmup");
  must(s.warmup_start >= 0 && s.warmup_start <= 1,
       "the warm-up starts from a part of the learning rate, 0 to 1", "--warmup-start");
  must(s.final_factor >= 0 && std::isfinite(s.final_factor), "the final factor must not be negative",
       "--lr-final");
  if (s.kind == Kind::cosine || s.kind == Kind::linear)
    must(s.total > s.warmup, "the schedule must be longer than its warm-up", "--warmup");
  if (s.kind == Kind::step) must(s.period > 0, "the period of the steps must be positive", "--lr-period");
  if (s.kind == Kind::multi_step)
    must(!s.milestones.empty(), "the schedule has no milestones", "--milestones");
  if (s.kind == Kind::step || s.kind == Kind::multi_step)
    must(s.gamma > 0 && std::isfinite(s.gamma), "gamma must be positive", "--gamma");
}

}  // namespace mezzo::runtime
