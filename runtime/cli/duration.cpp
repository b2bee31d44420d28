#include "runtime/cli/duration.h"

#include <cmath>

#include "runtime/cli/flags.h"

namespace mezzo::cli {

int64_t Duration::steps(int64_t per_epoch, int64_t in_run) const {
  const double unit_steps = unit == Unit::steps    ? 1
                            : unit == Unit::epochs ? static_cast<double>(per_epoch)
                                                   : static_cast<double>(in_run) / 100;
  return std::llround(amount * unit_steps);
}

Duration parse_duration(const std::string& text, const std::string& flag) {
  using Unit = Duration::Unit;
  const char last = text.empty() ? '\0' : text.back();
  const Unit unit = last == 'e' ? Unit::epochs : last == '%' ? Unit::percent : Unit::steps;
  const std::string digits = unit == Unit::steps ? text : text.substr(0, text.size() - 1);
  const char* hint = "write 500 for steps, 5e for epochs, 10% for a part of the run";
  if (digits.empty() || digits.find_first_not_of("0123456789.") != digits.npos)
    throw Error(ErrorCode::usage, concat(flag, ": '", text, "' is no stretch of a training"), flag, hint);
  const double amount = parse_number(digits, flag);
  if (amount > 0x1p40 || (unit == Unit::steps && amount != std::floor(amount)))
    throw Error(ErrorCode::usage, concat(flag, ": '", text, "' is no stretch of a training"), flag, hint);
  return {amount, unit};
}

}  // namespace mezzo::cli
