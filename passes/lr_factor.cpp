#include "passes/lr_factor.h"

#include <cmath>

namespace mezzo::passes {

using namespace ir;

namespace {

// From 0 at the end of the warm-up to 1 at the end of the schedule.
Value share_done(Value t, const ScheduleOptions& s) {
  const auto warmup = static_cast<double>(s.warmup), rest = static_cast<double>(s.total - s.warmup);
  if (rest <= 0) return constant_like(t, 1);
  return minimum(maximum((t - warmup) / rest, constant_like(t, 0)), constant_like(t, 1));
}

// Null: 1.
Value without_warmup(Value t, const ScheduleOptions& s) {
  using Kind = ScheduleKind;
  auto gamma_to_the = [&](Value drops) { return pow(constant_like(t, s.gamma), drops); };
  switch (s.kind) {
    case Kind::constant: return {};
    case Kind::step: return gamma_to_the(floor(t / static_cast<double>(s.period)));
    case Kind::multi_step: {
      Value passed = constant_like(t, 0);
      for (int64_t m : s.milestones)
        passed = passed + cast(greater_equal(t, constant_like(t, static_cast<double>(m))), DType::f64);
      return gamma_to_the(passed);
    }
    case Kind::cosine: return (cos(share_done(t, s) * M_PI) + 1) * (1 - s.final_factor) / 2 + s.final_factor;
    case Kind::linear: return share_done(t, s) * (s.final_factor - 1) + 1;
  }
  throw InternalError("unknown schedule");
}

}  // namespace

Value lr_factor(Value committed, const ScheduleOptions& s) {
  Value t = cast(committed, DType::f64);
  Value factor = without_warmup(t, s);
  if (s.warmup == 0) return factor;
  const auto warmup = static_cast<double>(s.warmup);
  Value rising = t * (1 - s.warmup_start) / warmup + s.warmup_start;
  Value warm = where(less(t, constant_like(t, warmup)), rising, constant_like(t, 1));
  return factor ? warm * factor : warm;
}

}  // namespace mezzo::passes
