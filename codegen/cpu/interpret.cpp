// interpret.cpp: launches without generated code: the evaluator, and copies.
#include <cstring>

#include "codegen/cpu/launch.h"
#include "ir/eval.h"
#include "ir/op.h"

namespace mezzo::codegen::cpu {
namespace {

class Interpreted : public Launch {
 public:
  explicit Interpreted(const ir::Node& node) : node_(node) {
    for (const ir::Value& v : node.inputs()) inputs_.push_back(v ? ir::Tensor(v.type()) : ir::Tensor());
  }
  void run(std::byte* const* arguments, std::byte*) override {
    std::vector<const ir::Tensor*> in;
    for (size_t i = 0; i < inputs_.size(); i++) {
      bool given = node_.has(i);
      if (given && inputs_[i].bytes() > 0)
        std::memcpy(inputs_[i].data(), arguments[i], static_cast<size_t>(inputs_[i].bytes()));
      in.push_back(given ? &inputs_[i] : nullptr);
    }
    std::vector<ir::Tensor> out = ir::evaluate_node(node_, in, ir::EvalMode::rounded);
    for (size_t k = 0; k < out.size(); k++)
      if (std::byte* to = arguments[inputs_.size() + k]; to && out[k].bytes() > 0)
        std::memcpy(to, out[k].data(), static_cast<size_t>(out[k].bytes()));
  }

 private:
  const ir::Node& node_;
  std::vector<ir::Tensor> inputs_;
};

class Copy : public Launch {
 public:
  explicit Copy(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {}
  void run(std::byte* const* arguments, std::byte*) override {
    if (bytes_ > 0) std::memcpy(arguments[1], arguments[0], bytes_);
  }

 private:
  size_t bytes_;
};

}  // namespace

std::unique_ptr<Launch> interpret(const ir::Node& node, std::string name) {
  auto launch = std::make_unique<Interpreted>(node);
  launch->info = describe(node, std::move(name), "interpreted");
  return launch;
}

std::unique_ptr<Launch> copy(const ir::Type& type, std::string name) {
  auto launch = std::make_unique<Copy>(type.bytes());
  launch->info = {std::move(name), "copy", {}, ir::Phase::update, 2 * type.bytes(), 0};
  return launch;
}

}  // namespace mezzo::codegen::cpu
