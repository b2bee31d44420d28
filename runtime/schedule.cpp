#include "runtime/schedule.h"

#include <algorithm>
#include <cmath>

namespace mezzo::runtime {
namespace {

double without_warmup(const Schedule& s, int64_t t) {
  using Kind = Schedule::Kind;
  const auto rest = static_cast<double>(s.total - s.warmup);
  const double done = rest > 0 ? std::clamp(static_cast<double>(t - s.warmup) / rest, 0.0, 1.0) : 1;
  switch (s.kind) {
    case Kind::constant: return 1;
    case Kind::step: return std::pow(s.gamma, static_cast<double>(t / s.period));
    case Kind::multi_step: {
      const auto passed =
          std::count_if(s.milestones.begin(), s.milestones.end(), [&](int64_t m) { return m <= t; });
      return std::pow(s.gamma, static_cast<double>(passed));
    }
    case Kind::cosine: return s.final_factor + (1 - s.final_factor) * (1 + std::cos(M_PI * done)) / 2;
    case Kind::linear: return 1 + (s.final_factor - 1) * done;
  }
  throw InternalError("unknown schedule");
}

}  // namespace

double lr_factor(const Schedule& s, int64_t t) {
  const double warm = t < s.warmup ? s.warmup_start + (1 - s.warmup_start) * static_cast<double>(t) /
                                                          static_cast<double>(s.warmup)
                                   : 1;
  return warm * without_warmup(s, t);
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
