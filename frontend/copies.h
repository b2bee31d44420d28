// copies.h: initializers that an exporter's constant folding made of a weight which the file also holds
// itself.
#pragma once
#include <map>
#include <string>

#include "frontend/model_file.h"
#include "ir/tensor.h"

namespace mezzo::frontend {

// How the copy follows from the weight `of`: transposed (a tied table for a head), or else its elements in
// their order, over and over, in other dims (a bias broadcast to the batch).
struct Copy {
  std::string of;
  bool transposed = false;
  ir::Dims dims;  // of the copy
};

// By the copy's name. A copy has a made-up name and equals, bit for bit, a weight that has a name of its own
// and more than one value; so two weights that merely start equal are none. With tie_aliases copies are no
// parameters: they follow the weight in training and in the file that is saved.
std::map<std::string, Copy> find_copies(const ModelFile& model);

// The copy of a new value of the weight.
ir::Tensor copied(const ir::Tensor& weight, const Copy& copy);

}  // namespace mezzo::frontend
