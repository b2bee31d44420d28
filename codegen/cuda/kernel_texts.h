// kernel_texts.h: the texts of kernels that are compiled together, equal ones once.
#pragma once
#include <functional>
#include <map>

#include "codegen/cuda/source.h"

namespace mezzo::codegen::cuda {

class KernelTexts {
 public:
  // `emit(number)` writes a text with functions named after the number.
  KernelSource add(const std::function<KernelSource(int number)>& emit);
  // A text that defines `function`.
  void add(std::string function, std::string text);

  const std::vector<std::string>& all() const { return texts_; }
  // Which of them defines a function. InternalError when none does.
  size_t of(const std::string& function) const;

 private:
  std::map<std::string, int> numbers_;  // by text under number 0
  std::map<std::string, size_t> text_of_;
  std::vector<std::string> texts_;
};

}  // namespace mezzo::codegen::cuda
