#include "runtime/json_log.h"

#include <cerrno>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/atomic_file.h"

namespace mezzo::runtime {
namespace {

using Json = nlohmann::ordered_json;

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

}  // namespace

JsonLog::JsonLog(std::string path, int64_t keep) : path_(std::move(path)), bytes_(keep) {
  if (path_.empty()) return;
  if (keep > 0) {
    std::error_code error;
    const auto size = static_cast<int64_t>(std::filesystem::file_size(path_, error));
    if (error) throw_file_error("read", path_, error.value());
    if (size < keep)
      throw Error(ErrorCode::bad_input,
                  concat("log '", path_, "' has ", size, " bytes, fewer than at the checkpoint (", keep, ")"),
                  path_, "give another --log");
    std::filesystem::resize_file(path_, static_cast<uintmax_t>(keep), error);
    if (error) throw_file_error("write", path_, error.value());
  }
  errno = 0;
  out_.open(path_, std::ios::binary | (keep > 0 ? std::ios::app : std::ios::trunc));
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

void JsonLog::evaluation(int64_t epoch, int64_t step, const Evaluation& e) {
  if (path_.empty()) return;
  line(Json{{"epoch", epoch},
            {"step", step},
            {"eval_loss", number(e.loss)},
            {"eval_top1", number(e.top1)},
            {"eval_top5", number(e.top5)}}
           .dump());
}

void JsonLog::line(const std::string& text) {
  errno = 0;
  out_ << text << '\n' << std::flush;
  bytes_ += static_cast<int64_t>(text.size()) + 1;
  if (!out_) throw_file_error("write", path_, errno ? errno : EIO);
}

}  // namespace mezzo::runtime
