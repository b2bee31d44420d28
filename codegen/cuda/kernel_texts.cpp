#include "codegen/cuda/kernel_texts.h"

#include "mezzo/error.h"

namespace mezzo::codegen::cuda {

KernelSource KernelTexts::add(const std::function<KernelSource(int number)>& emit) {
  KernelSource source = emit(0);
  auto [known, fresh] = numbers_.try_emplace(source.text, static_cast<int>(numbers_.size()));
  if (known->second != 0) source = emit(known->second);
  if (fresh) {
    for (const FunctionLaunch& call : source.launches) text_of_[call.function] = texts_.size();
    texts_.push_back(source.text);
  }
  return source;
}

void KernelTexts::add(std::string function, std::string text) {
  text_of_[std::move(function)] = texts_.size();
  texts_.push_back(std::move(text));
}

size_t KernelTexts::of(const std::string& function) const {
  auto text = text_of_.find(function);
  check(text != text_of_.end(), "no kernel is called ", function);
  return text->second;
}

}  // namespace mezzo::codegen::cuda
