#include "passes/option_text.h"

#include <array>
#include <functional>

#include "ir/spelling.h"

namespace mezzo::passes {
namespace {

using ir::DType;

constexpr std::array<std::string_view, 3> kOptimizers{"sgd", "adam", "adamw"};
constexpr std::array<std::string_view, 2> kNumerics{"strict", "excess"};
constexpr std::array<std::string_view, 3> kLossScales{"none", "fixed", "dynamic"};
constexpr std::array<std::string_view, 5> kSchedules{"constant", "step", "multi_step", "cosine", "linear"};

// One key: reads the text into the options (false: not a value of this key), and writes it ("" = leave the
// key out).
struct Key {
  std::string_view name;
  std::function<bool(Options&, const std::string&)> read;
  std::function<std::string(const Options&)> write;
};

bool read_number(const std::string& text, double& to) {
  std::optional<double> v = ir::read_double(text);
  if (v) to = *v;
  return v.has_value();
}
bool read_number(const std::string& text, int64_t& to) {
  std::optional<int64_t> v = ir::read_int(text);
  if (v) to = *v;
  return v.has_value();
}
std::string write_number(double v) { return ir::spell(v); }
std::string write_number(int64_t v) { return std::to_string(v); }
bool read_bool(const std::string& text, bool& to) {
  to = text == "true";
  return text == "true" || text == "false";
}
template <class Enum, size_t N>
bool read_enum(const std::string& text, const std::array<std::string_view, N>& names, Enum& to) {
  for (size_t i = 0; i < names.size(); i++)
    if (names[i] == text) {
      to = static_cast<Enum>(i);
      return true;
    }
  return false;
}

OptimizerOptions& optimizer_of(Options& o) { return o.optimizer ? *o.optimizer : o.optimizer.emplace(); }

std::string spell_flag(bool v) { return v ? "true" : "false"; }

Key optimizer_number(std::string_view name, double OptimizerOptions::*field) {
  return {name, [=](Options& o, const std::string& t) { return read_number(t, optimizer_of(o).*field); },
          [=](const Options& o) {
            return !o.optimizer || (*o.optimizer).*field == OptimizerOptions{}.*field
                       ? ""
                       : ir::spell((*o.optimizer).*field);
          }};
}
ScheduleOptions& schedule_of(Options& o) { return optimizer_of(o).schedule; }
template <class Number>
Key schedule_number(std::string_view name, Number ScheduleOptions::*field) {
  return {name, [=](Options& o, const std::string& t) { return read_number(t, schedule_of(o).*field); },
          [=](const Options& o) {
            return !o.optimizer || o.optimizer->schedule.*field == ScheduleOptions{}.*field
                       ? ""
                       : write_number(o.optimizer->schedule.*field);
          }};
}
// "3,6,8"
bool read_milestones(const std::string& text, std::vector<int64_t>& to) {
  to.clear();
  for (size_t from = 0; from <= text.size();) {
    const size_t comma = std::min(text.find(',', from), text.size());
    if (!read_number(text.substr(from, comma - from), to.emplace_back())) return false;
    from = comma + 1;
  }
  return true;
}
std::string write_milestones(const std::vector<int64_t>& milestones) {
  std::string out;
  for (int64_t m : milestones) out += concat(out.empty() ? "" : ",", m);
  return out;
}
Key scale_number(std::string_view name, double LossScaleOptions::*field) {
  return {name, [=](Options& o, const std::string& t) { return read_number(t, o.loss_scale.*field); },
          [=](const Options& o) {
            return o.loss_scale.*field == LossScaleOptions{}.*field ? "" : ir::spell(o.loss_scale.*field);
          }};
}
Key whole(std::string_view name, int64_t Options::*field) {
  return {name, [=](Options& o, const std::string& t) { return read_number(t, o.*field); },
          [=](const Options& o) { return o.*field == Options{}.*field ? "" : std::to_string(o.*field); }};
}
Key flag(std::string_view name, bool Options::*field) {
  return {name, [=](Options& o, const std::string& t) { return read_bool(t, o.*field); },
          [=](const Options& o) { return o.*field == Options{}.*field ? "" : spell_flag(o.*field); }};
}

const std::vector<Key>& keys() {
  static const std::vector<Key> all = {
      {"low",
       [](Options& o, const std::string& t) {
         o.low = ir::parse_dtype(t);
         return o.low && ir::is_low(*o.low);
       },
       [](const Options& o) { return o.low ? std::string(ir::name(*o.low)) : ""; }},
      {"loss_scale",
       [](Options& o, const std::string& t) { return read_enum(t, kLossScales, o.loss_scale.kind); },
       [](const Options& o) {
         auto kind = static_cast<size_t>(o.loss_scale.kind);
         return kind == 0 ? "" : std::string(kLossScales[kind]);
       }},
      scale_number("scale_init", &LossScaleOptions::init),
      scale_number("scale_growth", &LossScaleOptions::growth),
      scale_number("scale_backoff", &LossScaleOptions::backoff),
      scale_number("scale_min", &LossScaleOptions::min),
      scale_number("scale_max", &LossScaleOptions::max),
      {"scale_interval",
       [](Options& o, const std::string& t) { return read_number(t, o.loss_scale.interval); },
       [](const Options& o) {
         int64_t interval = o.loss_scale.interval;
         return interval == LossScaleOptions{}.interval ? "" : std::to_string(interval);
       }},
      {"optimizer",
       [](Options& o, const std::string& t) { return read_enum(t, kOptimizers, optimizer_of(o).kind); },
       [](const Options& o) {
         return o.optimizer ? std::string(kOptimizers[static_cast<size_t>(o.optimizer->kind)]) : "";
       }},
      optimizer_number("lr", &OptimizerOptions::lr),
      optimizer_number("momentum", &OptimizerOptions::momentum),
      optimizer_number("dampening", &OptimizerOptions::dampening),
      optimizer_number("weight_decay", &OptimizerOptions::weight_decay),
      optimizer_number("beta1", &OptimizerOptions::beta1),
      optimizer_number("beta2", &OptimizerOptions::beta2),
      optimizer_number("eps", &OptimizerOptions::eps),
      {"nesterov", [](Options& o, const std::string& t) { return read_bool(t, optimizer_of(o).nesterov); },
       [](const Options& o) { return o.optimizer && o.optimizer->nesterov ? "true" : ""; }},
      {"schedule",
       [](Options& o, const std::string& t) { return read_enum(t, kSchedules, schedule_of(o).kind); },
       [](const Options& o) {
         auto kind = o.optimizer ? static_cast<size_t>(o.optimizer->schedule.kind) : 0;
         return kind == 0 ? "" : std::string(kSchedules[kind]);
       }},
      schedule_number("warmup", &ScheduleOptions::warmup),
      schedule_number("warmup_start", &ScheduleOptions::warmup_start),
      schedule_number("lr_total", &ScheduleOptions::total),
      schedule_number("lr_final", &ScheduleOptions::final_factor),
      schedule_number("lr_period", &ScheduleOptions::period),
      {"milestones",
       [](Options& o, const std::string& t) { return read_milestones(t, schedule_of(o).milestones); },
       [](const Options& o) {
         return o.optimizer ? write_milestones(o.optimizer->schedule.milestones) : "";
       }},
      schedule_number("gamma", &ScheduleOptions::gamma),
      {"clip_norm", [](Options& o, const std::string& t) { return read_number(t, o.clip_norm.emplace()); },
       [](const Options& o) { return o.clip_norm ? ir::spell(*o.clip_norm) : ""; }},
      whole("accumulate", &Options::accumulate),
      whole("samples", &Options::samples),
      flag("gradient_outputs", &Options::gradient_outputs),
      flag("channels_last", &Options::channels_last),
      {"numerics", [](Options& o, const std::string& t) { return read_enum(t, kNumerics, o.numerics); },
       [](const Options& o) {
         return o.numerics == Numerics::strict ? "" : std::string(kNumerics[static_cast<size_t>(o.numerics)]);
       }},
      flag("bias_in_products", &Options::bias_in_products),
      flag("run_ahead", &Options::run_ahead),
  };
  return all;
}

constexpr std::string_view kComment = "options";

// pin=DTYPE:"PATTERN"
bool read_pin(Options& options, const std::string& text) {
  size_t colon = text.find(':');
  std::optional<DType> dtype = ir::parse_dtype(text.substr(0, colon));
  if (colon == text.npos || !dtype) return false;
  options.overrides.push_back({text.substr(colon + 1), *dtype});
  return true;
}

bool read_group_into(Options& options, const std::string& text) {
  std::optional<ParameterGroup> group = read_group(text);
  if (group) optimizer_of(options).groups.push_back(*group);
  return group.has_value();
}

std::string quoted(const std::string& text) {
  std::string out = "\"";  // only the two characters that take_word resolves
  for (char c : text) out += (c == '"' || c == '\\') ? std::string{'\\', c} : std::string{c};
  return out + "\"";
}

// The next blank-separated word; blanks within double quotes belong to it, the quotes and escapes are
// resolved.
std::string take_word(std::string_view& text) {
  std::string word;
  bool quoted = false;
  size_t i = 0;
  for (; i < text.size() && (quoted || (text[i] != ' ' && text[i] != '\n')); i++) {
    if (text[i] == '"')
      quoted = !quoted;
    else if (quoted && text[i] == '\\' && i + 1 < text.size())
      word += text[++i];
    else
      word += text[i];
  }
  text.remove_prefix(std::min(i + 1, text.size()));
  return word;
}

}  // namespace

std::optional<ParameterGroup> read_group(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return std::nullopt;
  ParameterGroup group;
  group.match = text.substr(0, colon);
  for (size_t at = colon; at < text.size();) {
    const size_t from = at + 1, to = std::min(text.find(',', from), text.size());
    const std::string item = text.substr(from, to - from);
    const size_t equals = item.find('=');
    if (equals == item.npos) return std::nullopt;
    const std::string key = item.substr(0, equals), value = item.substr(equals + 1);
    bool read = false;
    if (key == "weight_decay") read = read_number(value, group.weight_decay.emplace());
    if (key == "lr_scale") read = read_number(value, group.lr_scale.emplace());
    if (key == "max_rank") read = read_number(value, group.max_rank.emplace());
    if (!read) return std::nullopt;
    at = to;
  }
  return group;
}

std::string write_group(const ParameterGroup& group) {
  std::string items;
  auto put = [&](const char* key, const std::string& value) {
    items += concat(items.empty() ? "" : ",", key, "=", value);
  };
  if (group.weight_decay) put("weight_decay", ir::spell(*group.weight_decay));
  if (group.lr_scale) put("lr_scale", ir::spell(*group.lr_scale));
  if (group.max_rank) put("max_rank", std::to_string(*group.max_rank));
  return concat(group.match, ":", items);
}

std::string write_options(const Options& options) {
  std::string out;
  auto put = [&](std::string_view key, const std::string& value) {
    out += concat(out.empty() ? "" : " ", key, "=", value);
  };
  for (const Key& key : keys())
    if (std::string value = key.write(options); !value.empty()) put(key.name, value);
  for (const PrecisionOverride& pin : options.overrides) {
    put("pin", concat(ir::name(pin.dtype), ":", quoted(pin.match)));
  }
  if (options.optimizer)
    for (const ParameterGroup& group : options.optimizer->groups) put("group", quoted(write_group(group)));
  return out;
}

Options read_options(std::string_view text) {
  Options options;
  while (!text.empty()) {
    std::string word = take_word(text);
    if (word.empty()) continue;
    size_t equals = std::min(word.find('='), word.size());
    std::string name = word.substr(0, equals), value = word.substr(std::min(equals + 1, word.size()));
    bool known = name == "pin" || name == "group";
    bool read = known && (name == "pin" ? read_pin(options, value) : read_group_into(options, value));
    for (const Key& key : keys())
      if (key.name == name) {
        known = true;
        read = key.read(options, value);
      }
    if (!known) throw Error(ErrorCode::bad_input, concat("unknown option '", name, "' for passes"));
    if (!read) throw Error(ErrorCode::bad_input, concat("'", value, "' is no value of option '", name, "'"));
  }
  return options;
}

std::string options_comment(const Options& options) {
  std::string line = write_options(options);
  return line.empty() ? "" : concat("# ", kComment, " ", line, "\n");
}

Options options_of_comments(std::string_view comments) {
  while (!comments.empty()) {
    size_t end = std::min(comments.find('\n'), comments.size());
    std::string_view line = comments.substr(0, end);
    comments.remove_prefix(std::min(end + 1, comments.size()));
    if (line == kComment || line.starts_with(concat(kComment, " ")))
      return read_options(line.substr(kComment.size()));
  }
  return {};
}

}  // namespace mezzo::passes
