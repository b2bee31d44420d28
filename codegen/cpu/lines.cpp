#include "codegen/cpu/lines.h"

#include <algorithm>

#include "codegen/cpu/tile_kernel.h"

namespace mezzo::codegen::cpu {
namespace {

void copy_run(ir::DType type, const std::byte* data, int64_t at, int64_t count, float* to) {
  if (type == ir::DType::f32)
    std::copy_n(reinterpret_cast<const float*>(data) + at, count, to);
  else
    widen_run(type, reinterpret_cast<const uint16_t*>(data) + at, to, count);
}

// `count` numbers, `step` elements apart.
void copy_strided(ir::DType type, const std::byte* data, int64_t at, int64_t step, int64_t count, float* to) {
  if (step == 1) return copy_run(type, data, at, count, to);
  if (type == ir::DType::f32) {
    const float* from = reinterpret_cast<const float*>(data) + at;
    for (int64_t i = 0; i < count; i++) to[i] = from[i * step];
    return;
  }
  const uint16_t* from = reinterpret_cast<const uint16_t*>(data) + at;
  for (int64_t i = 0; i < count; i++)
    to[i] = type == ir::DType::bf16 ? ir::bf16_to_f32(from[i * step]) : ir::f16_to_f32(from[i * step]);
}

}  // namespace

const float* MatrixLines::read(const std::byte* data, int64_t line, int64_t first, int64_t count,
                               float* room) const {
  const int64_t at = line * step_ + first;
  if (type_ == ir::DType::f32) return reinterpret_cast<const float*>(data) + at;
  widen_run(type_, reinterpret_cast<const uint16_t*>(data) + at, room, count);
  return room;
}

PatchLines::PatchLines(ir::DType type, Sizes sizes, const std::vector<std::array<int64_t, 3>>& taps,
                       bool along_depth)
    : Lines(along_depth), type_(type), s_(std::move(sizes)) {
  // Neighbours: one place further along the last axis, which the next element in memory belongs to.
  auto follows = [&](size_t t) {
    return s_.steps[2] == s_.channels && taps[t][0] == taps[t - 1][0] && taps[t][1] == taps[t - 1][1] &&
           taps[t][2] == taps[t - 1][2] + 1;
  };
  size_t run = 1;
  while (run < taps.size() && follows(run)) run++;
  bool even = taps.size() % run == 0;
  for (size_t t = 1; t < taps.size() && even; t++) even = follows(t) == (t % run != 0);
  if (!even) run = 1;
  s_.run = static_cast<int64_t>(run);
  for (size_t t = 0; t < taps.size(); t += run) s_.rows.push_back(taps[t]);
}

const float* PatchLines::read(const std::byte* data, int64_t line, int64_t first, int64_t count,
                              float* room) const {
  int64_t position[3];
  auto rest = static_cast<uint32_t>(line);
  for (int j = 2; j >= 0; j--) {
    const auto extent = static_cast<uint32_t>(s_.grid[j]);
    position[j] = rest % extent * s_.stride[j];
    rest /= extent;
  }
  const int64_t image = rest * s_.batch_step, row_size = s_.run * s_.channels;
  float* to = room;
  for (int64_t row = first / row_size, from = first % row_size; count > 0; row++, from = 0) {
    const auto& tap = s_.rows[static_cast<size_t>(row)];
    const int64_t place[3] = {position[0] + tap[0], position[1] + tap[1], position[2] + tap[2]};
    const int64_t end = std::min(from + count, row_size);
    // The part [lo, hi) of the row that lies inside the image.
    int64_t lo = end, hi = end;
    if (place[0] >= 0 && place[0] < s_.extent[0] && place[1] >= 0 && place[1] < s_.extent[1]) {
      lo = std::clamp(-place[2] * s_.channels, from, end);
      hi = std::clamp((s_.extent[2] - place[2]) * s_.channels, lo, end);
    }
    std::fill_n(to, lo - from, 0.0f);
    if (lo < hi)
      copy_run(type_, data,
               image + place[0] * s_.steps[0] + place[1] * s_.steps[1] + place[2] * s_.steps[2] + lo, hi - lo,
               to + lo - from);
    std::fill_n(to + hi - from, end - hi, 0.0f);
    to += end - from, count -= end - from;
  }
  return room;
}

const float* WeightLines::read(const std::byte* data, int64_t line, int64_t first, int64_t count,
                               float* room) const {
  const int64_t filter_step = channels_ * all_taps_;
  if (!along_depth()) {
    const int64_t tap = taps_[static_cast<size_t>(line / filters_)], filter = line % filters_;
    copy_strided(type_, data, filter * filter_step + first * all_taps_ + tap, all_taps_, count, room);
    return room;
  }
  float* to = room;
  for (int64_t tap = first / channels_, channel = first % channels_; count > 0; tap++, channel = 0) {
    const int64_t run = std::min(count, channels_ - channel);
    copy_strided(type_, data, line * filter_step + channel * all_taps_ + taps_[static_cast<size_t>(tap)],
                 all_taps_, run, to);
    to += run, count -= run;
  }
  return room;
}

}  // namespace mezzo::codegen::cpu
