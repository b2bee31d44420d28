// Where a run stands, as JSON in its checkpoints.
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/cli/terminal.h"
#include "runtime/cli/training.h"

namespace mezzo::cli {
namespace {

using Json = nlohmann::json;

// What must be the same for a run to go on as if it had never stopped. The length of the run may change.
Json deciding_flags(const Flags& f, int64_t samples) {
  auto optional = [](const std::optional<double>& v) { return v ? Json(*v) : Json(nullptr); };
  return {{"samples of --data", samples},
          {"--batch", f.batch},
          {"--accumulate", f.accumulate},
          {"--seed", f.seed},
          {"--no-shuffle", f.no_shuffle},
          {"--no-augment", f.no_augment},
          {"--mean", f.mean},
          {"--std", f.std},
          {"--seq", f.sequence},
          {"--loss", f.loss},
          {"--label-smoothing", f.label_smoothing},
          {"--precision", f.precision},
          {"--numerics", f.numerics},
          {"--loss-scale", f.loss_scale},
          {"--mode", f.mode},
          {"--train", f.train},
          {"--freeze", f.freeze},
          {"--optimizer", f.optimizer},
          {"--lr", optional(f.lr)},
          {"--momentum", optional(f.momentum)},
          {"--nesterov", f.nesterov},
          {"--weight-decay", optional(f.weight_decay)},
          {"--betas", f.betas},
          {"--eps", optional(f.eps)},
          {"--clip-norm", optional(f.clip_norm)},
          {"--group", f.groups},
          {"--no-decay-on-vectors", f.no_decay_on_vectors},
          {"--schedule", f.schedule},
          {"--warmup", f.warmup}};
}

// JSON has no word for numbers that are not finite.
Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }
double number(const Json& v) { return v.is_null() ? NAN : v.get<double>(); }

Json of_evaluation(const std::optional<runtime::Evaluation>& e) {
  if (!e) return nullptr;
  return {{"loss", number(e->loss)}, {"top1", number(e->top1)}, {"top5", number(e->top5)}};
}
std::optional<runtime::Evaluation> to_evaluation(const Json& v) {
  if (v.is_null()) return std::nullopt;
  return runtime::Evaluation{number(v.at("loss")), number(v.at("top1")), number(v.at("top5")), 0, 0};
}

}  // namespace

std::string Training::record() const {
  return Json{{"flags", deciding_flags(flags_, data_->samples())},
              {"windows", done_},
              {"epoch", place_.epoch},
              {"taken", place_.taken},
              {"skipped", skipped_},
              {"corrupt", corrupt_},
              {"epoch_loss", number(epoch_loss_)},
              {"epoch_steps", epoch_steps_},
              {"step", last_.step},
              {"loss", number(last_.loss)},
              {"scale", number(last_.scale)},
              {"eval", of_evaluation(final_)},
              {"best", of_evaluation(best_)},
              {"log_bytes", log_->bytes()}}
      .dump();
}

int64_t Training::resume() {
  const std::optional<std::string> text =
      checkpoints_->read_newest(*session_, [](const std::string& e) { warn(e); });
  if (!text) {
    note(concat("no checkpoint in '", flags_.checkpoint, "': from the beginning"));
    return 0;
  }
  const Json run = Json::parse(*text, nullptr, false);
  if (!run.is_object() || !run.contains("flags"))
    throw Error(ErrorCode::bad_input,
                concat("the checkpoints in '", flags_.checkpoint, "' are not of `mezzo train`"),
                flags_.checkpoint);
  const Json now = deciding_flags(flags_, data_->samples());
  for (auto& [flag, value] : now.items()) {
    const Json before = run.at("flags").value(flag, Json(nullptr));
    if (before != value)
      throw Error(ErrorCode::usage, concat(flag, " was ", before.dump(), " and is ", value.dump(), " now"),
                  flag, "resume with the flags of the run; or start anew, from the .onnx it wrote");
  }
  done_ = run.at("windows");
  place_ = {run.at("epoch"), run.at("taken")};
  skipped_ = run.at("skipped");
  corrupt_ = run.at("corrupt");
  epoch_loss_ = number(run.at("epoch_loss"));
  epoch_steps_ = run.at("epoch_steps");
  last_.step = run.at("step");
  last_.loss = number(run.at("loss"));
  last_.scale = number(run.at("scale"));
  final_ = to_evaluation(run.at("eval"));
  best_ = to_evaluation(run.at("best"));
  note(concat("resumes after step ", last_.step, " of '", flags_.checkpoint, "'"));
  return run.at("log_bytes");
}

}  // namespace mezzo::cli
