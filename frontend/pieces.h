// pieces.h: a file as a list of what it is written from, so that its weights need not stand in memory once
// more.
#pragma once
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "frontend/payloads.h"
#include "ir/start_value.h"

namespace mezzo::frontend {

class Pieces {
 public:
  uint64_t size() const { return size_; }
  void add(std::string_view bytes);
  void add(ir::StartValue elements);
  void add(const CutPayload& payload);  // of the model that write() is given
  void add(Pieces pieces);
  // Tag and length of a field, then `content`.
  void add_field(uint32_t number, Pieces content);

  // Gives the file to `sink`, front to back.
  void write(const ModelBytes& model, const std::function<void(std::string_view)>& sink) const;

 private:
  std::vector<std::variant<std::string, ir::StartValue, CutPayload>> list_;
  uint64_t size_ = 0;
};

std::string_view bytes_of(const ir::Tensor& t);

}  // namespace mezzo::frontend
