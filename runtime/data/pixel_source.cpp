#include "runtime/data/pixel_source.h"

namespace mezzo::runtime {
namespace {

class PixelSource : public DataSource {
 public:
  PixelSource(PixelSet set, const DataOptions& options, const ModelInputs& inputs)
      : set_(std::move(set)),
        labels_(options.labels),
        seed_(options.seed),
        augment_(options.training && options.image.augment && set_.padding > 0),
        target_(inputs, options.image, {set_.height, set_.width, set_.channels, {}}, set_.usual_mean,
                set_.usual_std) {
    if (set_.count() == 0)
      throw Error(ErrorCode::bad_input, concat("'", set_.source, "' has no samples"), set_.source);
    if (target_.channels() != set_.channels)
      throw Error(ErrorCode::bad_input,
                  concat("'", set_.source, "' has pictures of ", set_.channels, " channels, input '",
                         target_.input(), "' takes ", target_.channels()),
                  set_.source);
  }

  int64_t samples() const override { return set_.count(); }
  std::vector<std::string> classes() const override { return set_.classes; }
  std::string describe() const override {
    return concat(samples(), " pictures of ", set_.width, " x ", set_.height, " x ", set_.channels, " from '",
                  set_.source, "'", augment_ ? ", random crops and flips" : "");
  }

  Rows gather(const std::vector<int64_t>& indices, int64_t epoch) const override {
    Rows rows;
    rows.samples = static_cast<int64_t>(indices.size());
    ir::Tensor pictures = target_.batch(rows.samples), labels({ir::DType::i64, {rows.samples}});
    for (size_t k = 0; k < indices.size(); k++) {
      const auto row = static_cast<int64_t>(k);
      target_.write(picture(indices[k], epoch), pictures, row);
      labels.set_int(row, set_.labels[static_cast<size_t>(indices[k])]);
    }
    rows.arrays.emplace(target_.input(), std::move(pictures));
    if (!labels_.empty()) rows.arrays.emplace(labels_, std::move(labels));
    return rows;
  }

 private:
  Image picture(int64_t index, int64_t epoch) const {
    const int64_t bytes = set_.height * set_.width * set_.channels;
    const uint8_t* first = set_.pixels.data() + index * bytes;
    Image image{set_.height, set_.width, set_.channels, {first, first + bytes}};
    if (augment_) {
      SampleRandom random(seed_, epoch, index);
      const int64_t top = random.below(2 * set_.padding + 1) - set_.padding;
      image = crop(image, {top, random.below(2 * set_.padding + 1) - set_.padding, set_.height, set_.width});
      if (random.below(2)) image = flip(image);
    }
    if (target_.height() != image.height || target_.width() != image.width)
      image = resize(image, target_.height(), target_.width());
    return image;
  }

  PixelSet set_;
  std::string labels_;
  uint64_t seed_;
  bool augment_;
  ImageTarget target_;
};

}  // namespace

std::unique_ptr<DataSource> make_pixel_source(PixelSet set, const DataOptions& options,
                                              const ModelInputs& inputs) {
  return std::make_unique<PixelSource>(std::move(set), options, inputs);
}

}  // namespace mezzo::runtime
