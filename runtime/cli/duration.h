// duration.h: stretches of a training as users write them.
#pragma once
#include <cstdint>
#include <string>

namespace mezzo::cli {

// "500": optimizer steps; "5e": epochs (also "0.5e"); "10%": part of the whole run.
struct Duration {
  enum class Unit : uint8_t { steps, epochs, percent };
  double amount = 0;
  Unit unit = Unit::steps;
  // Rounded to whole steps.
  int64_t steps(int64_t per_epoch, int64_t in_run) const;
};

// Throws Error(usage) naming `flag`.
Duration parse_duration(const std::string& text, const std::string& flag);

}  // namespace mezzo::cli
