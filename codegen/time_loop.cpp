#include "codegen/time_loop.h"

#include "codegen/alignment.h"
#include "codegen/launch_list.h"
#include "ir/op.h"

namespace mezzo::codegen {
namespace {

// Scratch: the step's arena, then two places for every carried value: a step reads one and writes the other.
class TimeLoop : public Launch {
 public:
  TimeLoop(const ir::Node& node, std::unique_ptr<Lowering> lowering)
      : body_(ir::clone(*node.body)),
        lowering_(std::move(lowering)),
        list_(body_, *lowering_),
        steps_(node.i("steps")),
        reverse_(node.i("reverse") != 0),
        carried_(static_cast<size_t>(node.i("carried"))),
        scanned_(static_cast<size_t>(node.i("scanned"))),
        inputs_(node.input_count()) {
    for (size_t i = 0; i < inputs_; i++) slice_bytes_.push_back(node.in_type(i).bytes() / steps_);
    scratch_bytes = host_aligned(list_.arena_bytes());
    for (size_t k = 0; k < list_.output_count(); k++) {
      const ir::Type& type = list_.output_type(k);
      copies_.push_back(lowering_->copy(type, "copy"));
      places_.push_back(scratch_bytes);
      if (k < carried_) scratch_bytes += 2 * host_aligned(type.bytes());
    }
    bindings_.inputs.resize(inputs_);
    info = describe(node, "", concat(steps_, " steps of ", list_.size(), " launches"));
    for (const LaunchInfo& launch : list_.infos()) info.flops += launch.flops * steps_;
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    bindings_.arena = scratch;
    find_constants();
    for (size_t i = 0; i < inputs_; i++) bindings_.inputs[i] = arguments[i];
    std::byte* const* results = arguments + inputs_;
    for (int64_t n = 0; n < steps_; n++) {
      const int64_t t = reverse_ ? steps_ - 1 - n : n;
      for (size_t i = carried_; i < carried_ + scanned_; i++)
        bindings_.inputs[i] = arguments[i] + t * slice_bytes_[i];
      list_.bind(bindings_, constants_);
      list_.start();
      for (size_t i = 0; i < list_.size(); i++) list_.launch(i);
      for (size_t k = 0; k < list_.output_count(); k++) {
        const int64_t bytes = list_.output_type(k).bytes();
        if (results[carried_ + k]) copy(k, list_.output(k), results[carried_ + k] + t * bytes);
        if (k < carried_) copy(k, list_.output(k), scratch + places_[k] + n % 2 * host_aligned(bytes));
      }
      for (size_t k = 0; k < carried_; k++)
        bindings_.inputs[k] = scratch + places_[k] + n % 2 * host_aligned(list_.output_type(k).bytes());
    }
    for (size_t k = 0; k < carried_; k++)
      if (results[k]) copy(k, bindings_.inputs[k], results[k]);
  }

 private:
  // In the first run, not before: a plan that does not fit is refused before anything is allocated.
  void find_constants() {
    if (constants_.size() == list_.constants().size()) return;
    std::vector<const std::byte*> found;
    for (const ir::TensorPtr& c : list_.constants()) found.push_back(lowering_->constant(c));
    constants_ = std::move(found);
  }
  // A copy only reads its source; the arguments of launches have one type for all.
  void copy(size_t k, const std::byte* from, std::byte* to) {
    std::byte* arguments[] = {const_cast<std::byte*>(from), to};
    copies_[k]->run(arguments, nullptr);
  }

  ir::Graph body_;
  std::unique_ptr<Lowering> lowering_;
  LaunchList list_;
  int64_t steps_;
  bool reverse_;
  size_t carried_, scanned_, inputs_;
  std::vector<int64_t> slice_bytes_, places_;
  std::vector<const std::byte*> constants_;
  std::vector<std::unique_ptr<Launch>> copies_;
  Bindings bindings_;
};

}  // namespace

std::unique_ptr<Launch> lower_time_loop(const ir::Node& node, std::unique_ptr<Lowering> lowering,
                                        std::string name) {
  auto launch = std::make_unique<TimeLoop>(node, std::move(lowering));
  launch->info.name = std::move(name);
  return launch;
}

}  // namespace mezzo::codegen
