#include "runtime/feeds.h"

#include <algorithm>
#include <cmath>

#include "runtime/data.h"

namespace mezzo::runtime {
namespace {

constexpr int64_t kIgnored = -100;  // torch.nn.CrossEntropyLoss's ignore_index

[[noreturn]] void bad(const std::string& message, const std::string& node, const std::string& hint) {
  throw Error(ErrorCode::bad_input, message, node, hint);
}

std::string join(const std::vector<std::string>& names) {
  std::string out;
  for (auto& n : names) out += (out.empty() ? "'" : ", '") + n + "'";
  return out.empty() ? "nothing" : out;
}

}  // namespace

Signature signature_of(const LoadedModel& model, const Arrays& feeds, const Loss& loss, bool need_labels) {
  Signature signature;
  std::vector<std::string> wanted = model.input_names(), given;
  for (auto& [name, tensor] : feeds) given.push_back(name);
  const bool has_labels = loss.kind != Loss::Kind::output;
  std::vector<std::string> required = wanted;
  if (has_labels && need_labels) required.push_back(loss.labels);
  for (const std::string& name : required) {
    if (feeds.count(name)) continue;
    std::string near = nearest_name(name, given);
    bool labels = has_labels && name == loss.labels;
    bad(concat(labels ? "labels '" : "input '", name, "' is missing"), name,
        near.empty()
            ? concat("the feed has ", join(given), labels ? "; name the labels with --labels KEY" : "")
            : concat("did you mean '", near, "'?"));
  }
  for (auto& [name, tensor] : feeds) {
    if (std::find(wanted.begin(), wanted.end(), name) != wanted.end()) {
      signature.shapes[name] = tensor.dims();
    } else if (has_labels && name == loss.labels) {
      signature.labels = tensor.dims();
      if (loss.kind == Loss::Kind::cross_entropy && !ir::is_integer(tensor.dtype()))
        bad(concat("labels '", name, "' hold ", ir::name(tensor.dtype()), ", class ids are integers"), name,
            "convert the labels with astype(numpy.int64), or choose another --loss");
    } else {
      std::string near = nearest_name(name, wanted);
      bad(concat("the model has no input '", name, "'"), name,
          near.empty() ? concat("it takes ", join(wanted)) : concat("did you mean '", near, "'?"));
    }
  }
  return signature;
}

std::optional<Signature> signature_from_options(const LoadedModel& model,
                                                const std::map<std::string, Shape>& shapes,
                                                std::optional<int64_t> batch) {
  frontend::ImportOptions import;
  import.shapes = shapes;
  import.batch = batch;
  const std::vector<std::string> names = model.input_names();
  for (auto& [name, dims] : shapes) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    std::string near = nearest_name(name, names);
    throw Error(ErrorCode::usage, concat("a shape is given for '", name, "', the model has no such input"), name,
                near.empty() ? concat("it takes ", join(names)) : concat("did you mean '", near, "'?"));
  }
  for (const frontend::InputInfo& input : model.inputs) {
    if (shapes.count(input.name)) continue;
    if (!input.ranked) return std::nullopt;
    for (size_t k = 0; k < input.dims.size(); k++)
      if (input.dims[k].size < 0 && !(k == 0 && batch)) return std::nullopt;
  }
  std::vector<ir::Type> types = frontend::bind_input_types(model.inputs, import);
  Signature signature;
  for (size_t i = 0; i < types.size(); i++) signature.shapes[model.inputs[i].name] = types[i].dims;
  return signature;
}

Arrays bind_feeds(const StepProgram& program, const Arrays& feeds) {
  Arrays out;
  for (const Port& port : program.inputs()) {
    auto found = feeds.find(port.name);
    check(found != feeds.end(), "no feed for input '", port.name, "'");
    out.emplace(port.name, convert_feed(port.name, found->second, port.type));
  }
  return out;
}

void check_class_ids(const std::string& name, const ir::Tensor& labels, int64_t classes,
                     const std::string& batch) {
  for (int64_t i = 0; i < labels.count(); i++) {
    int64_t v = labels.get_int(i);
    bool huge = labels.dtype() == ir::DType::u64 && v < 0;
    if (!huge && ((v >= 0 && v < classes) || v == kIgnored)) continue;
    bad(concat(batch, "labels '", name, "' hold ", huge ? concat(static_cast<uint64_t>(v)) : concat(v),
               " at position ", i, ", the model has classes 0 to ", classes - 1),
        name, "class ids count from 0; -100 marks a label that does not count");
  }
}

int64_t class_axis(const ir::Dims& scores, const ir::Dims& labels) {
  if (scores.size() < 2 || labels.size() + 1 != scores.size()) return -1;
  for (int64_t axis : {int64_t{1}, static_cast<int64_t>(scores.size()) - 1}) {
    ir::Dims rest = scores;
    rest.erase(rest.begin() + axis);
    if (rest == labels) return axis;
  }
  return -1;
}

Hits& Hits::operator+=(const Hits& other) {
  right += other.right;
  in_top5 += other.in_top5;
  counted += other.counted;
  return *this;
}

Hits count_hits(const ir::Tensor& scores, const ir::Tensor& labels) {
  Hits hits;
  int64_t axis = class_axis(scores.dims(), labels.dims());
  if (axis < 0) return hits;
  int64_t classes = scores.dims()[static_cast<size_t>(axis)];
  int64_t inner = 1;
  for (size_t k = static_cast<size_t>(axis) + 1; k < scores.dims().size(); k++) inner *= scores.dims()[k];
  for (int64_t i = 0; i < labels.count(); i++) {
    int64_t label = labels.get_int(i);
    if (label == kIgnored) continue;
    hits.counted++;
    if (label < 0 || label >= classes) continue;
    const int64_t first = i / inner * inner * classes + i % inner;
    const double own = scores.get(first + label * inner);
    int64_t before = std::isnan(own) ? classes : 0;  // classes that come before the label's
    for (int64_t c = 0; c < classes; c++) {
      const double score = scores.get(first + c * inner);
      before += score > own || (score == own && c < label);
    }
    hits.right += before == 0;
    hits.in_top5 += before < 5;
  }
  return hits;
}

}  // namespace mezzo::runtime
