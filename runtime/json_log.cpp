#include "runtime/json_log.h"

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/atomic_file.h"

namespace mezzo::runtime {
namespace {

using Json = nlohmann::ordered_json;

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

}  // namespace

JsonLog::JsonLog(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  errno = 0;
  out_.open(path_, std::ios::binary | std::ios::trunc);
  if (!out_) throw_file_error("write", path_, errno ? errno : EIO);
}

void JsonLog::step(const StepResult& r) {
  if (path_.empty()) return;
  Json row{{"step", r.step},           {"loss", number(r.loss)},
           {"lr", number(r.lr)},       {"grad_norm", number(r.grad_norm)},
           {"scale", number(r.scale)}, {"skipped", r.skipped},
           {"ms", number(r.ms)}};
  if (r.overflow)
    row["overflow"] = {{"node", r.overflow->node}, {"op", r.overflow->op}, {"phase", r.overflow->phase}};
  line(row.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void JsonLog::evaluation(int64_t epoch, int64_t step, double loss, double top1) {
  if (path_.empty()) return;
  line(Json{{"epoch", epoch}, {"step", step}, {"eval_loss", number(loss)}, {"eval_top1", number(top1)}}
           .dump());
}

void JsonLog::line(const std::string& text) {
  errno = 0;
  out_ << text << '\n' << std::flush;
  if (!out_) throw_file_error("write", path_, errno ? errno : EIO);
}

}  // namespace mezzo::runtime
