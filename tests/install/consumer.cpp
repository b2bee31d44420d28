// consumer MODEL OUT: what a user of the installed library does. Exits with 0 when training lowers the loss
// and the saved file can be loaded again.
#include <mezzo/mezzo.h>

#include <cmath>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::vector<float> x(4 * 64);
  for (size_t i = 0; i < x.size(); i++) x[i] = std::sin(0.7f * static_cast<float>(i));
  std::vector<int64_t> labels{3, 1, 4, 1};
  try {
    mezzo::Model model = mezzo::Model::load(argv[1]);
    mezzo::Trainer trainer = model.compile({.inputs = {{"input", {4, 64}}},
                                            .loss = mezzo::Loss::cross_entropy(),
                                            .precision = mezzo::Precision::bf16,
                                            .optimizer = mezzo::AdamW{.lr = 1e-2}});
    double first = 0, last = 0;
    for (int step = 0; step < 10; step++) {
      last =
          trainer.step({{"input", mezzo::Tensor({4, 64}, x)}, {"labels", mezzo::Tensor({4}, labels)}}).loss;
      if (step == 0) first = last;
    }
    trainer.save_onnx(argv[2]);
    mezzo::Model::load(argv[2]);
    std::cout << "loss " << first << " -> " << last << '\n';
    return last < first ? 0 : 1;
  } catch (const mezzo::Error& e) {
    std::cerr << "error: " << e.what() << "\nhint: " << e.hint() << '\n';
    return static_cast<int>(e.code());
  }
}
