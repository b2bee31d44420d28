#include "runtime/data.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "runtime/data/random.h"

namespace mezzo::runtime {
namespace {

using ir::DType;

[[noreturn]] void bad(const std::string& message, const std::string& node, const std::string& hint = {}) {
  throw Error(ErrorCode::bad_input, message, node, hint);
}

std::string join(const std::vector<std::string>& names) {
  std::string out;
  for (auto& n : names) out += (out.empty() ? "'" : ", '") + n + "'";
  return out.empty() ? "none" : out;
}

bool fits(int64_t v, DType to) {
  switch (to) {
    case DType::i32: return v >= INT32_MIN && v <= INT32_MAX;
    case DType::i16: return v >= INT16_MIN && v <= INT16_MAX;
    case DType::i8: return v >= INT8_MIN && v <= INT8_MAX;
    case DType::u64: return v >= 0;
    case DType::u32: return v >= 0 && v <= UINT32_MAX;
    case DType::u16: return v >= 0 && v <= UINT16_MAX;
    case DType::u8: return v >= 0 && v <= UINT8_MAX;
    default: return true;
  }
}

// Levenshtein distance.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(const std::string& wrong, const std::vector<std::string>& names) {
  std::string best;
  // Two slips (a swap is two) in a word, one in a very short one, more in long ones.
  size_t least = (wrong.size() <= 3 ? 1 : std::max<size_t>(2, std::min<size_t>(wrong.size(), 64) / 3)) + 1;
  for (auto& name : names) {
    size_t d = name.size() < 256 && wrong.size() < 256 ? distance(wrong, name) : least;
    if (d < least) {
      least = d;
      best = name;
    }
  }
  return best;
}

ir::Tensor convert_feed(const std::string& name, const ir::Tensor& feed, const ir::Type& wanted) {
  if (feed.dims() != wanted.dims)
    bad(concat("input '", name, "' has shape ", ir::to_string(feed.dims()), ", the model takes ",
               ir::to_string(wanted.dims)),
        name, "the first axis counts the samples; compare the others with `mezzo inspect`");
  DType from = feed.dtype(), to = wanted.dtype;
  if (from == to) return feed;
  if (ir::is_float(to)) return feed.cast(to);
  bool whole = ir::is_integer(from) || from == DType::boolean;
  if (!whole || to == DType::boolean)
    bad(concat("input '", name, "' holds ", ir::name(from), ", the model takes ", ir::name(to)), name,
        concat("convert the array to ", ir::name(to)));
  for (int64_t i = 0; i < feed.count(); i++) {
    int64_t v = feed.get_int(i);
    // A u64 above 2^63 comes out negative.
    if (!fits(v, to) || (from == DType::u64 && v < 0))
      bad(concat("input '", name, "' holds a value at position ", i, " that does not fit ", ir::name(to)),
          name);
  }
  return feed.cast(to);
}

void refuse_nan(const std::string& name, const ir::Tensor& values) {
  if (!ir::is_float(values.dtype())) return;
  if (values.dtype() == DType::f32) {  // the usual case, in a loop that compilers vectorise
    bool any = false;
    for (float v : values.as<float>()) any |= v != v;
    if (!any) return;
  }
  for (int64_t i = 0; i < values.count(); i++)
    if (std::isnan(values.get(i)))
      bad(concat("array '", name, "' holds NaN at position ", i, " of ", values.count()), name,
          "remove or replace the missing values");
}

Dataset::Dataset(Arrays arrays, const std::vector<std::string>& inputs, const std::string& labels_key,
                 std::string source) {
  std::vector<std::string> wanted = inputs, have;
  for (auto& [name, tensor] : arrays) have.push_back(name);
  if (!labels_key.empty()) wanted.push_back(labels_key);
  for (auto& name : wanted) {
    auto found = arrays.find(name);
    if (found == arrays.end()) {
      std::string near = nearest_name(name, have);
      bad(concat("'", source, "' has no array '", name, "'", name == labels_key ? " (the labels)" : ""),
          source,
          near.empty()
              ? concat("it has ", join(have), name == labels_key ? "; name the labels with --labels KEY" : "")
              : concat("did you mean '", near, "'?"));
    }
  }
  for (auto& [name, tensor] : arrays) {
    if (std::find(wanted.begin(), wanted.end(), name) == wanted.end())
      bad(concat("'", source, "' has an array '", name, "' that the model does not take"), source,
          concat("it takes ", join(wanted)));
    if (tensor.dims().empty()) bad(concat("array '", name, "' has no axis of samples"), source);
    refuse_nan(name, tensor);
    int64_t rows = tensor.dims()[0];
    if (arrays_.empty()) samples_ = rows;
    if (rows != samples_)
      bad(concat("array '", name, "' has ", rows, " samples, '", arrays_.begin()->first, "' has ", samples_),
          source);
    arrays_.emplace(name, std::move(tensor));
  }
  if (samples_ == 0) bad(concat("'", source, "' has no samples"), source);
}

Arrays Dataset::gather(const std::vector<int64_t>& indices) const {
  Arrays out;
  for (auto& [name, tensor] : arrays_) {
    ir::Dims dims = tensor.dims();
    auto row = static_cast<size_t>(tensor.bytes() / dims[0]);
    dims[0] = static_cast<int64_t>(indices.size());
    ir::Tensor rows({tensor.dtype(), dims});
    for (size_t k = 0; k < indices.size(); k++)
      std::memcpy(rows.data() + k * row, tensor.data() + static_cast<size_t>(indices[k]) * row, row);
    out.emplace(name, std::move(rows));
  }
  return out;
}

BatchOrder::BatchOrder(int64_t samples, int64_t batch, bool shuffle, uint64_t seed)
    : samples_(samples), batch_(std::min(batch, samples)), shuffle_(shuffle), seed_(seed) {
  check(samples > 0 && batch > 0, "an order over ", samples, " samples in batches of ", batch);
  start_epoch();
}

// Fisher and Yates, every swap a function of seed, epoch and position.
void BatchOrder::start_epoch() {
  order_.resize(static_cast<size_t>(samples_));
  std::iota(order_.begin(), order_.end(), int64_t{0});
  at_ = 0;
  if (!shuffle_) return;
  uint64_t key = mix(seed_ ^ mix(static_cast<uint64_t>(epoch_)));
  for (size_t i = order_.size(); i > 1; i--) {
    std::swap(order_[i - 1], order_[below(mix(key + i), i)]);
  }
}

void BatchOrder::go_to(const Place& place) {
  check(place.epoch >= 0 && place.taken >= 0 && place.taken < samples_, "a place outside of the epoch");
  epoch_ = place.epoch;
  start_epoch();
  at_ = place.taken;
}

std::vector<int64_t> BatchOrder::next() {
  int64_t end = std::min(at_ + batch_, samples_);
  std::vector<int64_t> batch(order_.begin() + at_, order_.begin() + end);
  at_ = end;
  if (at_ == samples_) {
    epoch_++;
    start_epoch();
  }
  return batch;
}

}  // namespace mezzo::runtime
